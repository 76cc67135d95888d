"""Figures of queues over the last 30 days, counted from the conversations: a constant number of queries."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from conversations.models import Conversation, State
from conversations.moves import database_now
from queues.models import Queue
from queues.services import percentage

WINDOW = timedelta(days=30)


def _between(start: str, end: str) -> ExpressionWrapper:
    return ExpressionWrapper(F(end) - F(start), output_field=DurationField())


def waiting_figures(queue_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Per queue: who waits now and how long people waited; for lists of queues."""
    since = database_now() - WINDOW
    rows = (
        Conversation.objects.filter(queue_id__in=queue_ids)
        .order_by()
        .values("queue_id")
        .annotate(
            queued=Count("id", filter=Q(state=State.QUEUED)),
            wait=Avg("waited_seconds", filter=Q(created_at__gte=since)),
        )
    )
    return {
        row["queue_id"]: {
            "queued_conversations": row["queued"],
            "average_wait_time_seconds": _whole(row["wait"]),
        }
        for row in rows
    }


def metrics_of(queue: Queue) -> dict[str, Any]:
    """GET queues/<id>/metrics (`api.md`)."""
    now = database_now()
    recent = Q(created_at__gte=now - WINDOW)
    answered = recent & Q(first_response_at__gte=F("assigned_at"))
    counts = Conversation.objects.filter(queue=queue).aggregate(
        total=Count("id", filter=recent),
        queued=Count("id", filter=Q(state=State.QUEUED)),
        active=Count("id", filter=Q(state=State.HUMAN_HANDOFF)),
        wait=Avg("waited_seconds", filter=recent),
        response=Avg(_between("assigned_at", "first_response_at"), filter=answered),
        resolution=Avg(_between("created_at", "closed_at"), filter=recent & Q(state=State.CLOSED)),
        late=Count("id", filter=recent & _too_long(queue, now)),
    )
    overflows = _overflows_from(queue, now)
    return {
        "queue_id": str(queue.pk),
        "queue_name": queue.name,
        "total_conversations_30d": counts["total"],
        "queued_conversations": counts["queued"],
        "active_conversations": counts["active"],
        "average_wait_time_seconds": _whole(counts["wait"]),
        "average_response_time_seconds": _seconds(counts["response"]),
        "average_resolution_time_seconds": _seconds(counts["resolution"]),
        "sla_violations": counts["late"],
        "sla_violation_rate": percentage(counts["late"], counts["total"]),
        "overflow_events": overflows,
        "overflow_rate": percentage(overflows, counts["total"]),
        "customer_satisfaction_score": None,  # contacts are not asked yet: no rating, no score
    }


def _too_long(queue: Queue, now: datetime) -> Q:
    """Waited longer than the queue promises, or has been waiting so long by now."""
    if queue.sla_minutes is None:
        return Q(pk__in=[])
    limit = timedelta(minutes=queue.sla_minutes)
    return Q(waited_seconds__gt=limit.total_seconds()) | Q(state=State.QUEUED, queued_at__lt=now - limit)


def _overflows_from(queue: Queue, now: datetime) -> int:
    """Conversations of the last 30 days that found this queue full and went on to another."""
    moved = {"original_queue_id": str(queue.pk)}
    rows = Conversation.objects.filter(created_at__gte=now - WINDOW)
    return rows.filter(extra_data__overflow_history__contains=[moved]).count()


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds)


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else round(duration.total_seconds())
