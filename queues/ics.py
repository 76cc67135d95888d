"""Days off out of an .ics file. Pure: bytes and today's date in, days and what was passed over out.

Only whole days are taken, single, several in a row or returning every year; years are written out for this
one and the next two. What recurs more often belongs into the weekly hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import icalendar
import recurring_ical_events

from queues.hours import MAX_RANGE
from queues.sentences import Unreadable, gettext_noop

MAX_BYTES = 1024 * 1024
MAX_DATES = 2000
MAX_EVENTS = 2000
MAX_SERIES = 200  # events that return: each is counted through from its first year
FIRST_YEAR = 1970
YEARS = 3
MAX_NAME = 120
ONE_DAY = timedelta(days=1)
FOLDED = re.compile(r"\r?\n[ \t]")
BORDER = re.compile(r"(BEGIN|END)\b[^:]*:(.*)", re.IGNORECASE)
YEARLY_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS", "WKST"}
BROKEN_FILE = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RecursionError)

TIMED = gettext_noop("It has a time of day; only whole days are taken.")
OFTEN = gettext_noop("It returns more often than once a year; put it into the weekly hours.")
EARLY = gettext_noop("It returns since before 1970.")
LONG = gettext_noop("It lasts longer than a year.")
CANCELLED = gettext_noop("It is cancelled.")
ELSEWHEN = gettext_noop("It has no day in this year or the next two.")
BROKEN = gettext_noop("It cannot be read.")


class UnreadableFile(Unreadable):
    """The file can't be taken; the message says why."""


@dataclass(frozen=True, slots=True, order=True)
class DayOff:
    """One whole day, or several in a row."""

    first: date
    last: date
    name: str

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> DayOff:
        return cls(date.fromisoformat(entry["from"]), date.fromisoformat(entry["to"]), entry["name"])

    def entry(self) -> dict[str, Any]:
        """As a calendar keeps its special days."""
        return {
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "name": self.name,
            "intervals": [],
        }


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event that was passed over; `reason` is an untranslated sentence."""

    name: str
    at: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    days: tuple[DayOff, ...]
    skipped: tuple[Skipped, ...]


def read(raw: bytes, *, today: date) -> Found:
    """The days off of a file, in order, each once. Raises UnreadableFile."""
    days: set[DayOff] = set()
    skipped: list[Skipped] = []
    for series in _by_uid(_events(raw)):
        reason = next(filter(None, map(_refusal, series)), "")
        found = [] if reason else _occurrences(series, today)
        if reason := reason or _refusal_of_days(found):
            skipped.append(Skipped(_name(series[0]), _when(series[0]), reason))
            continue
        days.update(found or ())
        if sum(day.days for day in days) > MAX_DATES:
            raise UnreadableFile(gettext_noop("The file holds more than %(most)s dates."), most=MAX_DATES)
    return Found(tuple(sorted(days)), tuple(skipped))


def _events(raw: bytes) -> list[Any]:
    if len(raw) > MAX_BYTES:
        raise UnreadableFile(gettext_noop("The file is larger than 1 MB."))
    try:
        events = icalendar.Calendar.from_ical(_events_alone(raw.decode("utf-8-sig"))).walk("VEVENT")
    except BROKEN_FILE as error:
        raise UnreadableFile(gettext_noop("The file is no calendar that can be read.")) from error
    if not events:
        raise UnreadableFile(gettext_noop("The file holds no events."))
    if len(events) > MAX_EVENTS or sum("RRULE" in event for event in events) > MAX_SERIES:
        text = gettext_noop("The file holds more than %(most)s events, or %(series)s that return every year.")
        raise UnreadableFile(text, most=MAX_EVENTS, series=MAX_SERIES)
    return events


def _events_alone(text: str) -> str:
    """The file without what is no event, alarms and time zones above all.

    icalendar keeps the zones that a file describes for the whole process: one tenant's would serve another.
    Raises ValueError when the file is no calendar or is cut off.
    """
    kept, inside = [], []
    for line in FOLDED.sub("", text).replace("\r", "").split("\n"):
        border = BORDER.match(line)
        if border and border[1].upper() == "BEGIN":
            inside.append(border[2].strip().upper())
        if inside[:2] == ["VCALENDAR", "VEVENT"] and len(inside) == 2:
            kept.append(line)
        if border and border[1].upper() == "END" and inside.pop() != border[2].strip().upper():
            raise ValueError
    if inside or not BORDER.search(text):
        raise ValueError
    return "\n".join(["BEGIN:VCALENDAR", *kept, "END:VCALENDAR"])


def _by_uid(events: Iterable[Any]) -> Iterable[list[Any]]:
    """Events that belong together: a series and its changed occurrences. Without a UID each stands alone."""
    found: dict[str, list[Any]] = {}
    for number, event in enumerate(events):
        found.setdefault(str(event.get("UID") or f"\0{number}"), []).append(event)
    return found.values()


def _refusal(event: Any) -> str:
    """Why an event is not taken, or nothing."""
    start = _moment(event, "DTSTART")
    if start is None or event.errors:
        return BROKEN
    if isinstance(start, datetime):
        return TIMED
    if str(event.get("STATUS", "")).upper() == "CANCELLED" and "RECURRENCE-ID" not in event:
        return CANCELLED
    return _refusal_of_rule(event.get("RRULE"), start) if "RRULE" in event else ""


def _refusal_of_rule(rule: Any, start: date) -> str:
    if not isinstance(rule, icalendar.vRecur) or min(rule.get("INTERVAL", [1])) < 1:
        return BROKEN
    if rule.get("FREQ") != ["YEARLY"] or set(rule) - YEARLY_PARTS or _several_a_year(rule):
        return OFTEN
    return EARLY if start.year < FIRST_YEAR else ""


def _several_a_year(rule: Any) -> bool:
    """Whether a yearly rule may name more than a few days. The 4th Thursday of November is one."""
    parts = ("BYMONTH", "BYMONTHDAY", "BYDAY", "BYSETPOS")
    months, days, weekdays, place = (len(rule.get(part, [])) for part in parts)
    ordinal = all(len(str(day)) > 2 for day in rule.get("BYDAY", []))
    if months > 1 or place > 1 or (days and not months):
        return True
    return not place and ((days > 1 and not weekdays) or weekdays > 1 or not (ordinal or days))


def _refusal_of_days(found: list[DayOff] | None) -> str:
    if found is None:
        return BROKEN
    if any(day.days > MAX_RANGE for day in found):
        return LONG
    return "" if found else ELSEWHEN


def _occurrences(series: list[Any], today: date) -> list[DayOff] | None:
    """The whole days of a series in this year and the next two; None when it cannot be worked out."""
    calendar = icalendar.Calendar()
    calendar.subcomponents = list(series)
    span = (date(today.year, 1, 1), date(today.year + YEARS, 1, 1))
    try:
        events = recurring_ical_events.of(calendar).between(*span)
        return list(_days_of(events))
    except BROKEN_FILE:
        return None


def _days_of(events: Iterable[Any]) -> Iterator[DayOff]:
    for event in events:
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        first, end = event["DTSTART"].dt, event.end
        if isinstance(first, datetime):
            raise ValueError
        last = max(first, end - ONE_DAY)  # DTEND is the day after; some programs write the day itself
        yield DayOff(first, last, _name(event))


def _moment(event: Any, name: str) -> date | datetime | None:
    found = getattr(event.get(name), "dt", None)
    return found if isinstance(found, date) else None


def _name(event: Any) -> str:
    return " ".join(str(event.get("SUMMARY", "")).replace("\0", "").split())[:MAX_NAME]


def _when(event: Any) -> str:
    start = _moment(event, "DTSTART")
    return start.isoformat() if start else ""
