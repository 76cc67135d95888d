"""Reads request bodies: JSON that PostgreSQL can store, of bounded size and depth, or a clear 400."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from accounts.problems import Problem

MAX_DEPTH = 64
# NUL fits no text column; a lone surrogate is no character at all.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSON(BaseParser):
    media_type = "application/json"

    def parse(self, stream: IO[bytes], media_type: Any = None, parser_context: Any = None) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise Problem(413, "too_large", _("The body is too large."))
        try:
            data = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except ValueError as error:
            raise ParseError(_("The body is no valid JSON.")) from error
        refuse_unstorable(data)
        return data


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def refuse_unstorable(data: Any) -> None:
    """Raise 400 for nesting deeper than 64, NUL bytes and lone surrogates, keys included."""
    level: list[Any] = [data]
    for _depth in range(MAX_DEPTH + 1):
        texts = [item for item in level if isinstance(item, str)]
        if any(UNSTORABLE.search(text) for text in texts):
            raise ParseError(_("The text holds a character that cannot be stored."))
        level = [inside for item in level for inside in _inside(item)]
        if not level:
            return
    raise ParseError(_("The JSON is nested too deeply."))


def _inside(item: Any) -> Iterable[Any]:
    if isinstance(item, Mapping):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else ()
