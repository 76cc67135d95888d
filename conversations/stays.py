"""How long who waited where: a row from entering a queue to leaving it, whatever verb did it."""

from __future__ import annotations

from django.db.models import Case, Q, Value, When

from accounts.clock import ClockNow
from conversations.models import Conversation, Offer, State, Stay

COUNTED = 1000  # more than these ahead of one is "many"


def note(conversation: Conversation, *, keeps_age: bool = False) -> None:
    """After a move changed its place in line: end the old stay and any offer, begin the new stay.

    What came from another queue and kept its age in line has nevertheless entered this one only now.
    """
    _end_offer(conversation)
    left = Stay.objects.filter(conversation=conversation, left_at__isnull=True)
    left.update(left_at=ClockNow(), left_by=_last_verb(conversation))
    if conversation.state == State.QUEUED:
        Stay.objects.create(
            organization_id=conversation.organization_id,
            conversation=conversation,
            queue_id=conversation.queue_id,
            entered_at=ClockNow() if keeps_age else conversation.queued_at,
            ahead=ahead_of(conversation),
        )


def _end_offer(conversation: Conversation) -> None:
    """An offer ends with the place in line: accepted by whoever has the conversation now, else withdrawn."""
    accepted = When(agent_id=conversation.assigned_agent_id, then=Value(Offer.Outcome.ACCEPTED))
    outcome = Case(accepted, default=Value(Offer.Outcome.WITHDRAWN))
    Offer.objects.filter(conversation=conversation, outcome=Offer.Outcome.OPEN).update(
        outcome=outcome, answered_at=ClockNow()
    )


def ahead_of(conversation: Conversation) -> int:
    """How many are served before it in its queue, at most 1000 counted."""
    first = Q(queue_priority__gt=conversation.queue_priority)
    equal = Q(queue_priority=conversation.queue_priority)
    older = Q(queued_at__lt=conversation.queued_at)
    tied = Q(queued_at=conversation.queued_at, pk__lt=conversation.pk)
    waiting = Conversation.objects.filter(state=State.QUEUED, queue_id=conversation.queue_id)
    return waiting.filter(first | equal & (older | tied))[:COUNTED].count()


def _last_verb(conversation: Conversation) -> str:
    moves = [event.type for event in conversation.unwritten if "to" in event.data]
    return moves[-1] if moves else ""
