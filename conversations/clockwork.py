"""What happens by itself: due deadlines, found by the poller or a woken worker."""

from __future__ import annotations

import logging

from django.utils.translation import gettext as _
from django.utils.translation import override
from django_fsm import TransitionNotAllowed
from django_scopes import scope

from conversations import bot, deadlines, handoff, outbox
from conversations.models import Conversation, Deadline, Delivery, Message, State
from conversations.moves import database_now, moving, writing
from queues.models import Queue

logger = logging.getLogger(__name__)
Kind = Deadline.Kind
TELL_AFTER = 3  # failed tries, then a supervisor hears of it; the tries go on


def drain_deadlines(*, limit: int = 200) -> int:
    """Carry out what is due; a failing one comes back after its lease."""
    due = deadlines.claim_due(limit)
    for deadline in due:
        with scope(organization=deadline.organization):
            try:
                CARRIED_OUT_BY[Kind(deadline.kind)](deadline)
            except (TransitionNotAllowed, Conversation.DoesNotExist):
                logger.info("deadline %s is void: the conversation moved on", deadline.kind)
            except Exception:
                # Logged by id; it stays armed and is tried again, for somebody waits for it.
                logger.exception("deadline %s of %s failed", deadline.kind, deadline.conversation_id)
                if deadline.attempts == TELL_AFTER:
                    _call_attention(deadline, f"{deadline.kind} fails again and again")
                continue
            deadlines.finish(deadline)
    return len(due)


def _bot_turn(deadline: Deadline) -> None:
    bot.take_turn(deadline.conversation_id)


def _bot_timeout(deadline: Deadline) -> None:
    bot.take_turn(deadline.conversation_id, timed_out=deadline.data.get("node", ""))


def _bot_idle(deadline: Deadline) -> None:
    """The contact stopped answering the bot: expired."""
    _close_silently(deadline, State.BOT, "expired")


def _queue_wait(deadline: Deadline) -> None:
    """The wait was given up: say so, then close as abandoned."""
    now = database_now()
    with moving(deadline.conversation_id, cause="deadline", now=now) as conversation:
        if conversation.state != State.QUEUED:
            return
        with override(conversation.contact.language or conversation.organization.locale):
            text = _("All our agents are busy. Please write to us again later.")
        draft = outbox.Draft(
            text=text, sender=Message.Sender.SYSTEM, origin=Delivery.Origin.SYSTEM, priority=1
        )
        outbox.say(conversation, draft, now=now)
        handoff.close_locked(conversation, "abandoned", now)


def _close_silently(deadline: Deadline, state: str, reason: str) -> None:
    now = database_now()
    with moving(deadline.conversation_id, cause="deadline", now=now) as conversation:
        if conversation.state == state:
            handoff.close_locked(conversation, reason, now)


def _agent_idle(deadline: Deadline) -> None:
    """The agent did nothing for too long: the queue's rule says where the conversation goes, once."""
    conversation = Conversation.objects.select_related("queue", "flow").get(pk=deadline.conversation_id)
    queue = conversation.queue
    if conversation.state != State.HUMAN_HANDOFF or queue is None:
        return
    match queue.agent_idle_action:
        case Queue.IdleAction.BOT if conversation.flow and conversation.flow.published_id:
            handoff.release_to_bot(conversation.pk, actor=None, cause="agent idle")
        case Queue.IdleAction.QUEUE:
            handoff.transfer(conversation.pk, actor=None, queue_id=queue.pk, cause="agent idle")
        case _:
            _call_attention(deadline, "agent idle")


def _snooze(deadline: Deadline) -> None:
    with writing(deadline.conversation_id, cause="deadline") as conversation:
        conversation.snoozed_until = None
        conversation.log("unsnoozed")


def _attention(deadline: Deadline) -> None:
    _call_attention(deadline, "waiting too long")


def _call_attention(deadline: Deadline, why: str) -> None:
    with writing(deadline.conversation_id, cause="deadline") as conversation:
        conversation.log("attention", {"why": why})


CARRIED_OUT_BY = {
    Kind.BOT_TURN: _bot_turn,
    Kind.BOT_TIMEOUT: _bot_timeout,
    Kind.BOT_IDLE: _bot_idle,
    Kind.QUEUE_WAIT: _queue_wait,
    Kind.AGENT_IDLE: _agent_idle,
    Kind.SNOOZE: _snooze,
    Kind.ATTENTION: _attention,
}
