"""How an agent stands on board and wall: presence, since when, and how full their hands are."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from accounts.roles import Action
from insights.floor import Floor, Person, Presence
from insights.shown import inbox_of, short_text


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
    url: str  # their conversations, for who may see them

    @property
    def is_here(self) -> bool:
        return self.presence in (Presence.ONLINE, Presence.BUSY)

    @property
    def is_full(self) -> bool:
        return self.load >= self.capacity


def agents_of(floor: Floor) -> list[Agent]:
    return [_agent(person, floor) for person in floor.people]


def _agent(person: Person, floor: Floor) -> Agent:
    profile = person.profile
    reason = profile.break_reason if profile.presence == Presence.AWAY else None
    return Agent(
        pk=profile.member_id,
        name=profile.member.name,
        presence=profile.presence,
        words=reason.name if reason else profile.get_presence_display(),
        since=profile.presence_since.isoformat(),
        lasts=short_text(floor.now - profile.presence_since),
        load=person.facts.load,
        capacity=person.facts.capacity,
        url=inbox_of(f"agent:{profile.member_id}") if floor.look.may(Action.ASSIGN) else "",
    )
