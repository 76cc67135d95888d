"""What the board and the wall both say of a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from accounts.roles import Action
from conversations.pages import Chip
from insights.floor import Floor, Line
from insights.shown import count_text, percent_text

GOOD, FAIR = 90.0, 80.0  # percent of promises kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One queue: who waits in it, who serves it, how its promise is kept."""

    pk: UUID
    name: str
    department: str
    waiting: str
    longest: Chip | None
    online: int
    team: int
    kept: str
    kept_css: str
    can_pull: bool

    @classmethod
    def of(cls, line: Line, floor: Floor, *, unpromised: str = "", **more: Any) -> Self:
        """`unpromised` stands where a queue without a promise has no percentage; `more` is the page's own."""
        queue, look = line.queue, floor.look
        return cls(
            pk=queue.pk,
            name=queue.name,
            department=queue.department.name,
            waiting=count_text(line.waiting.count),
            longest=line.longest(floor.now),
            online=line.online,
            team=len(line.team),
            kept=percent_text(line.kept.percent, 0) if line.has_promise else unpromised,
            kept_css=_kept_css(line),
            can_pull=look.may(Action.ANSWER) and look.serves(queue.pk),
            **more,
        )


def _kept_css(line: Line) -> str:
    percent = line.kept.percent
    if percent is None or not line.has_promise:
        return ""
    return "ok" if percent >= GOOD else "warn" if percent >= FAIR else "bad"
