"""The next thing that must happen by itself: armed with each move, claimed by whoever looks first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django_scopes import scopes_disabled

from conversations.models import Conversation, Deadline, State

Kind = Deadline.Kind
LEASE = timedelta(seconds=30)
BOT_SILENCE = timedelta(hours=24)  # a contact who never answers the bot
NOBODY_LOOKS = timedelta(minutes=30)

# Which deadlines make sense in which state; all others go when the state changes.
KEPT: dict[str, tuple[str, ...]] = {
    State.PENDING: (Kind.BOT_TURN, Kind.ATTENTION),
    State.BOT: (Kind.BOT_TURN, Kind.BOT_TIMEOUT, Kind.BOT_IDLE),
    State.QUEUED: (Kind.QUEUE_WAIT, Kind.ATTENTION),
    State.HUMAN_HANDOFF: (Kind.AGENT_IDLE, Kind.SNOOZE),
    State.CLOSED: (),
}


def arm(conversation: Conversation, kind: str, due_at: datetime, data: dict[str, Any] | None = None) -> None:
    """Set or move one deadline. Call under the conversation's lock."""
    Deadline.objects.update_or_create(
        conversation=conversation,
        kind=kind,
        defaults={
            "organization_id": conversation.organization_id,
            "due_at": due_at,
            "epoch": conversation.bot_epoch,
            "data": data or {},
            "attempts": 0,
        },
    )


def disarm(conversation: Conversation, *kinds: str) -> None:
    conversation.deadlines.filter(kind__in=kinds).delete()


def rearm(conversation: Conversation, now: datetime) -> None:
    """After a move: drop what belongs to the old state, arm what the new one needs."""
    conversation.deadlines.exclude(kind__in=KEPT[conversation.state]).delete()
    match conversation.state:
        case State.BOT:
            arm(conversation, Kind.BOT_IDLE, now + BOT_SILENCE)
        case State.QUEUED:
            _arm_waiting(conversation, now)
        case State.HUMAN_HANDOFF:
            _arm_idle(conversation, now)


def _arm_waiting(conversation: Conversation, now: datetime) -> None:
    queue = conversation.queue
    disarm(conversation, Kind.QUEUE_WAIT)
    if queue.wait_limit_minutes:
        arm(conversation, Kind.QUEUE_WAIT, now + timedelta(minutes=queue.wait_limit_minutes))
    wait = timedelta(minutes=queue.sla_minutes) if queue.sla_minutes else NOBODY_LOOKS
    arm(conversation, Kind.ATTENTION, now + wait)


def _arm_idle(conversation: Conversation, now: datetime) -> None:
    queue = conversation.queue
    if queue and queue.agent_idle_minutes:
        arm(conversation, Kind.AGENT_IDLE, now + timedelta(minutes=queue.agent_idle_minutes))
    else:
        disarm(conversation, Kind.AGENT_IDLE)


def touch_agent(conversation: Conversation, now: datetime) -> None:
    """The agent did something: the idle clock starts again."""
    conversation.last_activity_at = now
    _arm_idle(conversation, now)


def claim_due(limit: int = 50) -> list[Deadline]:
    """Take due deadlines for 30 seconds. A worker that dies leaves them to the next one."""
    parameters: list[Any] = [LEASE, limit]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE conversations_deadline SET due_at = now() + %s, attempts = attempts + 1
            WHERE id IN (SELECT id FROM conversations_deadline WHERE due_at <= now()
                         ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,
            parameters,
        )
        ids = [row[0] for row in cursor.fetchall()]
    with scopes_disabled():
        return list(Deadline.objects.filter(id__in=ids).select_related("organization"))


def finish(deadline: Deadline) -> None:
    """Done with it, unless somebody armed it anew meanwhile."""
    Deadline.objects.filter(pk=deadline.pk, due_at=deadline.due_at).delete()
