"""Snooze: the agent keeps the conversation, it stops counting against capacity until its time comes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.models import Membership
from conversations import deadlines
from conversations.handoff import Conflict
from conversations.models import Conversation, State
from conversations.moves import database_now, writing
from conversations.outbox import NotYours


def snooze(pk: UUID, *, agent: Membership, until: datetime) -> Conversation:
    """Rest a conversation until a time. Raises NotYours, Conflict when nobody has it or the time is past."""
    now = database_now()
    with writing(pk, actor=agent, cause="snooze") as conversation:
        if conversation.state != State.HUMAN_HANDOFF:
            raise Conflict(_("Only a conversation that an agent has can be snoozed."))
        if conversation.assigned_agent_id != agent.pk:
            raise NotYours
        if until <= now:
            raise Conflict(_("This time is over."))
        conversation.snoozed_until = until
        conversation.log("snoozed", {"until": until.isoformat()})
        deadlines.arm(conversation, deadlines.Kind.SNOOZE, until)
    return conversation
