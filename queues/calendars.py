"""What people do with calendars: take days off out of a file, ask why a moment is open or closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Membership
from queues import services
from queues.hours import Explanation, Rule
from queues.ics import DayOff, Found
from queues.models import Calendar

# Between these the clock changes and the holidays are known.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Added:
    """The days that became special days, and those whose dates the calendar or the file had before."""

    days: tuple[DayOff, ...]
    known: tuple[DayOff, ...]


@transaction.atomic
def add_days_off(pk: UUID, days: Sequence[DayOff], *, actor: Membership) -> Added:
    """Close a calendar on these days. What stands there for the same dates stays as it is.

    Raises Calendar.DoesNotExist, and ValidationError when the calendar would hold too many.
    """
    calendar = Calendar.objects.select_for_update(of=("self",)).get(pk=pk)
    added = sort_out(calendar, days)
    if added.days:
        calendar.exceptions = sorted(
            [*calendar.exceptions, *(day.entry() for day in added.days)], key=lambda entry: entry["from"]
        )
        calendar.clean()
        calendar.revision += 1
        calendar.save(update_fields=["exceptions", "revision"])
        audit.record(
            "calendar.imported",
            organization=calendar.organization,
            actor=actor,
            target=calendar,
            data={"days": len(added.days)},
        )
        services.call_router(calendar.organization_id, "hours")
    return added


def sort_out(calendar: Calendar, days: Sequence[DayOff]) -> Added:
    """Which days a calendar would gain, changing nothing."""
    taken = {(entry["from"], entry.get("to") or entry["from"]) for entry in calendar.exceptions}
    new: list[DayOff] = []
    known: list[DayOff] = []
    for day in days:
        dates = (day.first.isoformat(), day.last.isoformat())
        (known if dates in taken else new).append(day)
        taken.add(dates)
    return Added(tuple(new), tuple(known))


def passed_over(added: Added, found: Found) -> list[dict[str, str]]:
    """What a file held that did not become a special day, and why: {name, at, reason}."""
    doubles = [
        {
            "name": day.name,
            "at": day.first.isoformat(),
            "reason": _("There is a special day for these dates already."),
        }
        for day in added.known
    ]
    others = [{"name": one.name, "at": one.at, "reason": _(one.reason)} for one in found.skipped]
    return doubles + others


def moment(text: str, zone: ZoneInfo) -> datetime:
    """An instant from a text, now without one; lacking an offset it is what the clock of the zone shows.

    Raises ValueError, also outside 1970 to 2099.
    """
    at = datetime.fromisoformat(text) if text else timezone.now()
    at = at if at.tzinfo else at.replace(tzinfo=zone)
    if not EARLIEST <= at < LATEST:
        raise ValueError
    return at


def reason(why: Explanation) -> str:
    """Why a moment is open or closed, as a sentence."""
    given = {"name": why.name, "span": why.span}
    match why.rule:
        case Rule.ALWAYS:
            return _("There are no weekly hours, so it is always open.")
        case Rule.INTERVAL:
            return _("It lies in the weekly hours, %(span)s.") % given
        case Rule.PAST_MIDNIGHT:
            return _("The hours of the day before, %(span)s, pass midnight.") % given
        case Rule.SPECIAL_DAY if why.is_open:
            return _("It lies in the hours of the special day “%(name)s”, %(span)s.") % given
        case Rule.SPECIAL_DAY:
            return _("The special day “%(name)s” has no hours at that time.") % given
        case Rule.HOLIDAY:
            return _("It is a public holiday: %(name)s.") % given
        case Rule.CLOSED_DATE:
            return _("The date is on the list of closed dates.")
    return _("It lies outside the weekly hours.")
