"""Board and wall as HTML, part by part: the page, the socket and the polling page show the same parts.

A part changes when its markup does. The text of running clocks does not count: the page moves them itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.template.loader import render_to_string
from django.utils import timezone, translation
from django_scopes import scope

from conversations import frames
from insights import board, wall
from insights.floor import Look
from insights.reads import Memory

CLOCK = re.compile(r"(<pt-time[^>]*>)[^<]*(?=</pt-time>)")
READERS: dict[str, Callable[[Look, Memory], tuple[str, dict[str, dict[str, Any]]]]] = {
    "board": board.parts,
    "wall": wall.parts,
}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Part:
    html: str
    mark: str  # equal marks: nothing to send

    @classmethod
    def of(cls, html: str) -> Part:
        return cls(html, _digest(CLOCK.sub(r"\1", html)))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a look."""

    cursor: str
    parts: Mapping[str, Part]

    @property
    def mark(self) -> str:
        return _digest(" ".join(part.mark for part in self.parts.values()))

    def marks(self) -> dict[str, str]:
        return {target: part.mark for target, part in self.parts.items()}

    def frame(self, known: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What a page must change that has parts with these marks; None: a page that may hold anything."""
        has = known or {}
        ops = [
            frames.op("morph", target, part.html)
            for target, part in self.parts.items()
            if has.get(target) != part.mark
        ]
        ops += [frames.op("remove", target) for target in has.keys() - self.parts.keys()]
        return {"cursor": self.cursor, "kind": "wall", "whole": known is None, "ops": ops}


def take(look: Look, memory: Memory | None = None) -> Snapshot:
    """Read and render a look now, in its language and in the zone of its organization."""
    zone = ZoneInfo(look.organization.timezone)
    with scope(organization=look.organization), translation.override(look.language), timezone.override(zone):
        cursor, parts = READERS[look.page](look, memory or Memory())
        return Snapshot(cursor, {target: _render(look, target, shown) for target, shown in parts.items()})


def _render(look: Look, target: str, shown: Mapping[str, Any]) -> Part:
    name = target.partition("-")[0]  # col-<queue id>
    return Part.of(render_to_string(f"insights/_{name}.html", {"look": look, **shown}))
