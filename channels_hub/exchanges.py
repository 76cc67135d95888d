"""What was said to a platform and what it answered, fit to be kept: no secrets, no content, no numbers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels_hub.contract import Http, HttpResponse, HttpStream

TELLING = ("status", "code", "error_code", "message", "error_message", "sid", "id", "error", "type")
LONGEST = 200
_NUMBERS = re.compile(r"\+?\d[\d ().-]{5,}\d")  # a telephone number, in whatever spelling


class Recorded:
    """An outgoing client that remembers its calls. `exchanges` are oldest first."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self.exchanges: list[dict[str, Any]] = []

    def request(self, method: str, url: str, **options: Any) -> HttpResponse:
        kept: dict[str, Any] = {"method": method, "url": plain_url(url), "fields": _names(options)}
        self.exchanges.append(kept)
        began = time.monotonic()
        try:
            answer = self.http.request(method, url, **options)
        except Exception as error:
            kept["error"] = type(error).__name__
            raise
        finally:
            kept["milliseconds"] = int((time.monotonic() - began) * 1000)
        kept["status"] = answer.status
        kept["answer"] = told(answer.json())
        return answer

    def stream(
        self, url: str, *, auth: Any = None, headers: Mapping[str, str] | None = None, redirects: int = 0
    ) -> HttpStream:
        return self.http.stream(url, auth=auth, headers=headers, redirects=redirects)


def plain_url(url: str) -> str:
    """Host and path, without what may be a token or a person: long parts are cut, the query is left out."""
    parts = urlsplit(url)
    path = "/".join(part if len(part) <= 40 and ":" not in part else "…" for part in parts.path.split("/"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _names(options: Mapping[str, Any]) -> list[str]:
    """The names of the fields that were sent, without their values."""
    sent = options.get("data") or options.get("json") or options.get("params") or {}
    return sorted(map(str, sent)) if isinstance(sent, Mapping) else []


def told(answer: Any) -> dict[str, Any]:
    """What an answer says about itself; telephone numbers in its sentences are left out."""
    if not isinstance(answer, Mapping):
        return {}
    found = {name: answer[name] for name in TELLING if answer.get(name) is not None}
    return {name: _short(value) for name, value in found.items()}


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return told(value)
    if isinstance(value, str):
        return _NUMBERS.sub("…", value)[:LONGEST]
    return value if isinstance(value, bool | int | float) else str(value)[:LONGEST]
