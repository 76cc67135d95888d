"""When the desk itself changes an agent's presence. Pure: facts, patience and a clock in, a change out.

One agent has one presence, whatever the number of tabs and devices. What those tell is when somebody was last
seen (some page of theirs was open) and when there was last input (a key, a click, a call of the API); only
silence is judged here, a dropped connection is nothing else. What a person chose - a break, offline - stays
until they choose again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Why(StrEnum):
    """What made the desk act."""

    GONE = "gone"  # no page of theirs is open
    IDLE = "idle"  # a page is open, but nobody touches it
    BACK = "back"  # there is input again
    VANISHED = "vanished"  # gone for so long that their conversations go back
    RETIRED = "retired"  # they do not work here any more


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an agent. `before` is what they were when the desk set them away."""

    presence: str
    is_automatic: bool
    since: datetime
    seen_at: datetime | None = None
    input_at: datetime | None = None
    before: str = "online"
    works_here: bool = True


@dataclass(frozen=True, slots=True)
class Patience:
    """How long silence is borne."""

    gone_after: timedelta = timedelta(minutes=2)
    away_after: timedelta = timedelta(minutes=15)
    return_after: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Change:
    presence: str
    is_automatic: bool
    why: Why


def judge(facts: Facts, patience: Patience, now: datetime) -> Change | None:
    """What the presence should be now, or None when it is right as it is."""
    if not facts.works_here:
        return None if facts.presence == "offline" else Change("offline", True, Why.RETIRED)
    if facts.presence in ("online", "busy"):
        return _present(facts, patience, now)
    if facts.presence == "away" and facts.is_automatic:
        return _set_away(facts, patience, now)
    return None


def _present(facts: Facts, patience: Patience, now: datetime) -> Change | None:
    """Choosing a presence is a sign of life too: an API client that has no page is there from then on."""
    if now - _latest(facts.seen_at, facts.since) >= patience.gone_after:
        return Change("away", True, Why.GONE)
    if now - _latest(facts.input_at, facts.since) >= patience.away_after:
        return Change("away", True, Why.IDLE)
    return None


def _set_away(facts: Facts, patience: Patience, now: datetime) -> Change | None:
    # Counted from when they were last seen - but after an outage, in which nobody is seen, or for who has no
    # page at all, from when the wait for them began.
    silent = now - _latest(facts.seen_at, facts.since - patience.gone_after)
    touched = facts.input_at is not None and facts.input_at > facts.since
    if touched and silent < patience.gone_after:
        return Change(facts.before, False, Why.BACK)
    if silent >= max(patience.return_after, patience.gone_after):
        return Change("offline", True, Why.VANISHED)
    return None


def _latest(moment: datetime | None, other: datetime) -> datetime:
    return other if moment is None else max(moment, other)
