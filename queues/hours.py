"""Is a team at work now? Pure: zone, intervals and instant in, answer out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class InvalidHours(ValueError):
    """The opening hours can't be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Opening time on one weekday; an end at or before the start belongs to the next day."""

    weekday: int
    start: time
    end: time

    @property
    def passes_midnight(self) -> bool:
        return self.end <= self.start


@dataclass(frozen=True, slots=True)
class Hours:
    """The opening hours of one calendar. No interval at all means always open."""

    zone: ZoneInfo
    intervals: tuple[Interval, ...] = ()
    closed: frozenset[date] = frozenset()

    @classmethod
    def parse(
        cls, zone: str, intervals: Iterable[Mapping[str, str]], closed_dates: Iterable[str] = ()
    ) -> Hours:
        """Read the stored form. Raises InvalidHours."""
        try:
            return cls(
                ZoneInfo(zone),
                tuple(_interval(index, item) for index, item in enumerate(intervals)),
                frozenset(date.fromisoformat(day) for day in closed_dates),
            )
        except (ZoneInfoNotFoundError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise error if isinstance(error, InvalidHours) else InvalidHours(str(error)) from error

    def is_open(self, at: datetime) -> bool:
        """Whether the instant lies in an interval of its day, or of the day before past midnight."""
        if not self.intervals:
            return at.astimezone(self.zone).date() not in self.closed
        local = at.astimezone(self.zone)
        return self._covers(local.date(), local.time()) or self._spills(local.date(), local.time())

    def next_open(self, after: datetime) -> datetime | None:
        """The first opening at or after the instant, within a year; None when there is none."""
        if self.is_open(after):
            return after
        local = after.astimezone(self.zone)
        for offset in range(367):
            day = local.date() + timedelta(days=offset)
            for start in sorted(i.start for i in self._of(day)):
                opening = datetime.combine(day, start, self.zone)
                if opening >= local:
                    return opening
        return None

    def _of(self, day: date) -> list[Interval]:
        return [] if day in self.closed else [i for i in self.intervals if i.weekday == day.weekday()]

    def _covers(self, day: date, clock: time) -> bool:
        return any(i.start <= clock and (i.passes_midnight or clock < i.end) for i in self._of(day))

    def _spills(self, day: date, clock: time) -> bool:
        return any(i.passes_midnight and clock < i.end for i in self._of(day - timedelta(days=1)))


def _interval(index: int, item: Mapping[str, str]) -> Interval:
    try:
        return Interval(
            WEEKDAYS.index(item["weekday"]),
            time.fromisoformat(item["start"]),
            time.fromisoformat(item["end"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidHours(
            f"interval {index + 1}: needs weekday (mon..sun), start and end (HH:MM)"
        ) from error
