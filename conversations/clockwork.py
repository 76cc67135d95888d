"""What happens by itself: due deadlines, found by the poller or a woken worker."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from django_fsm import TransitionNotAllowed
from django_scopes import scope

from conversations import (
    attendance,
    bot,
    conflicts,
    deadlines,
    decisions,
    handoff,
    notices,
    offers,
    overflows,
    promises,
    resting,
    router,
    sla,
)
from conversations.can_send import can_send
from conversations.models import Conversation, Deadline, State
from conversations.moves import database_now, moving, writing
from queues.models import Queue
from queues.services import desk_settings
from queues.sla import Stage

logger = logging.getLogger(__name__)
Kind = Deadline.Kind
REFUSALS = (conflicts.Conflict, conflicts.Full, conflicts.NoQueue, conflicts.OutOfHours, TransitionNotAllowed)
TELL_AFTER = 3  # failed tries, then a supervisor hears of it; the tries go on


def drain_deadlines(*, limit: int = 200) -> int:
    """Carry out what is due; a failing one comes back after its lease."""
    due = deadlines.claim_due(limit)
    for deadline in due:
        with scope(organization=deadline.organization):
            try:
                CARRIED_OUT_BY[Kind(deadline.kind)](deadline)
            except (TransitionNotAllowed, Conversation.DoesNotExist, deadlines.Void):
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
    """The contact stopped answering the bot: expired, with a last word where the desk has one."""
    now = database_now()
    with moving(deadline.conversation_id, cause="bot silence", now=now) as conversation:
        deadlines.must_stand(deadline)
        if conversation.state != State.BOT:
            raise deadlines.Void
        notice = desk_settings().bot_expired_notice
        if notice and can_send(conversation, now=now).ok:
            notices.say(conversation, notice, now)
        handoff.close_locked(conversation, "expired", now)


def _queue_wait(deadline: Deadline) -> None:
    """The wait was given up: say so, then close as abandoned."""
    now = database_now()
    with moving(deadline.conversation_id, cause="wait limit", now=now) as conversation:
        deadlines.must_stand(deadline)
        if conversation.state != State.QUEUED:
            raise deadlines.Void
        queue = conversation.queue
        notices.tell(conversation, queue, queue.abandoned_notice, notices.ABANDONED, now)
        handoff.close_locked(conversation, "abandoned", now)


# ---------------------------------------------------------------- the agent
def _agent_idle(deadline: Deadline) -> None:
    """The agent lets the customer wait: a warning, then what the queue's rule says; each once."""
    conversation = Conversation.objects.select_related("queue", "flow").get(pk=deadline.conversation_id)
    queue = conversation.queue
    if conversation.state != State.HUMAN_HANDOFF or queue is None:
        raise deadlines.Void
    if deadline.data.get("stage") == Stage.WARNING:
        _note_idle(deadline, Stage.WARNING, "idle_warning", {"minutes": queue.agent_idle_minutes})
        return
    try:
        match queue.agent_idle_action:
            case Queue.IdleAction.BOT if conversation.flow and conversation.flow.published_id:
                guard = partial(_still_idle, deadline)
                handoff.release_to_bot(conversation.pk, actor=None, cause="agent idle", guard=guard)
                return
            case Queue.IdleAction.QUEUE if queue.is_active:
                guard = partial(_still_idle, deadline, bars=True)
                handoff.transfer(
                    conversation.pk, actor=None, queue_id=queue.pk, cause="agent idle", guard=guard
                )
                return
    except REFUSALS:
        logger.info("an idle agent's conversation has nowhere to go: a supervisor hears of it")
    _note_idle(deadline, Stage.BREACH, "attention", {"why": "agent idle"})


def _still_idle(deadline: Deadline, conversation: Conversation, *, bars: bool = False) -> None:
    """Under the lock: nobody answered meanwhile. `bars`: the router gives it to somebody else next."""
    deadlines.must_stand(deadline)
    if bars:
        promises.bar_agent(conversation, database_now())


def _note_idle(deadline: Deadline, stage: Stage, event: str, data: dict[str, object]) -> None:
    with writing(deadline.conversation_id, cause="agent idle") as conversation:
        deadlines.must_stand(deadline)
        if clock := promises.clock_of(conversation, deadline.kind):
            promises.strike(conversation, clock, stage)
            conversation.log(event, data)
        deadlines.watch(conversation, database_now())


def _snooze(deadline: Deadline) -> None:
    try:
        resting.resume(deadline.conversation_id, cause="deadline")
    except conflicts.Conflict:
        logger.info("nothing to wake: the conversation moved on")


def _offer(deadline: Deadline) -> None:
    """Ask the next one. Who lets offers pass again and again is not there."""
    agent = router.expire_offer(deadline.conversation_id)
    if agent and offers.let_pass(agent):
        attendance.set_away(agent)


def _route(deadline: Deadline) -> None:
    """Time alone may have changed who can take it: a preference relaxed, the queue opened."""
    decisions.call_router(deadline.organization_id, "time")


def _overflow(deadline: Deadline) -> None:
    overflows.wait_elsewhere(deadline)


# ---------------------------------------------------------------- nobody
def _attention(deadline: Deadline) -> None:
    """Nobody handles it: a supervisor hears of it, again and again but ever more rarely."""
    now = database_now()
    with writing(deadline.conversation_id, cause="deadline") as conversation:
        deadlines.must_stand(deadline)
        if calm_until := _calm_until(conversation, now):
            deadlines.arm(conversation, Kind.ATTENTION, calm_until)
            return
        with_agent = conversation.state == State.HUMAN_HANDOFF
        conversation.log("attention", {"why": "no activity" if with_agent else "waiting too long"})
        deadlines.alarm_again(conversation, deadline, now)


def _calm_until(conversation: Conversation, now: datetime) -> datetime | None:
    """Until when there is nothing to tell: an agent was at it today, or nobody has written yet."""
    if conversation.state == State.HUMAN_HANDOFF:
        acts = (
            conversation.last_message_at,
            conversation.last_activity_at,
            conversation.assigned_at,
            conversation.snoozed_until,
        )
        quiet = max(at for at in acts if at) + deadlines.REVIEW
        return quiet if quiet > now else None
    silent = conversation.state == State.PENDING and conversation.last_inbound_at is None
    return now + deadlines.REVIEW if silent else None


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
    Kind.OFFER: _offer,
    Kind.ROUTE: _route,
    Kind.OVERFLOW: _overflow,
    Kind.ATTENTION: _attention,
    **dict.fromkeys((Kind(kind) for kind in promises.TARGETS), sla.strike),
}
