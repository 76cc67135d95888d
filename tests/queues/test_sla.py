"""The clocks of an SLA policy: what runs from when, when it warns, when it ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queues.hours import Hours
from queues.models import SlaTarget
from queues.sla import Clock, Facts, Policy, Stage, Target, clocks, next_stage, since, wind

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)  # 9 in the morning in São Paulo
OFFICE = Hours.parse(
    "America/Sao_Paulo",
    [{"weekday": day, "start": "09:00", "end": "18:00"} for day in ("mon", "tue", "wed", "thu", "fri")],
)
NIGHT = Hours.parse("America/Sao_Paulo", [{"weekday": "fri", "start": "22:00", "end": "06:00"}])
NEVER = Hours.parse(
    "UTC",
    [{"weekday": "mon", "start": "09:00", "end": "10:00"}],
    exceptions=[
        {"from": f"{year}-01-01", "to": f"{year}-12-31", "name": "over", "intervals": []}
        for year in range(2026, 2036)
    ]
    + [{"from": "2036-01-01", "to": "2036-06-01", "name": "over", "intervals": []}],
)
ALL = Policy(name="gold", minutes=dict.fromkeys(Target, 60))
FRESH = Facts(is_with_people=True, queued_at=MONDAY, handed_over_at=MONDAY, waiting_since=MONDAY)


def at(hours: float) -> datetime:
    return MONDAY + timedelta(hours=hours)


def test_the_models_know_the_same_targets() -> None:
    assert list(SlaTarget.values) == [target.value for target in Target]


@pytest.mark.parametrize(
    ("change", "running"),
    [
        ({}, "wait first_response resolution"),
        ({"queued_at": None}, "first_response resolution"),
        ({"queued_at": None, "first_response_at": at(1)}, "next_response resolution"),
        ({"queued_at": None, "first_response_at": at(1), "waiting_since": None}, "resolution"),
        ({"first_response_at": at(1)}, "wait next_response resolution"),
        ({"is_with_people": False}, ""),
    ],
)
def test_which_clocks_run(change: dict[str, Any], running: str) -> None:
    facts = replace(FRESH, **change)
    assert " ".join(Target(clock.kind).word for clock in clocks(ALL, facts)) == running


@pytest.mark.parametrize(
    ("target", "start"),
    [
        (Target.WAIT, at(2)),
        (Target.FIRST_RESPONSE, None),
        (Target.NEXT_RESPONSE, at(3)),
        (Target.RESOLUTION, at(0)),
    ],
)
def test_each_clock_counts_from_its_own_moment(target: Target, start: datetime | None) -> None:
    facts = replace(FRESH, queued_at=at(2), waiting_since=at(3), first_response_at=at(1))
    assert since(target, facts) == start


def test_a_target_without_minutes_is_not_watched() -> None:
    policy = Policy(name="one", minutes={Target.RESOLUTION: 5})
    assert [clock.kind for clock in clocks(policy, FRESH)] == [Target.RESOLUTION]


@pytest.mark.parametrize(
    ("start", "minutes", "hours", "warn", "due"),
    [
        (at(0), 60, None, at(0.8), at(1)),
        (at(0), 60, OFFICE, at(0.8), at(1)),
        (at(8.5), 60, OFFICE, at(24.3), at(24.5)),  # half an hour today, half an hour tomorrow
        (at(-5), 60, OFFICE, at(0.8), at(1)),  # written at night: counts from nine
        (at(24 * 4 + 8.5), 60, OFFICE, at(24 * 7 + 0.3), at(24 * 7 + 0.5)),  # over the weekend
        (at(24 * 4 + 13), 480, NIGHT, at(24 * 4 + 13 + 6.4), at(24 * 5 - 3)),  # past midnight
    ],
)
def test_business_time(
    start: datetime, minutes: int, hours: Hours | None, warn: datetime, due: datetime
) -> None:
    clock = wind("x", start, minutes, 80, hours)
    assert clock == Clock("x", start, warn, due)


def test_the_night_of_the_clock_change_is_an_hour_shorter() -> None:
    """New York, 8 March 2026: two o'clock does not exist. Four working hours from midnight end at five."""
    hours = Hours.parse("America/New_York", [{"weekday": "sun", "start": "00:00", "end": "12:00"}])
    midnight = datetime(2026, 3, 8, 5, tzinfo=UTC)
    clock = wind("x", midnight, 240, 50, hours)
    assert clock is not None
    assert clock.due_at.astimezone(hours.zone).hour == 5
    assert (clock.warn_at.astimezone(hours.zone).hour, clock.due_at - midnight) == (3, timedelta(hours=4))


def test_a_team_that_never_opens_owes_nothing() -> None:
    assert clocks(replace(ALL, hours=NEVER), FRESH) == ()


@pytest.mark.parametrize(
    ("struck", "now", "coming"),
    [
        (None, at(0), (Stage.WARNING, at(0.8))),
        (None, at(0.9), (Stage.WARNING, at(0.8))),
        (None, at(1), (Stage.BREACH, at(1))),  # nobody looked in time: a warning would be a joke
        (Stage.WARNING, at(0.9), (Stage.BREACH, at(1))),
        (Stage.WARNING, at(5), (Stage.BREACH, at(1))),
        (Stage.BREACH, at(5), None),
    ],
)
def test_a_clock_warns_then_ends_then_is_silent(struck: Stage | None, now: datetime, coming: Any) -> None:
    assert next_stage(Clock("x", at(0), at(0.8), at(1)), struck, now) == coming


MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))


@settings(max_examples=200, deadline=None)
@given(
    start=MOMENTS,
    minutes=st.integers(1, 3000),
    percent=st.integers(1, 99),
    hours=st.sampled_from([None, OFFICE, NIGHT]),
)
def test_it_warns_before_it_ends_and_never_in_closed_time(
    start: datetime, minutes: int, percent: int, hours: Hours | None
) -> None:
    clock = wind("x", start, minutes, percent, hours)
    assert clock is not None
    assert start < clock.warn_at < clock.due_at
    for moment in (clock.warn_at, clock.due_at):
        # The very end of an opening is the last moment that still belongs to it.
        assert hours is None or hours.is_open(moment - timedelta(microseconds=1))
    if hours:
        assert hours.business_delta(start, clock.due_at) == timedelta(minutes=minutes)


@settings(max_examples=100, deadline=None)
@given(start=MOMENTS, minutes=st.integers(1, 3000), more=st.integers(1, 500))
def test_a_longer_promise_never_ends_earlier(start: datetime, minutes: int, more: int) -> None:
    short, long = wind("x", start, minutes, 80, OFFICE), wind("x", start, minutes + more, 80, OFFICE)
    assert short is not None
    assert long is not None
    assert short.due_at < long.due_at
