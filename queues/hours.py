"""When is a team at work? Pure: zone, hours and instant in, answer out. The one gate for opening hours.

The hours of a date come from the first of these that speaks of it:

1. a special day; where two overlap the one that covers fewer days, then the one that is listed first
2. a closed date
3. a public holiday
4. the weekly hours; a calendar without any is open throughout

An interval that passes midnight belongs to the day it began. A holiday does not cut short the night before
it, and takes its own night with it, early hours of the next day included.

Open means that the clock on the wall there shows a time inside an interval. An hour that the wall shows twice
when clocks go back counts twice; one that it never shows when they go forward does not count. All arithmetic
is done in UTC, and the instants that come out are UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from queues import public_holidays
from queues.sentences import Unreadable, gettext_noop

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
ONE_DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
# How far into the future anybody looks; what takes longer than that has no date.
HORIZON = timedelta(days=3660)
MAX_RANGE = 366
MAX_SPECIAL_DAYS = 4000
MAX_SPANS = 48
CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidHours(Unreadable):
    """The opening hours can't be read; the message says where."""


class Rule(StrEnum):
    """What decided whether a moment is open."""

    ALWAYS = "always"  # there are no weekly hours
    INTERVAL = "interval"
    PAST_MIDNIGHT = "past_midnight"  # of the day before
    SPECIAL_DAY = "special_day"
    HOLIDAY = "holiday"
    CLOSED_DATE = "closed_date"
    OUTSIDE_HOURS = "outside_hours"


@dataclass(frozen=True, slots=True)
class Span:
    """Opening time in minutes from the midnight that begins its day; beyond 24 hours it passes midnight."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.start)}-{_clock(self.end)}"


@dataclass(frozen=True, slots=True)
class Special:
    """Hours of their own for one date or several in a row; none: closed all day."""

    first: date
    last: date
    name: str = ""
    spans: tuple[Span, ...] = ()

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(self.days))


@dataclass(frozen=True, slots=True)
class Plan:
    """The hours of one date, and which rule says so."""

    rule: Rule
    spans: tuple[Span, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What decided about one moment; the span it lies in, if it is open."""

    rule: Rule
    name: str
    span: Span | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a moment is open or closed: `name` of the special day or holiday, `span` it lies in."""

    is_open: bool
    rule: Rule
    name: str
    span: Span | None
    local: datetime
    next_change: datetime | None
    next_open: datetime | None


Week = tuple[tuple[Span, ...], ...]
NO_WEEK: Week = ((),) * 7
ALL_DAY = (Span(0, DAY),)


@dataclass(frozen=True, slots=True)
class Hours:
    """The opening hours of one calendar."""

    zone: ZoneInfo
    week: Week = NO_WEEK
    closed: frozenset[date] = frozenset()
    holidays: str = ""
    specials: tuple[Special, ...] = ()
    _special: Mapping[date, Special] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[date, Special] = {}
        for special in sorted(self.specials, key=lambda special: special.days):
            for day in special:
                found.setdefault(day, special)
        object.__setattr__(self, "_special", found)

    @classmethod
    def parse(
        cls,
        zone: str,
        intervals: Any = (),
        closed_dates: Any = (),
        holidays: str = "",
        exceptions: Any = (),
    ) -> Hours:
        """Read the stored form. Raises InvalidHours."""
        try:
            public_holidays.check(holidays)
        except public_holidays.UnknownHolidays as error:
            raise InvalidHours(error.text, **error.params) from error
        return cls(_zone(zone), _week(intervals), _closed(closed_dates), holidays, _specials(exceptions))

    # ------------------------------------------------------------------ questions
    def is_open(self, at: datetime) -> bool:
        """Whether the clock on the wall shows a time inside the hours of its day, or of the night before."""
        return self._verdict(at.astimezone(self.zone)).span is not None

    def next_open(self, after: datetime) -> datetime | None:
        """The first open instant at or after this one; None when there is none within ten years."""
        return next((start for start, _end in self._pieces(after, after + HORIZON)), None)

    def next_close(self, after: datetime) -> datetime | None:
        """The first closed instant at or after this one; None when there is none within ten years."""
        here = after.astimezone(UTC)
        limit = here + HORIZON
        for start, end in self._pieces(here, limit):
            if start > here:
                break
            here = end
        return here if here < limit else None

    def add_business_time(self, start: datetime, amount: timedelta) -> datetime | None:
        """The earliest instant by which that much open time has passed; None when not within ten years."""
        if amount < timedelta(0):
            raise ValueError("Business time is added forward.")
        if not amount:
            return start.astimezone(UTC)
        for begin, end in self._pieces(start, start + HORIZON):
            if amount <= end - begin:
                return begin + amount
            amount -= end - begin
        return None

    def business_delta(self, a: datetime, b: datetime) -> timedelta:
        """The open time from one instant to another; negative when the second comes first."""
        if b < a:
            return -self.business_delta(b, a)
        return sum((end - start for start, end in self._pieces(a, b)), timedelta(0))

    def explain(self, at: datetime, language: str = "") -> Explanation:
        """Whether a moment is open, which rule decided, and what comes next."""
        local = at.astimezone(self.zone)
        verdict = self._verdict(local)
        name = verdict.name
        if verdict.rule is Rule.HOLIDAY:
            name = public_holidays.of(self.holidays, local.year, language)[local.date()]
        opens = self.next_open(at)
        return Explanation(
            is_open=verdict.span is not None,
            rule=verdict.rule,
            name=name,
            span=verdict.span,
            local=local,
            next_change=self.next_close(at) if verdict.span else opens,
            next_open=opens,
        )

    # ------------------------------------------------------------------ one day
    def _plan(self, day: date) -> Plan:
        if special := self._special.get(day):
            return Plan(Rule.SPECIAL_DAY, special.spans, special.name)
        if day in self.closed:
            return Plan(Rule.CLOSED_DATE)
        if name := public_holidays.of(self.holidays, day.year).get(day):
            return Plan(Rule.HOLIDAY, (), name)
        if self.week == NO_WEEK:
            return Plan(Rule.ALWAYS, ALL_DAY)
        return Plan(Rule.INTERVAL, self.week[day.weekday()])

    def _verdict(self, local: datetime) -> Verdict:
        minute = local.hour * 60 + local.minute
        today = self._plan(local.date())
        for span in today.spans:
            if span.start <= minute < span.end:
                return Verdict(today.rule, today.name, span)
        before = self._plan(local.date() - ONE_DAY)
        for span in before.spans:
            if minute < span.end - DAY:
                return Verdict(Rule.PAST_MIDNIGHT, before.name, span)
        return Verdict(Rule.OUTSIDE_HOURS if today.rule is Rule.INTERVAL else today.rule, today.name, None)

    def _minutes(self, day: date) -> list[tuple[int, int]]:
        """The minutes of a date that are open, night before included, overlaps merged, in order."""
        found = [(0, span.end - DAY) for span in self._plan(day - ONE_DAY).spans if span.end > DAY]
        found += [(span.start, min(span.end, DAY)) for span in self._plan(day).spans]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return merged

    # ------------------------------------------------------------------ from the wall clock to instants
    def _pieces(self, after: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Open time between two instants, in order, in pieces of a day at most; pieces may touch."""
        for here, end, day, offset in self._stretches(after.astimezone(UTC), until.astimezone(UTC)):
            midnight = datetime.combine(day, time(), UTC) - offset
            for start, stop in self._minutes(day):
                opens = max(here, midnight + timedelta(minutes=start))
                closes = min(end, midnight + timedelta(minutes=stop))
                if opens < closes:
                    yield opens, closes

    def _stretches(
        self, here: datetime, until: datetime
    ) -> Iterator[tuple[datetime, datetime, date, timedelta]]:
        """The time between two instants cut into dates, and where clocks change: inside they run evenly."""
        offset = self._offset(here)
        while here < until:
            day = (here + offset).date()
            end = datetime.combine(day + ONE_DAY, time(), UTC) - offset
            following = self._offset(end)
            if following != offset:
                end = self._change(here, end)
                following = self._offset(end)
            yield here, min(end, until), day, offset
            here, offset = end, following

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self.zone).utcoffset() or timedelta(0)

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The first second with another offset than before, by halving."""
        low, high = (before - EPOCH) // SECOND, (after - EPOCH) // SECOND
        offset = self._offset(before)
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(EPOCH + middle * SECOND) == offset:
                low = middle
            else:
                high = middle
        return EPOCH + high * SECOND


# ---------------------------------------------------------------------- reading the stored form
def _zone(name: Any) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InvalidHours(gettext_noop("There is no time zone “%(zone)s”."), zone=name) from error


def _week(intervals: Any) -> Week:
    days: list[list[Span]] = [[] for _ in WEEKDAYS]
    for number, item in enumerate(_list(intervals), 1):
        if not isinstance(item, Mapping) or item.get("weekday") not in WEEKDAYS:
            text = gettext_noop("Interval %(number)s: the weekday is one of %(days)s.")
            raise InvalidHours(text, number=number, days=", ".join(WEEKDAYS))
        try:
            days[WEEKDAYS.index(item["weekday"])].append(read_span(item))
        except ValueError as error:
            text = gettext_noop("Interval %(number)s: write start and end as HH:MM, between 00:00 and 23:59.")
            raise InvalidHours(text, number=number) from error
    return tuple(_few(spans) for spans in days)


def _few(spans: list[Span]) -> tuple[Span, ...]:
    """The hours of one day. A calendar is read by every decision: it does not grow without end."""
    if len(spans) > MAX_SPANS:
        raise InvalidHours(gettext_noop("A day has more than %(most)s opening hours."), most=MAX_SPANS)
    return tuple(spans)


def _closed(closed_dates: Any) -> frozenset[date]:
    found = set()
    for number, item in enumerate(_list(closed_dates), 1):
        try:
            found.add(_date(item))
        except ValueError as error:
            text = gettext_noop("Closed date %(number)s: write it as 2026-12-25.")
            raise InvalidHours(text, number=number) from error
    return frozenset(found)


def _specials(exceptions: Any) -> tuple[Special, ...]:
    found = tuple(_special(number, item) for number, item in enumerate(_list(exceptions), 1))
    if sum(special.days for special in found) > MAX_SPECIAL_DAYS:
        raise InvalidHours(
            gettext_noop("The special days cover more than %(most)s dates."), most=MAX_SPECIAL_DAYS
        )
    return found


def _special(number: int, item: Any) -> Special:
    if not isinstance(item, Mapping) or not isinstance(item.get("name", ""), str):
        raise InvalidHours(gettext_noop("Special day %(number)s: it needs a date."), number=number)
    try:
        first = _date(item.get("from"))
        last = _date(item.get("to") or item.get("from"))
    except ValueError as error:
        text = gettext_noop("Special day %(number)s: write its dates as 2026-12-25.")
        raise InvalidHours(text, number=number) from error
    if not 0 <= (last - first).days < MAX_RANGE:
        text = gettext_noop("Special day %(number)s: it ends before it begins, or lasts more than a year.")
        raise InvalidHours(text, number=number)
    try:
        spans = [read_span(span) for span in _list(item.get("intervals", ()))]
    except ValueError as error:
        text = gettext_noop("Special day %(number)s: write start and end as HH:MM, between 00:00 and 23:59.")
        raise InvalidHours(text, number=number) from error
    return Special(first, last, item.get("name", ""), _few(spans))


def read_span(item: Any) -> Span:
    """{"start": "22:00", "end": "02:00"}: an end at or before the start belongs to the next day."""
    if not isinstance(item, Mapping):
        raise ValueError
    start, end = _minutes_of(item.get("start")), _minutes_of(item.get("end"))
    return Span(start, end if end > start else end + DAY)


def _minutes_of(text: Any) -> int:
    match = CLOCK.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError
    return int(match[1]) * 60 + int(match[2])


def _date(text: Any) -> date:
    if not isinstance(text, str):
        raise ValueError
    return date.fromisoformat(text)


def _list(value: Any) -> Iterable[Any]:
    if not isinstance(value, list | tuple):
        raise InvalidHours(gettext_noop("Hours, closed dates and special days are lists."))
    return value


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
