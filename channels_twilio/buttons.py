"""Buttons and lists: WhatsApp through Twilio shows them only by a Content template.

The options are fixed texts of the template, made once per distinct set; the message's own text travels in
variables. A variable may not hold a line break (error 21656), so each line is one and the breaks are part of
the template. https://www.twilio.com/docs/content/using-variables-with-content-api
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from channels_hub.contract import Option

MAX_VARIABLES = 100
OWN_PREFIX = "pytake_"
_MADE: dict[tuple[str, str, str], str] = {}


@dataclass(frozen=True, slots=True)
class Body:
    """A text as a template body ("{{1}}\\n\\n{{2}}") and its variables."""

    shape: str
    variables: dict[str, str]


def body_of(text: str) -> Body:
    """Every line that is not blank becomes a variable."""
    variables: dict[str, str] = {}
    shape = []
    for line in text.splitlines():
        words = re.sub(r"\t|\s{5,}", " ", line).strip()
        if words:
            variables[str(len(variables) + 1)] = words
        shape.append(f"{{{{{len(variables)}}}}}" if words else "")
    return Body("\n".join(shape), variables)


def content(
    body: Body, options: Sequence[Option], style: str, *, list_label: str, language: str
) -> dict[str, Any]:
    """The template as POST /v1/Content wants it; its name is the hash of all that is fixed in it."""
    if style == "list":
        items = [{"item": o.title, "id": o.id[:200], "description": o.description[:72]} for o in options]
        types = {"twilio/list-picker": {"body": body.shape, "button": list_label[:20], "items": items}}
    else:
        actions = [{"type": "QUICK_REPLY", "title": o.title, "id": o.id[:200]} for o in options]
        types = {"twilio/quick-reply": {"body": body.shape, "actions": actions}}
    samples = dict.fromkeys(body.variables, "texto")
    fixed = {"language": language, "variables": samples, "types": types}
    digest = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
    return {"friendly_name": f"{OWN_PREFIX}{digest[:40]}", **fixed}


def remembered(base: str, account_sid: str, name: str) -> str:
    """The template's SID when this process has made it before."""
    return _MADE.get((base, account_sid, name), "")


def remember(base: str, account_sid: str, name: str, sid: str) -> None:
    """Keep a template's SID; an empty one forgets it."""
    _MADE[base, account_sid, name] = sid
