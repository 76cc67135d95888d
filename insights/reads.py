"""What board and wall count, in SQL that reads what is open or of today: history costs nothing.

Organization and queues are given by the callers, who read them inside their scope.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection

from accounts.ids import first_id_at
from conversations.timeline import GIVES
from queues.models import Priority

MOST = 9999  # nobody needs to know more exactly how many wait
Kind = TypeVar("Kind")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


# ---------------------------------------------------------------- who waits
@dataclass(frozen=True, slots=True)
class Waiting:
    """One queue: how many wait (at most MOST + 1), since when the oldest, and the first in line."""

    count: int = 0
    oldest: datetime | None = None
    first: Sequence[UUID] = ()


# The oldest is sought per priority, so that each part walks only the index of the waiting line.
WAITING = """
SELECT q.id, counted.n, oldest.at, first.ids FROM unnest(%(queues)s::uuid[]) AS q(id)
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM (
        SELECT 1 FROM conversations_conversation
        WHERE queue_id = q.id AND state = 'queued' LIMIT %(most)s) AS bounded) AS counted
CROSS JOIN LATERAL (
    SELECT min(one.queued_at) AS at FROM unnest(%(priorities)s::smallint[]) AS p(priority)
    CROSS JOIN LATERAL (
        SELECT queued_at FROM conversations_conversation
        WHERE queue_id = q.id AND state = 'queued' AND queue_priority = p.priority
        ORDER BY queued_at LIMIT 1) AS one) AS oldest
CROSS JOIN LATERAL (
    SELECT array_agg(line.id) AS ids FROM (
        SELECT id FROM conversations_conversation
        WHERE queue_id = q.id AND state = 'queued'
        ORDER BY queue_priority DESC, queued_at, id LIMIT %(cards)s) AS line) AS first
"""


def waiting(queue_ids: Collection[UUID], *, cards: int = 0) -> dict[UUID, Waiting]:
    """Every queue's line, with the ids of its first `cards`. One statement."""
    asked = {
        "queues": list(queue_ids), "most": MOST + 1, "priorities": list(Priority.values), "cards": cards,
    }  # fmt: skip
    return {pk: Waiting(n, oldest, tuple(first or ())) for pk, n, oldest, first in _rows(WAITING, asked)}


# ---------------------------------------------------------------- stays of today and yesterday
@dataclass(slots=True)
class Kept:
    """Of the stays that were decided, how many kept the promise."""

    judged: int = 0
    missed: int = 0

    def add(self, judged: int, missed: int) -> None:
        self.judged += judged
        self.missed += missed

    @property
    def percent(self) -> float | None:
        return 100 * (self.judged - self.missed) / self.judged if self.judged else None


@dataclass(slots=True)
class Stays:
    """What today's stays in queues say: promises kept, by queue, and the traffic by hour."""

    today: dict[UUID, Kept] = field(default_factory=dict)
    yesterday: dict[UUID, Kept] = field(default_factory=dict)
    came: Counter[int] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)


# Decided is a stay that an agent ended or that missed a promise. A promise missed after the stay is its own
# only when an agent took it from there: another queue answers for what happens in that one. Hours are counted
# from midnight, so that a day on which clocks change has all of its hours.
STAYS = """
SELECT queue_id, came, taken, count(*), count(*) FILTER (WHERE took OR missed), count(*) FILTER (WHERE missed)
FROM (
    SELECT s.queue_id, s.left_by = ANY(%(gives)s) AS took,
        floor(date_part('epoch', s.entered_at - %(midnight)s) / 3600)::int AS came,
        CASE WHEN s.left_by = ANY(%(gives)s)
            THEN floor(date_part('epoch', s.left_at - %(midnight)s) / 3600)::int END AS taken,
        coalesce(late.sla_breached_at >= s.entered_at, false) AND (
            s.left_at IS NULL OR s.left_by = ANY(%(gives)s) OR late.sla_breached_at <= s.left_at) AS missed
    FROM conversations_stay s
    LEFT JOIN conversations_conversation late ON late.id = s.conversation_id
        AND late.organization_id = %(organization)s AND late.sla_breached_at >= %(since)s
    WHERE s.queue_id = ANY(%(queues)s::uuid[]) AND s.entered_at >= %(since)s) AS stays
GROUP BY queue_id, came, taken
"""


def stays(organization_id: UUID, queue_ids: Collection[UUID], midnight: datetime) -> Stays:
    """The stays since yesterday; `midnight` began today in the organization's zone. One statement."""
    since = (midnight.replace(tzinfo=None) - DAY).replace(tzinfo=midnight.tzinfo)
    asked = {
        "organization": organization_id, "queues": list(queue_ids), "midnight": midnight, "since": since,
        "gives": sorted(GIVES),
    }  # fmt: skip
    found = Stays()
    for queue_id, came, taken, n, judged, missed in _rows(STAYS, asked):
        by_queue = found.today if came >= 0 else found.yesterday
        by_queue.setdefault(queue_id, Kept()).add(judged, missed)
        if came >= 0:
            found.came[_hour(midnight, came)] += n
        if taken is not None and taken >= 0:
            found.taken[_hour(midnight, taken)] += n
    return found


def _hour(midnight: datetime, passed: int) -> int:
    """What the wall clock shows so many hours after midnight."""
    return (midnight.astimezone(UTC) + passed * HOUR).astimezone(midnight.tzinfo).hour


# ---------------------------------------------------------------- conversations and outbox
@dataclass(frozen=True, slots=True)
class Now:
    """The whole desk or a department at this moment."""

    with_agents: int
    with_bot: int
    unhandled: int
    late: int
    attention: int
    unsent: int
    failed: int


# A department is its queues. Conversations with the bot stand in none: they are always the whole desk's.
NOW = """
SELECT held.*, late.n, attention.n, unsent.n, failed.n FROM
  (SELECT count(*) FILTER (WHERE state = 'human_handoff' AND (%(all)s OR queue_id = ANY(%(queues)s::uuid[]))),
          count(*) FILTER (WHERE state = 'bot'), count(*) FILTER (WHERE state = 'pending')
   FROM conversations_conversation
   WHERE organization_id = %(organization)s AND state IN ('pending', 'bot', 'human_handoff')) AS held,
  (SELECT count(*) AS n FROM (
     SELECT 1 FROM conversations_conversation
     WHERE organization_id = %(organization)s AND sla_breached_at IS NOT NULL AND state <> 'closed'
       AND (%(all)s OR queue_id = ANY(%(queues)s::uuid[])) LIMIT %(most)s) AS bounded) AS late,
  (SELECT count(DISTINCT c.id) AS n FROM conversations_event e
   JOIN conversations_conversation c ON c.id = e.conversation_id
   WHERE e.organization_id = %(organization)s AND e.type = 'attention' AND e.at >= %(day_ago)s
     AND c.state IN ('queued', 'human_handoff') AND (c.last_activity_at IS NULL OR c.last_activity_at < e.at)
     AND (%(all)s OR c.queue_id = ANY(%(queues)s::uuid[]))) AS attention,
  (SELECT count(*) AS n FROM (
     SELECT 1 FROM conversations_delivery
     WHERE organization_id = %(organization)s AND status IN ('pending', 'retrying')
     LIMIT %(most)s) AS bounded) AS unsent,
  (SELECT count(*) AS n FROM conversations_delivery
   WHERE organization_id = %(organization)s AND status = 'failed' AND settled_at >= %(hour_ago)s) AS failed
"""


def now(organization_id: UUID, queue_ids: Collection[UUID] | None, at: datetime) -> Now:
    """Counts of the whole desk (`queue_ids` None) or of some queues. One statement."""
    asked = {
        "organization": organization_id, "all": queue_ids is None, "queues": list(queue_ids or ()),
        "day_ago": at - DAY, "hour_ago": at - HOUR, "most": MOST + 1,
    }  # fmt: skip
    return Now(*_rows(NOW, asked)[0])


@dataclass(frozen=True, slots=True)
class Today:
    """What today's conversations say, and how long sendings of the last hour took."""

    contained: int
    handed_over: int
    first_response: timedelta | None
    send_delay: timedelta | None


TODAY = """
SELECT talks.*, sendings.* FROM
  (SELECT
     count(*) FILTER (WHERE close_reason = 'bot_done' AND closed_at >= %(midnight)s AND handoff_at IS NULL),
     count(*) FILTER (WHERE handoff_at >= %(midnight)s AND flow_id IS NOT NULL),
     percentile_disc(0.9) WITHIN GROUP (ORDER BY first_response_at - handoff_at)
       FILTER (WHERE first_response_at >= greatest(handoff_at, %(midnight)s)
               AND (%(all)s OR queue_id = ANY(%(queues)s::uuid[])))
   FROM conversations_conversation
   WHERE organization_id = %(organization)s AND last_message_at >= %(midnight)s) AS talks,
  (SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY settled_at - created_at)
   FROM conversations_delivery
   WHERE organization_id = %(organization)s AND id >= %(first)s
     AND status IN ('queued', 'sent', 'delivered', 'read') AND settled_at >= created_at) AS sendings
"""


def today(
    organization_id: UUID, queue_ids: Collection[UUID] | None, midnight: datetime, at: datetime
) -> Today:
    """The day of the whole desk (`queue_ids` None) or of some queues. One statement."""
    asked = {
        "organization": organization_id, "all": queue_ids is None, "queues": list(queue_ids or ()),
        "midnight": midnight, "first": first_id_at(at - HOUR),
    }  # fmt: skip
    return Today(*_rows(TODAY, asked)[0])


# ---------------------------------------------------------------- what may be a little older
class Memory:
    """What a watch keeps from one look to the next: the day, for many times as long as reading it took.

    A small desk reads them anew each time; where a day is long, reading it takes a small part of the time.
    """

    times = 20

    def __init__(self) -> None:
        self.known: dict[Hashable, tuple[float, Any]] = {}
        self.cards: dict[Hashable, str] = {}  # the board's last cards as HTML, by what they show

    def recall(self, key: Hashable, read: Callable[[], Kind]) -> Kind:
        began = time.monotonic()
        until, value = self.known.get(key, (0.0, None))
        if began < until:
            return value
        value = read()
        ended = time.monotonic()
        self.known = {k: v for k, v in self.known.items() if v[0] > began}
        self.known[key] = (ended + self.times * (ended - began), value)
        return value
