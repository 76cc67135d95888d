"""Carries out what the flow engine decides: one turn answers all that was written since the last one."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django_fsm import TransitionNotAllowed

from accounts.models import Membership
from conversations import bells, deadlines, handoff, outbox
from conversations.models import (
    Conversation,
    ConversationQuerySet,
    Delivery,
    FlowRun,
    Message,
    Reception,
    State,
)
from conversations.moves import database_now, moving
from flows import engine, services
from flows.models import Flow
from queues.models import PRIORITY_BY_NAME, AgentProfile, Department, Queue

logger = logging.getLogger(__name__)
WORK_DEADLINES = "conversations.tasks.drain_deadlines"


class Fenced(Exception):
    """The conversation moved on while the bot was thinking: this turn is void."""


# ---------------------------------------------------------------- when
def listen(conversation: Conversation, now: datetime) -> None:
    """A message came in: answer soon, but not before the contact pauses. Needs the conversation's lock.

    Each further message moves the turn, up to a longest wait after the first unanswered one.
    """
    quiet = timedelta(seconds=settings.PYTAKE_COALESCE_SECONDS)
    longest = timedelta(seconds=settings.PYTAKE_COALESCE_MAX_SECONDS)
    first = (
        conversation.messages.filter(direction=Message.Direction.IN, seq__gt=conversation.heard_seq)
        .order_by("seq")
        .values_list("created_at", flat=True)
        .first()
    )
    due = min(now + quiet, (first or now) + longest)
    deadlines.arm(conversation, deadlines.Kind.BOT_TURN, due)
    if due <= now:
        bells.wake_workers(WORK_DEADLINES)


# ---------------------------------------------------------------- the turn
@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the bot thinks about, read without a lock; the commit checks that it still holds."""

    conversation: Conversation
    run: FlowRun | None
    unheard: tuple[Message, ...]
    timed_out: str = ""


def take_turn(pk: UUID, *, timed_out: str = "") -> bool:
    """Answer what is unanswered (or a question that timed out); False when there was nothing to do."""
    seen = _look(pk, timed_out)
    if seen is None:
        return False
    try:
        if seen.conversation.state == State.PENDING:
            _receive(seen)
        else:
            _continue(seen)
    except (Fenced, TransitionNotAllowed):
        logger.info("bot turn of %s is void: people took over or another turn was faster", pk)
        return False
    return True


def _look(pk: UUID, timed_out: str) -> Snapshot | None:
    conversation = (
        Conversation.objects.select_related("contact", "channel", "organization", "flow")
        .filter(pk=pk)
        .first()
    )
    if conversation is None or conversation.state not in (State.PENDING, State.BOT):
        return None
    unheard = tuple(
        conversation.messages.filter(direction=Message.Direction.IN, seq__gt=conversation.heard_seq)
        .prefetch_related("attachments__media")
        .order_by("seq")
    )
    run = conversation.runs.select_related("version").defer("version__document").filter(ended_at=None).first()
    fresh = run is not None and run.state is None
    if not unheard and not timed_out and not fresh:
        return None
    return Snapshot(conversation, run, unheard, timed_out if not unheard else "")


def _receive(seen: Snapshot) -> None:
    """First contact: the flow that a trigger or the channel names, else its queue, else a supervisor."""
    text = " ".join(message.text for message in seen.unheard if message.text)
    reception = Reception.objects.filter(channel=seen.conversation.channel).first()
    flow, trigger = _flow_for(text, seen.conversation.channel_id, reception)
    if flow is not None:
        _start(seen, flow, trigger)
    elif reception and reception.default_queue_id:
        handoff.assign_to_queue_with_overflow(
            seen.conversation.pk, reception.default_queue_id, cause="channel default"
        )
    else:
        _leave_pending(seen)


def _flow_for(text: str, channel_id: UUID, reception: Reception | None) -> tuple[Flow | None, str]:
    decision = services.trigger_for(text, channel_id)
    if decision.winner is not None:
        return Flow.objects.select_related("published").get(pk=decision.winner.flow_id), "keyword"
    flow = reception.default_flow if reception else None
    return (flow, "channel default") if flow and flow.is_active and flow.published_id else (None, "")


def _leave_pending(seen: Snapshot) -> None:
    with moving(seen.conversation.pk, cause="no flow, no queue") as conversation:
        _still_holds(conversation, seen)
        conversation.heard_seq = seen.unheard[-1].seq
        conversation.log("attention", {"why": "no flow and no queue receives this channel"})


def _start(seen: Snapshot, flow: Flow, trigger: str) -> None:
    document = services.document_of(flow.published)
    now = database_now()
    first = seen.unheard[0].text if seen.unheard else ""
    event = engine.Started(trigger=first)
    turn = engine.step(document, None, event, context=_context(seen), now=now, rng=_rng(seen, 0))
    _commit(seen, turn, document, now, flow=flow, trigger=trigger)


def _continue(seen: Snapshot) -> None:
    if seen.run is None:
        _recover(seen)
        return
    document = services.document_of(seen.run.version)
    state = engine.RunState.from_json(seen.run.state) if seen.run.state else None
    now = database_now()
    turn = engine.step(
        document,
        state,
        _event(seen, state),
        context=_context(seen),
        now=now,
        rng=_rng(seen, state.steps if state else 0),
    )
    _commit(seen, turn, document, now)


def _event(seen: Snapshot, state: engine.RunState | None) -> engine.Event:
    if state is None:
        return engine.Started(trigger=seen.unheard[0].text if seen.unheard else "")
    if seen.timed_out:
        return engine.TimedOut(seen.timed_out)
    choices = [message.choice for message in seen.unheard if message.choice]
    return engine.Heard(
        texts=tuple(message.text for message in seen.unheard if message.text),
        choice_id=choices[-1]["id"] if choices else "",
        choice_title=choices[-1].get("title", "") if choices else "",
        kinds=tuple(message.kind for message in seen.unheard),
    )


def _context(seen: Snapshot) -> dict[str, Any]:
    conversation = seen.conversation
    contact = conversation.contact
    return {
        "contact": {
            "name": contact.name,
            "email": contact.email,
            "language": contact.language,
            **contact.fields,
        },
        "channel": {"name": conversation.channel.name, "kind": conversation.channel.kind},
        "organization": {"name": conversation.organization.name},
    }


def _rng(seen: Snapshot, steps: int) -> random.Random:
    """The same turn always draws the same numbers: a trace can be replayed."""
    return random.Random(f"{seen.conversation.pk}:{steps}")


# ---------------------------------------------------------------- the commit
def _commit(
    seen: Snapshot,
    turn: engine.Turn,
    document: Any,
    now: datetime,
    *,
    flow: Flow | None = None,
    trigger: str = "",
) -> None:
    """One transaction: messages, run state, hand-over. Queues and agents are locked first."""
    with transaction.atomic():
        turn, place = _find_place(seen, turn, document, now)
        with moving(seen.conversation.pk, cause="bot", now=now) as conversation:
            _still_holds(conversation, seen)
            before = conversation.seq + 1
            if flow is not None:
                conversation.start_bot(flow)
                run = handoff.begin_run(conversation, flow, trigger=trigger, now=now)
            else:
                run = FlowRun.objects.get(pk=seen.run.pk)
            if seen.unheard:
                conversation.heard_seq = seen.unheard[-1].seq
            run.state = turn.state.to_json()
            run.save(update_fields=["state"])
            _carry_out(conversation, turn, place, before, now)
        if place and place.agent:
            handoff.note_assignment(conversation, place.agent, "assigned by the bot", now)


def _still_holds(conversation: Conversation, seen: Snapshot) -> None:
    was = seen.conversation
    if (conversation.state, conversation.bot_epoch, conversation.heard_seq) != (
        was.state,
        was.bot_epoch,
        was.heard_seq,
    ):
        raise Fenced


def _carry_out(
    conversation: Conversation, turn: engine.Turn, place: handoff.Target | None, before: int, now: datetime
) -> None:
    deadlines.disarm(conversation, deadlines.Kind.BOT_TIMEOUT)
    for effect in turn.effects:
        match effect:
            case engine.Say(text, options, _):
                _say(conversation, text, options, now)
            case engine.Wait(node, minutes) if minutes:
                due = now + timedelta(minutes=minutes)
                deadlines.arm(conversation, deadlines.Kind.BOT_TIMEOUT, due, {"node": node})
            case engine.HandOff() | engine.Failed():
                _hand_over(conversation, effect, place, before, now)
            case engine.Close(reason, text):
                if text:
                    _say(conversation, text, (), now)
                handoff.close_locked(conversation, reason, now)


def _say(conversation: Conversation, text: str, options: Sequence[tuple[str, str]], now: datetime) -> None:
    draft = outbox.Draft(
        text=text, sender=Message.Sender.BOT, origin=Delivery.Origin.BOT, options=options, priority=1
    )
    outbox.say(conversation, draft, now=now)


def _hand_over(
    conversation: Conversation,
    effect: engine.HandOff | engine.Failed,
    place: handoff.Target | None,
    before: int,
    now: datetime,
) -> None:
    priority, context, notice = None, "", ""
    match effect:
        case engine.Failed(reason):
            conversation.log("flow_failed", {"reason": reason})
        case engine.HandOff():
            priority, context, notice = PRIORITY_BY_NAME[effect.priority], effect.context, effect.notice
    if place is None:
        # Nowhere to go: the conversation stays visible to supervisors instead of being lost.
        handoff.end_run(conversation, "failed", now)
        conversation.log("attention", {"why": "the hand-over found no active queue"})
        return
    if place.agent:
        if notice:
            _notice(conversation, notice, now)
        handoff.give_to(conversation, place.agent, context=context, now=now)
    else:
        handoff.enter_queue(
            conversation, place, priority=priority, context=context, notice=notice or None, now=now
        )
    outbox.fence(conversation, before_seq=before, now=now)


def _notice(conversation: Conversation, text: str, now: datetime) -> None:
    draft = outbox.Draft(text=text, sender=Message.Sender.SYSTEM, origin=Delivery.Origin.SYSTEM, priority=1)
    outbox.say(conversation, draft, now=now)


# ---------------------------------------------------------------- where to
def _find_place(
    seen: Snapshot, turn: engine.Turn, document: Any, now: datetime
) -> tuple[engine.Turn, handoff.Target | None]:
    """Lock where the turn hands over to. A refusal that the flow has a port for lets the flow go on."""
    for _ in range(engine.SILENT_TURNS):
        wanted = next((e for e in turn.effects if isinstance(e, engine.HandOff | engine.Failed)), None)
        if wanted is None:
            return turn, None
        if isinstance(wanted, engine.Failed):
            return turn, _fallback(seen, now)
        place, refusal = _place(wanted, now)
        if refusal not in wanted.ports:
            return turn, place or _fallback(seen, now)
        more = engine.step(
            document, turn.state, engine.HandoffRefused(refusal), context=_context(seen), now=now,
            rng=_rng(seen, turn.state.steps),
        )  # fmt: skip
        kept = tuple(e for e in turn.effects if e is not wanted)
        turn = replace(more, effects=kept + more.effects, trace=turn.trace + more.trace)
    return turn, _fallback(seen, now)


def _place(wanted: engine.HandOff, now: datetime) -> tuple[handoff.Target | None, str]:
    """(where to, which port would refuse): a full queue still takes the person when no port is wired."""
    if wanted.handoff_type == "agent":
        return _agent_place(wanted.target)
    queue = _queue_named(wanted)
    if queue is None:
        return None, "nobody"
    if queue.calendar and not queue.calendar.hours().is_open(now) and "closed" in wanted.ports:
        return None, "closed"
    place = handoff.check_and_apply_overflow(queue.pk, now=now)
    return place, "full" if place.full else ""


def _queue_named(wanted: engine.HandOff) -> Queue | None:
    if wanted.handoff_type == "department":
        department = Department.objects.filter(slug=wanted.target, is_active=True).first()
        try:
            return handoff.first_active_queue(department.pk) if department else None
        except handoff.NoQueue:
            return None
    return Queue.objects.select_related("calendar").filter(slug=wanted.target, is_active=True).first()


def _agent_place(email: str) -> tuple[handoff.Target | None, str]:
    member = Membership.objects.filter(user__email__iexact=email, is_active=True).first()
    if member is None:
        return None, "nobody"
    try:
        agent = handoff.lock_agent(member.pk)
    except handoff.Full:
        return None, "full"
    except handoff.Conflict:
        return None, "nobody"
    if agent.presence == AgentProfile.Presence.OFFLINE:
        return None, "nobody"
    return handoff.Target(agent=agent), ""


def _fallback(seen: Snapshot, now: datetime) -> handoff.Target | None:
    queue_id = _fallback_queue(seen)
    return handoff.check_and_apply_overflow(queue_id, now=now) if queue_id else None


def _fallback_queue(seen: Snapshot) -> UUID | None:
    """Nobody may be lost over a queue that is gone: the channel's own queue, else the first active."""
    reception = Reception.objects.filter(channel=seen.conversation.channel).first()
    if reception and reception.default_queue_id:
        return reception.default_queue_id
    active = Queue.objects.filter(is_active=True).order_by("-priority", "slug")
    return active.values_list("pk", flat=True).first()


def _recover(seen: Snapshot) -> None:
    """State bot without a live run (its hand-over found nowhere to go): try a queue again."""
    queue_id = _fallback_queue(seen)
    if queue_id is None:
        with moving(seen.conversation.pk, cause="bot") as conversation:
            _still_holds(conversation, seen)
            if seen.unheard:
                conversation.heard_seq = seen.unheard[-1].seq
            conversation.log("attention", {"why": "no active queue"})
        return
    handoff.assign_to_queue_with_overflow(seen.conversation.pk, queue_id, cause="recovery")


def variables_of(conversation: Conversation) -> Mapping[str, Any]:
    """What the latest run knows: shown to the agent beside the conversation."""
    read = vars(conversation)  # by `with_learned`, or not yet
    state = read["learned"] if "learned" in read else latest_state(conversation.pk).first()
    return (state or {}).get("variables", {})


def with_learned(found: ConversationQuerySet) -> ConversationQuerySet:
    """With what `variables_of` reads, in the same statement."""
    return found.annotate(learned=Subquery(latest_state(OuterRef("pk"))))


def latest_state(conversation: Any) -> QuerySet[Any, Any]:
    runs = FlowRun.objects.filter(conversation=conversation).order_by("-started_at")
    return runs.values_list("state", flat=True)[:1]
