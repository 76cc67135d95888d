"""How an agent stands on board and wall: presence, since when, and how full their hands are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from insights.floor import Person, Presence
from insights.shown import short_text


@dataclass(frozen=True, slots=True)
class Agent:
    pk: UUID
    name: str
    presence: str
    words: str  # the presence, or the reason of a break
    since: str
    lasts: str
    load: int
    capacity: int

    @property
    def is_here(self) -> bool:
        return self.presence in (Presence.ONLINE, Presence.BUSY)

    @property
    def is_full(self) -> bool:
        return self.load >= self.capacity


def agents_of(people: Sequence[Person], now: datetime) -> list[Agent]:
    return [_agent(person, now) for person in people]


def _agent(person: Person, now: datetime) -> Agent:
    profile = person.profile
    reason = profile.break_reason if profile.presence == Presence.AWAY else None
    return Agent(
        pk=profile.member_id,
        name=profile.member.name,
        presence=profile.presence,
        words=reason.name if reason else profile.get_presence_display(),
        since=profile.presence_since.isoformat(),
        lasts=short_text(now - profile.presence_since),
        load=person.facts.load,
        capacity=person.facts.capacity,
    )
