"""How fast and whose turn: which channel is served next, and how many of its messages may go now.

A channel makes at most n calls in any sliding second. A call takes one of n permits when it is claimed and
gives it back one second after it ended: whatever happens between the claim and the platform, two calls on one
permit arrive there more than a second apart. Permits are counted from the attempts in the database, under the
lock of the channel's row: so they hold for any number of workers and without Redis. Those of a worker that
died come back with its lease: slower then, never faster.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F
from django_scopes import scopes_disabled

from channels_hub import registry
from channels_hub.contract import Capabilities
from channels_hub.models import ChannelAccount
from conversations.models import Pace

AT_ONCE = 200  # calls under way for a channel that has no rate
CHANNEL_REST = timedelta(seconds=60)  # a channel with refused credentials is tried once a minute
UNREACHABLE_AFTER = 5  # connections in a row that reached nobody; then the channel rests
SHORTEST_REST, LONGEST_REST = timedelta(seconds=10), timedelta(minutes=5)
FAST = 5  # calls a second from which on one is kept for people; below, waiting for the next is no matter
LOWEST_EVERY = 8  # one turn in so many begins with the lowest priority, so that it is never starved

# The organization that was served longest ago comes first, then its channel.
TURN = """
SELECT p.id FROM conversations_pace p JOIN channels_hub_channelaccount c ON c.id = p.channel_id
WHERE p.channel_id <> ALL(%(passed)s) AND (p.rests_until IS NULL OR p.rests_until <= now())
  AND NOT (c.health = 'attention' AND c.health_at > now() - %(rest)s)
  AND EXISTS (SELECT 1 FROM conversations_delivery d WHERE d.channel_id = p.channel_id
              AND d.status IN ('pending', 'retrying') AND d.due_at <= now())
ORDER BY (SELECT max(o.served_at) FROM conversations_pace o WHERE o.organization_id = p.organization_id)
         NULLS FIRST, p.served_at NULLS FIRST, p.id
LIMIT 1 FOR NO KEY UPDATE OF p
"""
NEW = """
INSERT INTO conversations_pace (id, organization_id, channel_id, served, failures, rests_because)
SELECT gen_random_uuid(), c.organization_id, c.id, 0, 0, '' FROM channels_hub_channelaccount c
WHERE NOT EXISTS (SELECT 1 FROM conversations_pace p WHERE p.channel_id = c.id)
ON CONFLICT DO NOTHING
"""
# Two ranges of the index, and the clock read once: asked row by row it would walk all that was ever sent.
TAKEN = """
SELECT count(*), extract(epoch FROM min(ended_at) + %(kept)s - clock_timestamp()) FROM (
    SELECT ended_at FROM conversations_attempt WHERE channel_id = %(channel)s AND ended_at IS NULL
    UNION ALL
    SELECT ended_at FROM conversations_attempt
    WHERE channel_id = %(channel)s AND ended_at > (SELECT clock_timestamp() - %(kept)s)) AS held
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in any stretch of so many seconds."""

    calls: int
    seconds: float

    @classmethod
    def of(cls, per_second: float | None) -> Rate:
        """0.5 a second is one in two seconds; None is no limit but that of calls under way."""
        if per_second is None:
            return cls(AT_ONCE, 0.0)
        calls = max(1, int(per_second))
        return cls(calls, calls / per_second)

    @property
    def kept_for_people(self) -> int:
        """Permits that bulk leaves free, so that an answer need not wait behind a campaign."""
        return self.calls // 10 or int(self.calls >= FAST)


@dataclass(frozen=True, slots=True)
class Turn:
    """A channel's turn, its row locked: what may be claimed for it now."""

    pace: Pace
    caps: Capabilities
    free: int
    for_bulk: int
    lowest_first: bool
    wait: float | None = None  # seconds until a permit comes back, when none is free


def turn(passed: Collection[UUID]) -> Turn | None:
    """Whose turn it is, without the channels that were looked at already. Call inside a transaction."""
    with connection.cursor() as cursor:
        asked: dict[str, Any] = {"passed": list(passed), "rest": CHANNEL_REST}
        cursor.execute(TURN, asked)
        row = cursor.fetchone()
        if row is None:  # perhaps a channel sends for the first time
            cursor.execute(NEW)
            if not cursor.rowcount:
                return None
            cursor.execute(TURN, asked)
            row = cursor.fetchone()
    if row is None:
        return None
    with scopes_disabled():
        pace = Pace.objects.select_related("channel").get(pk=row[0])
    caps = registry.adapter_class(pace.channel.kind).caps
    rate = rate_of(pace.channel)
    taken, wait = _taken(pace.channel, rate.seconds)
    free = rate.calls - taken
    for_bulk = free - rate.kept_for_people
    if pace.failures >= UNREACHABLE_AFTER:  # one call tries whether anybody is there again
        free = for_bulk = min(free, 1 - _taken(pace.channel, 0.0)[0])
    return Turn(
        pace,
        caps,
        max(0, free),
        max(0, for_bulk),
        lowest_first=pace.served % LOWEST_EVERY == LOWEST_EVERY - 1,
        wait=wait,
    )


def rate_of(channel: ChannelAccount) -> Rate:
    """The channel's own rate, else that of its kind."""
    own = channel.rate_per_second
    return Rate.of(own if own is not None else registry.adapter_class(channel.kind).caps.rate_per_second)


def _taken(channel: ChannelAccount, seconds: float) -> tuple[int, float | None]:
    """How many calls count now, and in how many seconds the first that ended counts no more."""
    with connection.cursor() as cursor:
        asked: dict[str, Any] = {"channel": channel.pk, "kept": timedelta(seconds=seconds)}
        cursor.execute(TAKEN, asked)
        count, wait = cursor.fetchone()
    return count, None if wait is None else max(0.0, float(wait))


def served(pace: Pace, now: datetime) -> None:
    """Something was claimed: the others are served before this one comes again."""
    pace.served_at, pace.served = now, pace.served + 1
    pace.save(update_fields=["served_at", "served"])


# ---------------------------------------------------------------- rest
def reached(channel_id: UUID) -> None:
    """The platform answered: what was counted against it is forgotten."""
    Pace.objects.filter(channel_id=channel_id, failures__gt=0).update(
        failures=0, rests_until=None, rests_because=""
    )


def not_reached(channel_id: UUID, now: datetime) -> None:
    """Nobody was there. After several in a row the channel rests, longer each time."""
    Pace.objects.filter(channel_id=channel_id).update(failures=F("failures") + 1)
    pace = Pace.objects.get(channel_id=channel_id)
    beyond = pace.failures - UNREACHABLE_AFTER
    if beyond >= 0:
        rest(channel_id, now + min(SHORTEST_REST * 2 ** min(beyond, 10), LONGEST_REST), "unreachable")


def rest(channel_id: UUID, until: datetime, because: str) -> None:
    """The whole channel waits; never shorter than it already does."""
    rows = Pace.objects.filter(channel_id=channel_id).exclude(rests_until__gt=until)
    rows.update(rests_until=until, rests_because=because)


def end_rest(channel_id: UUID) -> bool:
    """A person says so. What was counted against it stays: one call tries whether anybody is there again."""
    rows = Pace.objects.filter(channel_id=channel_id, rests_until__isnull=False)
    return bool(rows.update(rests_until=None, rests_because=""))
