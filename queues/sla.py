"""By when must it have happened? Pure: policy, facts of a conversation and opening hours in, clocks out.

What each clock runs for, and between which moments:

    wait            entering a queue -> leaving it; entering another one starts it anew
    first response  the hand-over to people -> the first answer of a person
    next response   the customer's first unanswered message -> the answer; only after a first answer
    resolution      the hand-over to people -> the end

The customer's time never stands still because of us: a snooze and a hold stop no clock. Next response runs
only while the customer waits, so nothing runs against us while we wait for the customer but the resolution.
While the bot has the conversation nothing runs; back with people the clocks count from the same moments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from queues.hours import Hours


class Target(StrEnum):
    """What a policy sets a time for; the values are those of `SlaTarget` and of the deadline kinds."""

    WAIT = "sla_wait"
    FIRST_RESPONSE = "sla_first"
    NEXT_RESPONSE = "sla_next"
    RESOLUTION = "sla_resolution"

    @property
    def word(self) -> str:
        """How API and ledger name it: wait, first_response, next_response, resolution."""
        return self.name.lower()


class Stage(StrEnum):
    WARNING = "warning"
    BREACH = "breach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Minutes per target; a target that is not named is not watched. No hours: around the clock."""

    name: str
    minutes: Mapping[Target, int]
    warn_percent: int = 80
    hours: Hours | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What has happened in a conversation so far. `is_with_people`: it waits for an agent or has one."""

    is_with_people: bool
    queued_at: datetime | None = None  # null when it stands in no queue
    handed_over_at: datetime | None = None
    first_response_at: datetime | None = None
    waiting_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """One running promise; `kind` is a target, or another deadline that warns before it ends."""

    kind: str
    since: datetime
    warn_at: datetime
    due_at: datetime


def since(target: Target, facts: Facts) -> datetime | None:
    """When the clock of a target started; None while it does not run."""
    if not facts.is_with_people:
        return None
    match target:
        case Target.WAIT:
            return facts.queued_at
        case Target.FIRST_RESPONSE:
            return None if facts.first_response_at else facts.handed_over_at
        case Target.NEXT_RESPONSE:
            return facts.waiting_since if facts.first_response_at else None
        case Target.RESOLUTION:
            return facts.handed_over_at


def clocks(policy: Policy, facts: Facts) -> tuple[Clock, ...]:
    """Every promise that runs now. A team that never opens again owes nothing."""
    found = (_clock(target, policy, facts) for target in Target)
    return tuple(clock for clock in found if clock is not None)


def _clock(target: Target, policy: Policy, facts: Facts) -> Clock | None:
    minutes, start = policy.minutes.get(target), since(target, facts)
    if minutes is None or start is None:
        return None
    return wind(target, start, minutes, policy.warn_percent, policy.hours)


def wind(kind: str, start: datetime, minutes: int, warn_percent: int, hours: Hours | None) -> Clock | None:
    """A clock from its start on; None when its end never comes. The warning is a part of the same time."""
    span = timedelta(minutes=minutes)
    warn_at, due_at = _later(start, span * warn_percent / 100, hours), _later(start, span, hours)
    return Clock(kind, start, warn_at, due_at) if warn_at and due_at else None


def _later(start: datetime, span: timedelta, hours: Hours | None) -> datetime | None:
    try:
        return hours.add_business_time(start, span) if hours else start + span
    except OverflowError:  # a time that somebody typed, beyond the end of the calendar
        return None


def next_stage(clock: Clock, struck: Stage | None, now: datetime) -> tuple[Stage, datetime] | None:
    """What comes next on a clock that has struck so far. A warning that the end has overtaken is left out."""
    if struck is Stage.BREACH:
        return None
    if struck is None and now < clock.due_at:
        return Stage.WARNING, clock.warn_at
    return Stage.BREACH, clock.due_at
