"""Opening hours against an oracle that looks at the clock on the wall, minute by minute.

The oracle knows no intervals of instants: it asks zoneinfo for the wall time of every UTC minute and looks
that up in a table of open minutes per date, which it makes from the raw columns by the documented order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queues.hours import WEEKDAYS, Hours

ZONES = ("America/Sao_Paulo", "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe", "America/Santiago")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
YEARS = (2016, 2024, 2026)  # Brazil still changed its clocks in 2016
CLOCK = [f"{n // 60:02}:{n % 60:02}" for n in range(1440)]
HOLIDAYS = {"12-25", "01-01"}  # of every year, as closed dates


# ---------------------------------------------------------------- the oracle
class Oracle:
    """The raw columns of a calendar and the rules as they are documented; nothing of queues.hours."""

    def __init__(self, zone: str, intervals: list[Any], closed: list[str], exceptions: list[Any]) -> None:
        self.zone = ZoneInfo(zone)
        self.intervals, self.closed, self.exceptions = intervals, set(closed), exceptions
        self.minutes = cache(self._minutes)

    def spans(self, day: date) -> list[tuple[str, str]]:
        covering = [e for e in self.exceptions if e["from"] <= day.isoformat() <= e["to"]]
        if covering:
            best = min(covering, key=lambda e: date.fromisoformat(e["to"]) - date.fromisoformat(e["from"]))
            return [(i["start"], i["end"]) for i in best["intervals"]]
        if day.isoformat() in self.closed:
            return []
        if not self.intervals:
            return [("00:00", "00:00")]
        return [
            (i["start"], i["end"]) for i in self.intervals if WEEKDAYS.index(i["weekday"]) == day.weekday()
        ]

    def _minutes(self, day: date) -> list[bool]:
        """Whether each wall time of a date is open, 00:00 first."""
        found = [False] * 1440
        for start, end in self.spans(day):
            found = [
                was or (c >= start and (c < end or end <= start)) for was, c in zip(found, CLOCK, strict=True)
            ]
        for start, end in self.spans(day - DAY):
            found = [was or (end <= start and c < end) for was, c in zip(found, CLOCK, strict=True)]
        return found

    def is_open(self, at: datetime) -> bool:
        local = at.astimezone(self.zone)
        return self.minutes(local.date())[local.hour * 60 + local.minute]

    def scan(self, start: datetime, end: datetime) -> list[bool]:
        """Each minute from start to end, half an hour of wall time at once: offsets change no finer."""
        found: list[bool] = []
        here = start
        while here < end:
            local = here.astimezone(self.zone)
            until = min(end, here + MINUTE * (30 - here.minute % 30))
            first = local.hour * 60 + local.minute
            found += self.minutes(local.date())[first : first + (until - here) // MINUTE]
            here = until
        return found


def columns(zone: str, year: int, kind: str) -> tuple[list[Any], list[str], list[Any]]:
    """Calendars that have everything: lunch breaks, nights, whole days, overlaps, days off, special days."""
    every = [{"weekday": day, "start": "00:30", "end": "02:15"} for day in WEEKDAYS]
    weeks: dict[str, list[Any]] = {
        "office": [
            {"weekday": day, "start": start, "end": end}
            for day in WEEKDAYS[:5]
            for start, end in (("09:00", "12:00"), ("13:00", "18:00"))
        ],
        "night": [
            *({"weekday": day, "start": "22:00", "end": "03:30"} for day in WEEKDAYS[3:]), *every,
            {"weekday": "sun", "start": "08:00", "end": "08:00"},
        ],
        "always": [],
    }  # fmt: skip
    closed = [f"{year}-{day}" for day in sorted(HOLIDAYS)]
    special = [
        {"from": f"{year}-03-01", "to": f"{year}-03-20", "intervals": [{"start": "01:30", "end": "02:45"}]},
        {"from": f"{year}-03-10", "to": f"{year}-03-10", "intervals": []},
        {"from": f"{year}-12-25", "to": f"{year}-12-25", "intervals": [{"start": "20:00", "end": "04:00"}]},
        {"from": f"{year}-11-01", "to": f"{year}-11-01", "intervals": [{"start": "00:00", "end": "00:00"}]},
    ]
    return weeks[kind], closed, special


def pair(zone: str, year: int, kind: str) -> tuple[Hours, Oracle]:
    intervals, closed, special = columns(zone, year, kind)
    return Hours.parse(zone, intervals, closed, "", special), Oracle(zone, intervals, closed, special)


def edges(scanned: list[bool]) -> Iterator[int]:
    return (n for n in range(1, len(scanned)) if scanned[n] != scanned[n - 1])


# ---------------------------------------------------------------- whole years
@pytest.mark.parametrize("kind", ["office", "night", "always"])
@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_of_minutes(zone: str, year: int, kind: str) -> None:
    hours, oracle = pair(zone, year, kind)
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    scanned = oracle.scan(start, end)

    # Every opening and closing of the year, in one walk of each function.
    walked, here = [], start
    while here < end:
        follows = hours.next_close(here) if hours.is_open(here) else hours.next_open(here)
        if follows is None or follows >= end:
            break
        walked.append((follows - start) // MINUTE)
        here = follows
    assert walked == list(edges(scanned))
    assert hours.is_open(start) is scanned[0]
    assert hours.business_delta(start, end) == sum(scanned) * MINUTE


@pytest.mark.parametrize("kind", ["office", "night"])
@pytest.mark.parametrize("zone", ZONES)
def test_each_minute_around_each_clock_change(zone: str, kind: str) -> None:
    for year in YEARS:
        hours, oracle = pair(zone, year, kind)
        for change in changes(zone, year):
            for n in range(-36 * 60, 36 * 60, 5):
                at = change + n * MINUTE
                assert hours.is_open(at) is oracle.is_open(at), at
            for n in range(-90, 90):
                at = change + n * MINUTE
                assert hours.is_open(at) is oracle.is_open(at), at


@cache
def changes(zone: str, year: int) -> tuple[datetime, ...]:
    """The half hours of a year at which the offset is another than before."""
    there, found, before = ZoneInfo(zone), [], None
    for n in range(365 * 48):
        at = datetime(year, 1, 1, tzinfo=UTC) + n * 30 * MINUTE
        offset = at.astimezone(there).utcoffset()
        if before is not None and offset != before:
            found.append(at)
        before = offset
    return tuple(found)


def test_the_oracle_looks_at_real_clock_changes() -> None:
    assert [len(changes(zone, 2016)) for zone in ZONES] == [2] * 5
    assert [len(changes(zone, 2026)) for zone in ZONES] == [0, 2, 2, 2, 2]


# ---------------------------------------------------------------- weeks that Hypothesis picks
clock = st.sampled_from([f"{h:02}:{m:02}" for h in (0, 1, 2, 3, 8, 12, 18, 22, 23) for m in (0, 15, 45)])
span = st.fixed_dictionaries({"start": clock, "end": clock})
interval = st.fixed_dictionaries({"weekday": st.sampled_from(WEEKDAYS), "start": clock, "end": clock})


@st.composite
def calendars(draw: st.DrawFn) -> tuple[Hours, Oracle, datetime]:
    """A calendar with days off around a start that is near a clock change more often than not."""
    zone, year = draw(st.sampled_from(ZONES)), draw(st.sampled_from(YEARS))
    near = changes(zone, year) or (datetime(year, 6, 1, tzinfo=UTC),)
    start = draw(st.sampled_from(near)) + draw(st.integers(-4 * 1440, 1440)) * MINUTE
    day = st.integers(-2, 8).map(lambda n: (start + n * DAY).date().isoformat())
    closed = draw(st.lists(day, max_size=2))
    special = []
    for first in draw(st.lists(day, max_size=2, unique=True)):
        last = (date.fromisoformat(first) + draw(st.integers(0, 2)) * DAY).isoformat()
        special.append({"from": first, "to": last, "intervals": draw(st.lists(span, max_size=2))})
    intervals = draw(st.lists(interval, max_size=8))
    return (
        Hours.parse(zone, intervals, closed, "", special), Oracle(zone, intervals, closed, special), start
    )  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(calendars(), st.integers(0, 6 * 1440))
def test_a_week_against_the_oracle(made: tuple[Hours, Oracle, datetime], length: int) -> None:
    hours, oracle, start = made
    scanned = oracle.scan(start, start + 7 * DAY)
    passed = [0, *accumulate(scanned)]

    assert hours.business_delta(start, start + length * MINUTE) == passed[length] * MINUTE
    for amount in {1, passed[-1] // 2, passed[-1]} - {0}:
        due = hours.add_business_time(start, amount * MINUTE)
        if amount <= passed[-1]:
            assert due == start + bisect_left(passed, amount) * MINUTE
    first = hours.next_open(start)
    if True in scanned:
        assert first == start + scanned.index(True) * MINUTE
    else:
        assert first is None or first >= start + 7 * DAY


@settings(max_examples=150, deadline=None)
@given(calendars(), st.integers(0, 40 * 3600), st.integers(0, 40 * 3600))
def test_business_time_is_undone_and_never_goes_back(
    made: tuple[Hours, Oracle, datetime], one: int, two: int
) -> None:
    hours, _, start = made
    less, more = sorted((timedelta(seconds=one), timedelta(seconds=two)))
    due, later = hours.add_business_time(start, less), hours.add_business_time(start, more)

    if due is None or later is None:
        return
    assert hours.business_delta(start, due) == less
    assert hours.business_delta(due, start) == -less
    assert start <= due <= later
    assert hours.business_delta(due, later) == more - less
    if less:
        assert hours.business_delta(start, due - timedelta(microseconds=1)) < less


@settings(max_examples=100, deadline=None)
@given(calendars(), st.integers(0, 59_999_999))
def test_next_open_is_the_first_open_instant(made: tuple[Hours, Oracle, datetime], fraction: int) -> None:
    hours, _, start = made
    start += timedelta(microseconds=fraction)
    opens = hours.next_open(start)

    if opens is not None:
        assert hours.is_open(opens)
        assert hours.business_delta(start, opens) == timedelta(0)
        assert (opens == start) is hours.is_open(start)
        closes = hours.next_close(opens)
        assert closes is None or (not hours.is_open(closes) and closes > opens)
        why = hours.explain(start)
        assert (why.is_open, why.next_open) == (hours.is_open(start), opens)
