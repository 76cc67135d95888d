"""How each channel fares: calls of a day and an hour, what waits, the rate in use, what went wrong.

Read from the attempts by the index that also counts permits: the page costs the same in the tenth year.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_hub import registry
from channels_hub.contract import Outcome
from channels_hub.models import ChannelAccount
from conversations import pacing, troubles, words
from conversations.admin_outbox import NO_CODE
from conversations.models import Pace

MOST_CODES = 8  # of a channel
GOOD, FAIR = 98.0, 90.0  # percent of calls that were accepted
BECAUSE = {
    "rate_limited": gettext_lazy("the platform says that it goes too fast"),
    "unreachable": gettext_lazy("nobody answers at the platform"),
}


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls that ended within a stretch of time."""

    ended: int
    accepted: int
    median: int | None  # milliseconds
    slow: int | None  # of the slowest twentieth

    @property
    def percent(self) -> float | None:
        return 100 * self.accepted / self.ended if self.ended else None

    @property
    def css(self) -> str:
        if self.percent is None:
            return ""
        return "ok" if self.percent >= GOOD else "warn" if self.percent >= FAIR else "bad"


@dataclass(frozen=True, slots=True)
class Problem:
    """What calls of the last day came back with."""

    code: str
    words: str
    advice: str
    count: int
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    channel: ChannelAccount
    hour: Calls
    day: Calls
    minute: int  # accepted in the last one
    taken: int  # permits
    allowed: pacing.Rate | None  # None: this installation has no adapter for it
    is_limited: bool
    last_accepted: datetime | None
    waiting: int
    oldest: timedelta | None
    unknown: int
    rests_until: datetime | None
    because: str
    failures: int
    problems: Sequence[Problem]
    outbox: str  # addresses of the lists that show what is counted
    unconfirmed: str

    @property
    def rests(self) -> bool:
        return self.rests_until is not None

    @property
    def waiting_for(self) -> str:
        return words.span(self.oldest) if self.oldest is not None else ""


# One pass over a day's calls; what it is folded from has a row per outcome, code and millisecond at most.
CALLS = """
SELECT channel_id, ended_at > %(now)s - interval '1 hour', outcome, code, milliseconds, count(*),
    count(*) FILTER (WHERE ended_at > %(now)s - interval '1 minute')
FROM conversations_attempt
WHERE channel_id = ANY(%(channels)s::uuid[]) AND ended_at > %(now)s - interval '24 hours'
GROUP BY 1, 2, 3, 4, 5
"""
NOW = """
SELECT c.id, good.at, held.n, queue.n, queue.due, lost.n
FROM unnest(%(channels)s::uuid[], %(kept)s::interval[]) AS c(id, kept)
LEFT JOIN LATERAL (
    SELECT ended_at AS at FROM conversations_attempt
    WHERE channel_id = c.id AND ended_at IS NOT NULL AND outcome = 'accepted'
    ORDER BY ended_at DESC LIMIT 1) AS good ON true
CROSS JOIN LATERAL (
    SELECT (SELECT count(*) FROM conversations_attempt WHERE channel_id = c.id AND ended_at IS NULL)
        + (SELECT count(*) FROM conversations_attempt
           WHERE channel_id = c.id AND ended_at > (SELECT clock_timestamp() - c.kept)) AS n) AS held
CROSS JOIN LATERAL (
    SELECT count(*) AS n, min(due_at) AS due FROM conversations_delivery
    WHERE channel_id = c.id AND status IN ('pending', 'retrying')) AS queue
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM conversations_delivery
    WHERE organization_id = %(organization)s AND channel_id = c.id AND status = 'unknown') AS lost
"""


@dataclass(slots=True)
class Tally:
    """The calls of one channel and one stretch of time, while they are counted."""

    ended: int = 0
    accepted: int = 0
    minute: int = 0
    took: Counter[int] = field(default_factory=Counter)
    problems: Counter[tuple[str, str]] = field(default_factory=Counter)  # by code and outcome

    def add(self, outcome: str, code: str, took: int | None, n: int, lately: int) -> None:
        self.ended += n
        if took is not None:
            self.took[took] += n
        if outcome == Outcome.ACCEPTED:
            self.accepted += n
            self.minute += lately
        else:
            self.problems[code, "" if code else outcome] += n

    def calls(self) -> Calls:
        return Calls(self.ended, self.accepted, self._within(0.5), self._within(0.95))

    def _within(self, share: float) -> int | None:
        """In how many milliseconds that share of the calls was answered."""
        wanted, seen = share * self.took.total(), 0
        for milliseconds, n in sorted(self.took.items()):
            seen += n
            if seen >= wanted:
                return milliseconds
        return None


def of(channels: Sequence[ChannelAccount], now: datetime) -> list[Health]:
    """The channels, which are of one organization, in their order. Three statements."""
    if not channels:
        return []
    rates = {channel.pk: _rate(channel) for channel in channels}
    asked: dict[str, Any] = {
        "channels": [channel.pk for channel in channels],
        "kept": [timedelta(seconds=rate.seconds if rate else 0) for rate in rates.values()],
        "now": now,
        "organization": channels[0].organization_id,
    }
    hours, days = defaultdict[UUID, Tally](Tally), defaultdict[UUID, Tally](Tally)
    with connection.cursor() as cursor:
        cursor.execute(CALLS, asked)
        for channel_id, lately, *calls in cursor.fetchall():
            days[channel_id].add(*calls)
            if lately:
                hours[channel_id].add(*calls)
        cursor.execute(NOW, asked)
        figures = {row[0]: row[1:] for row in cursor.fetchall()}
    paces = {pace.channel_id: pace for pace in Pace.objects.filter(channel__in=channels)}
    return [
        _health(one, hours[one.pk], days[one.pk], figures[one.pk], paces.get(one.pk), rates[one.pk], now)
        for one in channels
    ]


def _rate(channel: ChannelAccount) -> pacing.Rate | None:
    return pacing.rate_of(channel) if channel.kind in registry.kinds() else None


def _health(
    channel: ChannelAccount,
    hour: Tally,
    day: Tally,
    figures: tuple[Any, ...],
    pace: Pace | None,
    rate: pacing.Rate | None,
    now: datetime,
) -> Health:
    last, taken, waiting, due, unknown = figures
    resting = pace is not None and pace.rests_until is not None and pace.rests_until > now
    problems = sorted(day.problems.items(), key=lambda one: (-one[1], one[0]))[:MOST_CODES]
    return Health(
        channel=channel,
        hour=hour.calls(),
        day=day.calls(),
        minute=day.minute,
        taken=taken,
        allowed=rate,
        is_limited=rate is not None and rate.seconds > 0,
        last_accepted=last,
        waiting=waiting,
        oldest=max(now - due, timedelta(0)) if due else None,
        unknown=unknown,
        rests_until=pace.rests_until if pace and resting else None,
        because=str(BECAUSE.get(pace.rests_because, pace.rests_because)) if pace and resting else "",
        failures=pace.failures if pace else 0,
        problems=[_problem(channel, *kind, n) for kind, n in problems],
        outbox=_list("delivery", channel, status="pending,retrying"),
        unconfirmed=_list("deadletter", channel, status="unknown"),
    )


def _problem(channel: ChannelAccount, code: str, outcome: str, count: int) -> Problem:
    narrowed = {"code": code} if code else {"code": NO_CODE, "outcome": outcome}
    return Problem(
        code or outcome,
        troubles.meaning(code, outcome) or _("The platform gave no words for it."),
        troubles.explained(channel, code),
        count,
        _list("attempt", channel, within="24h", **narrowed),
    )


def _list(model: str, channel: ChannelAccount, **narrowed: str) -> str:
    """The address of a list that shows what is counted."""
    page = reverse(f"admin:conversations_{model}_changelist")
    return f"{page}?{urlencode({'channel__id__exact': str(channel.pk), **narrowed})}"
