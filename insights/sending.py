"""Sending in figures: what was written in a period and what became of it, by channel, hour, error and origin.

A delivery counts in the period in which it was written, as it stands now. Lists that a figure leads to narrow
in the same way (`conversations.periods`), so both agree.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.urls import reverse
from django.utils.dates import WEEKDAYS_ABBR
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_hub.contract import State
from channels_hub.models import ChannelAccount
from conversations import periods, troubles
from conversations.admin_outbox import NO_CODE
from conversations.models import DEAD, Delivery
from insights.charts import Bars, Heat
from insights.reads import Memory
from insights.shown import percent_text

QUARTER = 900  # seconds: every zone's hours begin at one
ERRORS = 30  # lines
# Column -> the statuses it counts. Read ones were delivered, and delivered ones were sent.
COLUMNS: Mapping[str, tuple[State, ...]] = {
    "sent": (State.QUEUED, State.SENT, State.DELIVERED, State.READ),
    "delivered": (State.DELIVERED, State.READ),
    "read": (State.READ,),
    "failed": (State.FAILED, State.EXPIRED),
    "unknown": (State.UNKNOWN,),
    "waiting": (State.PENDING, State.RETRYING, State.PROCESSING),
    "cancelled": (State.CANCELLED,),
}
NAMES: Mapping[str, Any] = {
    "sent": gettext_lazy("sent"),
    "delivered": gettext_lazy("delivered"),
    "read": gettext_lazy("read"),
    "failed": gettext_lazy("failed"),
    "unknown": gettext_lazy("not confirmed"),
    "waiting": gettext_lazy("waiting"),
    "cancelled": gettext_lazy("cancelled"),
}
ORIGINS: Mapping[str, Any] = {
    Delivery.Origin.AGENT: gettext_lazy("agents"),
    Delivery.Origin.BOT: gettext_lazy("the bot"),
    Delivery.Origin.SYSTEM: gettext_lazy("notices of the desk"),
    Delivery.Origin.API: gettext_lazy("the API"),
    Delivery.Origin.BULK: gettext_lazy("campaigns"),
}

# Quarters of an hour first: few enough that zones and the four ways to sum cost nothing.
WRITTEN = """
WITH slots AS (
    SELECT floor(extract(epoch FROM created_at) / %(quarter)s)::bigint AS slot, channel_id, origin, status,
        error_code, count(*) AS n
    FROM conversations_delivery
    WHERE organization_id = %(organization)s AND id >= %(first)s
      AND (%(channel)s::uuid IS NULL OR channel_id = %(channel)s)
    GROUP BY 1, 2, 3, 4, 5
), local AS (
    SELECT *, to_timestamp(slot * %(quarter)s) AT TIME ZONE %(zone)s AS at FROM slots
), placed AS (
    SELECT *, extract(isodow FROM at)::int - 1 AS day, extract(hour FROM at)::int AS hour FROM local
)
SELECT grouping(channel_id, error_code, origin, hour), channel_id, origin, status, error_code, day, hour,
    sum(n)::bigint
FROM placed GROUP BY GROUPING SETS (
    (channel_id, status), (origin, status), (day, hour, status), (channel_id, status, error_code))
"""
BY_CHANNEL, BY_ORIGIN, BY_HOUR = 0b0111, 0b1101, 0b1110  # what grouping() says of them


@dataclass(slots=True)
class Counted:
    """The figures of one period, by what they are summed over; each by status."""

    channels: dict[UUID, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    origins: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    hours: dict[tuple[int, int], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    errors: dict[tuple[UUID, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and the list of what it counts."""

    name: str
    count: int
    link: str


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    total: Figure
    figures: Sequence[Figure]
    delivered: str  # percent of what was sent


@dataclass(frozen=True, slots=True)
class Error:
    channel: str
    code: str
    words: str
    advice: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Page:
    total: Line
    channels: Sequence[Line]
    origins: Sequence[Line]
    errors: Sequence[Error]
    hours: Bars
    week: Heat


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page is asked for."""

    organization_id: UUID
    period: str
    channel: ChannelAccount | None
    zone: ZoneInfo
    now: datetime

    def count(self) -> Counted:
        found = Counted()
        asked: dict[str, Any] = {
            "organization": self.organization_id, "quarter": QUARTER, "zone": self.zone.key,
            "first": periods.first_id(self.period, self.now, self.zone),
            "channel": self.channel.pk if self.channel else None,
        }  # fmt: skip
        with connection.cursor() as cursor:
            cursor.execute(WRITTEN, asked)
            for kind, channel, origin, status, code, day, hour, n in cursor.fetchall():
                if kind == BY_CHANNEL:
                    found.channels[channel][status] += n
                elif kind == BY_ORIGIN:
                    found.origins[origin][status] += n
                elif kind == BY_HOUR:
                    found.hours[day, hour][status] += n
                else:
                    found.errors[channel, code][status] += n
        return found

    def link(self, model: str, **narrowed: Any) -> str:
        given = {"written": self.period}
        if self.channel:
            given["channel__id__exact"] = str(self.channel.pk)
        return f"{reverse(f'admin:conversations_{model}_changelist')}?{urlencode(given | narrowed)}"


# A long period is read anew only after many times as long as reading it took.
recent = Memory()


def page(asked: Asked, channels: Mapping[UUID, ChannelAccount]) -> Page:
    """The figures as the page shows them. One statement, or none when they were read a moment ago."""
    key = asked.organization_id, asked.period, asked.channel.pk if asked.channel else None
    counted = recent.recall(key, asked.count)
    whole: Counter[str] = Counter()
    for by_status in counted.channels.values():
        whole.update(by_status)
    by_name = sorted(counted.channels, key=lambda pk: channels[pk].name)
    return Page(
        total=_line(asked, _("All"), whole),
        channels=[
            _line(asked, channels[pk].name, counted.channels[pk], channel__id__exact=str(pk))
            for pk in by_name
        ],
        origins=[
            _line(asked, str(name), counted.origins[origin], origin__exact=origin)
            for origin, name in ORIGINS.items()
            if origin in counted.origins
        ],
        errors=_errors(asked, counted, channels),
        hours=_hours(counted),
        week=_week(counted),
    )


def _line(asked: Asked, name: str, by_status: Counter[str], **narrowed: str) -> Line:
    figures = []
    for column, statuses in COLUMNS.items():
        dead = not set(statuses) - set(DEAD)
        link = asked.link("deadletter" if dead else "delivery", status=",".join(statuses), **narrowed)
        figures.append(Figure(column, sum(by_status[status] for status in statuses), link))
    sent, delivered = figures[0].count, figures[1].count
    total = Figure("total", by_status.total(), asked.link("delivery", **narrowed))
    return Line(name, total, figures, percent_text(100 * delivered / sent if sent else None))


def _errors(asked: Asked, counted: Counted, channels: Mapping[UUID, ChannelAccount]) -> list[Error]:
    """What is dead, by code, the most frequent first."""
    found = []
    for (pk, code), by_status in counted.errors.items():
        if not (n := sum(by_status[status] for status in DEAD)):
            continue
        channel = channels[pk]
        link = asked.link("deadletter", channel__id__exact=str(pk), error=code or NO_CODE)
        words, advice = troubles.meaning(code), troubles.explained(channel, code)
        found.append(Error(channel.name, code, words, advice, Figure("dead", n, link)))
    return sorted(found, key=lambda one: (-one.figure.count, one.code))[:ERRORS]


def _hours(counted: Counted) -> Bars:
    sent, failed = Counter[int](), Counter[int]()
    for (_day, hour), by_status in counted.hours.items():
        sent[hour] += sum(by_status[status] for status in COLUMNS["sent"])
        failed[hour] += sum(by_status[status] for status in DEAD)
    rows = [(f"{hour}h", (sent[hour], failed[hour])) for hour in range(24)]
    return Bars(_("By hour of the day"), _("Hour"), (_("sent"), _("failed or not confirmed")), rows)


def _week(counted: Counted) -> Heat:
    return Heat(
        _("Written, by weekday and hour"),
        _("Weekday"),
        [str(WEEKDAYS_ABBR[day]) for day in range(7)],
        [f"{hour}h" for hour in range(24)],
        {place: by_status.total() for place, by_status in counted.hours.items()},
    )
