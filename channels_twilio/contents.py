"""Reading Twilio's Content templates and what WhatsApp says of them.

https://www.twilio.com/docs/content/content-api-resources
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from channels_hub.contract import PlatformTemplate
from channels_twilio.buttons import OWN_PREFIX

APPROVALS: Mapping[str, str] = {
    "unsubmitted": "draft",
    "received": "pending",
    "pending": "pending",
    "approved": "approved",
    "rejected": "rejected",
    "paused": "paused",
    "disabled": "paused",
}


def read(contents: Iterable[Mapping[str, Any]]) -> Iterator[PlatformTemplate]:
    """The templates of one page; those that buttons were made of are nobody's to choose."""
    for one in contents:
        name = str(one.get("friendly_name") or "")
        if one.get("sid") and not name.startswith(OWN_PREFIX):
            yield _template(one, name)


def _template(one: Mapping[str, Any], name: str) -> PlatformTemplate:
    types = one.get("types") or {}
    shape: Mapping[str, Any] = next(iter(types.values()), {}) if isinstance(types, Mapping) else {}
    asked = one.get("approval_requests") or {}
    return PlatformTemplate(
        ref=str(one["sid"]),
        name=str(asked.get("name") or name or one["sid"]),
        language=str(one.get("language") or ""),
        category=str(asked.get("category") or ""),
        body=str(shape.get("body") or shape.get("title") or ""),
        variables={str(key): str(value) for key, value in (one.get("variables") or {}).items()},
        buttons=tuple(_buttons(shape)),
        media=tuple(str(url) for url in shape.get("media") or ()),
        approval=APPROVALS.get(str(asked.get("status") or "unsubmitted").lower(), "draft"),
        reason=str(asked.get("rejection_reason") or "")[:300],
    )


def _buttons(shape: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for action in shape.get("actions") or ():
        yield {"type": str(action.get("type", "")), "title": str(action.get("title", ""))}
    for item in shape.get("items") or ():
        yield {"type": "ITEM", "title": str(item.get("item", ""))}


def following(listed: Mapping[str, Any], root: str) -> str:
    """Address of the next page, on the host that we asked: credentials go nowhere else. Empty at the end."""
    given = (listed.get("meta") or {}).get("next_page_url")
    if not given:
        return ""
    parts = urlsplit(str(given))
    return f"{root}{parts.path}?{parts.query}"


def plain_name(name: str) -> str:
    """A name as WhatsApp takes it: small letters, digits and underscores."""
    letters = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", letters).strip("_")[:512] or "template"
