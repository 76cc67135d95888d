"""Place in line and expected wait, from the book of stays."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from conversations.models import Conversation, State, Stay
from conversations.stays import COUNTED, ahead_of
from queues import waiting

HISTORY = timedelta(days=28)
MOST_ENDED, MOST_OPEN = 2000, 500
TAKEN_BY = frozenset({"claim", "assign", "take_over"})  # the verbs that gave it to an agent


def position(conversation: Conversation) -> int | None:
    """Its place in line, counted from 1 and to 1001 at most; None when it does not wait."""
    return ahead_of(conversation) + 1 if conversation.state == State.QUEUED else None


def waiting_now(queue_id: UUID) -> int:
    """How many wait in a queue, at most 1000 counted."""
    return Conversation.objects.filter(state=State.QUEUED, queue_id=queue_id)[:COUNTED].count()


def expected_wait(queue_id: UUID, ahead: int, now: datetime) -> timedelta | None:
    """How long somebody waits who has so many ahead; None when history is too thin to say.

    Four in five of those who came with as many ahead waited no longer; rounded up.
    """
    return waiting.expected(_waits(queue_id, ahead, now), ahead)


def _waits(queue_id: UUID, ahead: int, now: datetime) -> Iterable[waiting.Wait]:
    """The latest stays that ended, and the longest of those that still go on: a queue that is stuck tells."""
    stays = Stay.objects.filter(
        queue_id=queue_id, entered_at__gte=now - HISTORY, ahead__gte=waiting.lowest(ahead)
    ).values_list("ahead", "entered_at", "left_at", "left_by")
    ended = stays.filter(left_at__isnull=False).order_by("-entered_at")[:MOST_ENDED]
    going_on = stays.filter(left_at__isnull=True).order_by("entered_at")[:MOST_OPEN]
    for before, entered_at, left_at, left_by in (*ended, *going_on):
        lasted = ((left_at or now) - entered_at).total_seconds()
        yield waiting.Wait(before, max(0.0, lasted), left_by in TAKEN_BY)
