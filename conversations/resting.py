"""Snoozed and on hold: the agent keeps the conversation, it stops counting against capacity meanwhile.

It wakes when its time comes, when the agent resumes it or when the customer writes. If the agent has no room
by then, it stays with them all the same, flagged: the customer meets the person they know.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import Membership
from accounts.roles import Action
from conversations import deadlines
from conversations.capacity import flag_if_over, lock_agent
from conversations.conflicts import Conflict
from conversations.models import Conversation, State
from conversations.moves import database_now, writing
from conversations.outbox import NotYours


def snooze(pk: UUID, *, agent: Membership, until: datetime) -> Conversation:
    """Rest a conversation until a time. Raises NotYours, Conflict when nobody has it or the time is past."""
    now = database_now()
    with writing(pk, actor=agent, cause="snooze") as conversation:
        _may_rest(conversation, agent)
        if until <= now:
            raise Conflict(_("This time is over."))
        conversation.snoozed_until, conversation.held_at = until, None
        conversation.log("snoozed", {"until": until.isoformat()})
        deadlines.arm(conversation, deadlines.Kind.SNOOZE, until)
        deadlines.watch(conversation, now)
    return conversation


def hold(pk: UUID, *, agent: Membership) -> Conversation:
    """Put a conversation on hold while somebody else must act first. Raises NotYours, Conflict."""
    now = database_now()
    with writing(pk, actor=agent, cause="hold") as conversation:
        _may_rest(conversation, agent)
        if conversation.held_at:
            raise Conflict(_("This conversation is on hold already."))
        conversation.held_at, conversation.snoozed_until = now, None
        conversation.log("held")
        deadlines.disarm(conversation, deadlines.Kind.SNOOZE)
        deadlines.watch(conversation, now)
    return conversation


def _may_rest(conversation: Conversation, agent: Membership) -> None:
    if conversation.state != State.HUMAN_HANDOFF:
        raise Conflict(_("Only a conversation that an agent has can rest."))
    if conversation.assigned_agent_id != agent.pk:
        raise NotYours


def resume(pk: UUID, *, actor: Membership | None = None, cause: str = "resume") -> Conversation:
    """Wake a snoozed or held conversation; with a full agent it is flagged as above capacity.

    Raises NotYours for a colleague's, Conflict when it does not rest (any more).
    """
    with transaction.atomic():
        owner = Conversation.objects.values_list("assigned_agent_id", flat=True).get(pk=pk)
        if owner is None:
            raise Conflict(_("This conversation does not rest."))
        agent = lock_agent(owner, with_room=False)
        with writing(pk, actor=actor, cause=cause) as conversation:
            if conversation.assigned_agent_id != owner or not _rests(conversation):
                raise Conflict(_("This conversation does not rest."))
            if actor and actor.pk != owner and not actor.may(Action.ASSIGN):
                raise NotYours
            conversation.log("unsnoozed" if conversation.snoozed_until else "unheld")
            flag_if_over(conversation, agent)
            conversation.snoozed_until = conversation.held_at = None
            now = database_now()
            conversation.last_activity_at = now  # the agent is not idle for the time it rested
            deadlines.disarm(conversation, deadlines.Kind.SNOOZE)
            deadlines.watch(conversation, now)
    return conversation


def _rests(conversation: Conversation) -> bool:
    return bool(conversation.snoozed_until or conversation.held_at)


def wake_soon(conversation: Conversation, now: datetime) -> None:
    """The customer wrote: wake it by its deadline, for that needs the agent's lock first."""
    if _rests(conversation):
        deadlines.arm(conversation, deadlines.Kind.SNOOZE, now)
