"""Figures of queues over the last 30 days: a constant number of statements, each along an index.

Waits come from the book of stays, so that a queue keeps its own figures after a conversation has moved on.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, DurationField, Exists, ExpressionWrapper, F, OuterRef, Q

from conversations import promises
from conversations.models import Conversation, State, Stay
from conversations.moves import database_now
from queues.models import Queue
from queues.services import percentage
from queues.sla import Target

WINDOW = timedelta(days=30)


def _between(start: Any, end: Any) -> ExpressionWrapper:
    return ExpressionWrapper(end - start, output_field=DurationField())


LASTED = _between(F("entered_at"), F("left_at"))


def waiting_figures(queue_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Per queue: who waits now and how long people waited; for lists of queues."""
    now = database_now()
    waiting = Conversation.objects.filter(state=State.QUEUED, queue_id__in=queue_ids)
    queued = waiting.order_by().values("queue_id").annotate(n=Count("id"))
    counts = {row["queue_id"]: row["n"] for row in queued}
    stays = Stay.objects.filter(queue_id__in=queue_ids, entered_at__gte=now - WINDOW, left_at__isnull=False)
    lasted = stays.order_by().values("queue_id").annotate(wait=Avg(LASTED))
    waits = {row["queue_id"]: row["wait"] for row in lasted}
    return {
        pk: {"queued_conversations": counts.get(pk, 0), "average_wait_time_seconds": _seconds(waits.get(pk))}
        for pk in queue_ids
    }


def metrics_of(queue: Queue) -> dict[str, Any]:
    """GET queues/<id>/metrics (`api.md`)."""
    now = database_now()
    stays, conversations = _stays_of(queue, now), _conversations_of(queue, now)
    overflows = _overflows_from(queue, now)
    return {
        "queue_id": str(queue.pk),
        "queue_name": queue.name,
        "total_conversations_30d": stays["total"],
        "queued_conversations": conversations["queued"],
        "active_conversations": conversations["active"],
        "average_wait_time_seconds": _seconds(stays["wait"]),
        "average_response_time_seconds": _seconds(conversations["response"]),
        "average_resolution_time_seconds": _seconds(conversations["resolution"]),
        "sla_violations": stays["late"],
        "sla_violation_rate": percentage(stays["late"], stays["total"]),
        "overflow_events": overflows,
        "overflow_rate": percentage(overflows, stays["total"]),
        "customer_satisfaction_score": None,  # contacts are not asked yet: no rating, no score
    }


def _stays_of(queue: Queue, now: datetime) -> dict[str, Any]:
    """Who came in the last 30 days, how long they waited here, and for whom a target was missed."""
    came = Stay.objects.filter(queue=queue, entered_at__gte=now - WINDOW)
    conversations = came.order_by().values("conversation_id")
    # A union of two reads: "one or the other" over a join would read every conversation there is.
    late = conversations.filter(_missed()).union(conversations.filter(_too_long(queue, now)))
    return {
        "total": conversations.distinct().count(),
        "wait": came.aggregate(wait=Avg(LASTED))["wait"],
        "late": late.count(),
    }


def _missed() -> Q:
    """The conversation's first missed target fell into this stay, or into the time with an agent after it."""
    later = Stay.objects.filter(
        conversation=OuterRef("conversation"),
        entered_at__gt=OuterRef("entered_at"),
        entered_at__lte=OuterRef("conversation__sla_breached_at"),
    )
    return Q(conversation__sla_breached_at__gte=F("entered_at")) & ~Q(Exists(later))


def _too_long(queue: Queue, now: datetime) -> Q:
    """Waited longer than the queue promises, or has been waiting so long by now.

    A promise in opening hours can't be told from two moments: there the missed target itself counts.
    """
    policy = promises.policy_of(queue)
    minutes = policy.minutes.get(Target.WAIT) if policy else None
    if minutes is None or policy.hours:
        return Q(pk__in=[])
    limit = timedelta(minutes=minutes)
    return Q(left_at__gt=F("entered_at") + limit) | Q(left_at__isnull=True, entered_at__lt=now - limit)


def _conversations_of(queue: Queue, now: datetime) -> dict[str, Any]:
    """What its conversations do now, and how fast those of the last 30 days were answered and closed."""
    recent = Q(created_at__gte=now - WINDOW)
    answered = recent & Q(first_response_at__gte=F("assigned_at"))
    return Conversation.objects.filter(recent | ~Q(state=State.CLOSED), queue=queue).aggregate(
        queued=Count("id", filter=Q(state=State.QUEUED)),
        active=Count("id", filter=Q(state=State.HUMAN_HANDOFF)),
        response=Avg(_between(F("assigned_at"), F("first_response_at")), filter=answered),
        resolution=Avg(_between(F("created_at"), F("closed_at")), filter=recent & Q(state=State.CLOSED)),
    )


def _overflows_from(queue: Queue, now: datetime) -> int:
    """How often a conversation of the last 30 days was sent on from this queue to another."""
    rows = Conversation.objects.filter(
        created_at__gte=now - WINDOW,
        extra_data__has_key="overflow_history",
        extra_data__overflow_history__contains=[{"original_queue_id": str(queue.pk)}],
    )
    return rows.count()


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else round(duration.total_seconds())
