"""From bot to people and between people: queueing, pulling, claiming, passing on, giving back, closing.

Every verb locks in one order - queues by id, agent, conversation - so that no two of them can wait for each
other. Sizes and loads are counted under those locks, never kept: a race can't make them wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import override

from accounts.models import Membership
from conversations import deadlines, outbox
from conversations.models import Conversation, Delivery, FlowRun, Message, RoutingDecision, State
from conversations.moves import database_now, moving
from conversations.selectors import agent_facts, line_of
from flows.models import Flow
from queues import eligibility, overflow
from queues.models import AgentProfile, Queue


class Conflict(Exception):
    """Somebody was faster, or the move is not possible now; the sentence names who or why."""


class Full(Exception):
    """The agent has no room left."""


class NoQueue(Exception):
    """There is no active queue to wait in."""


# ---------------------------------------------------------------- where to?
@dataclass(frozen=True, slots=True)
class Target:
    """Where a conversation is to go: exactly one of queue and agent, found and locked."""

    queue: Queue | None = None
    agent: AgentProfile | None = None
    hops: tuple[Queue, ...] = ()
    exhausted: bool = False


def first_active_queue(department_id: UUID) -> Queue:
    """The queue that answers for a department: highest priority, then slug. Raises NoQueue."""
    queues = Queue.objects.filter(department_id=department_id, is_active=True, department__is_active=True)
    queue = queues.order_by("-priority", "slug").first()
    if queue is None:
        raise NoQueue
    return queue


def check_and_apply_overflow(queue_id: UUID, *, besides: UUID | None = None) -> Target:
    """Lock the queue and its overflow queues, count who waits, and say which one takes one more.

    Call inside the transaction that enqueues: the locks make the count true until it commits. `besides` is
    the conversation itself, which may stand in one of these queues already.
    """
    lines = {
        q.pk: overflow.Line(q.pk, q.max_queue_size, q.overflow_queue_id, q.is_active)
        for q in Queue.objects.only("id", "max_queue_size", "overflow_queue", "is_active")
    }
    ids = overflow.path(queue_id, lines)
    locked = {q.pk: q for q in Queue.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")}
    lines = {
        pk: overflow.Line(pk, q.max_queue_size, q.overflow_queue_id, q.is_active) for pk, q in locked.items()
    }
    placement = overflow.settle(queue_id, lines, waiting_in(ids, besides=besides))
    return Target(
        queue=locked[placement.queue_id],
        hops=tuple(locked[pk] for pk in placement.hops),
        exhausted=placement.exhausted and len(ids) > 1,
    )


def waiting_in(queue_ids: Sequence[UUID], *, besides: UUID | None = None) -> dict[UUID, int]:
    """How many conversations wait in each queue."""
    rows = (
        Conversation.objects.filter(state=State.QUEUED, queue_id__in=list(queue_ids))
        .exclude(pk=besides)
        .order_by()
        .values("queue_id")
        .annotate(n=Count("id"))
    )
    return {row["queue_id"]: row["n"] for row in rows}


def lock_agent(member_id: UUID, *, with_room: bool = True) -> AgentProfile:
    """Lock an agent for an assignment. Raises Full, and Conflict when this member is no agent any more."""
    agent = (
        AgentProfile.objects.select_for_update(no_key=True, of=("self",))
        .select_related("member__user")
        .filter(member_id=member_id, member__is_active=True)
        .first()
    )
    if agent is None:
        raise Conflict(_("This person does not work as an agent."))
    if with_room and open_load(member_id) >= agent.capacity:
        raise Full(_("%(name)s has no room: %(n)d open conversations.") % {
            "name": agent.member.name, "n": agent.capacity,
        })  # fmt: skip
    return agent


def open_load(member_id: UUID) -> int:
    """Open conversations that count against an agent's capacity; snoozed ones do not."""
    return Conversation.objects.filter(
        assigned_agent_id=member_id, state=State.HUMAN_HANDOFF, snoozed_until__isnull=True
    ).count()


# ---------------------------------------------------------------- bot -> people
def request_handoff(
    pk: UUID,
    *,
    queue_id: UUID | None = None,
    department_id: UUID | None = None,
    agent_id: UUID | None = None,
    priority: int | None = None,
    context: str = "",
    notice: str | None = None,
    actor: Membership | None = None,
    cause: str = "request",
) -> Conversation:
    """Hand a conversation to people by one of the three paths: queue, department, agent.

    `notice` is what the customer is told (None: the queue's own, else the default sentence).
    Raises NoQueue, Full, Conflict, TransitionNotAllowed.
    """
    if agent_id:
        return assign_agent(pk, agent_id, actor=actor, context=context, cause=cause)
    queue_id = queue_id or first_active_queue(department_id).pk
    return assign_to_queue_with_overflow(
        pk, queue_id, priority=priority, context=context, notice=notice, actor=actor, cause=cause
    )


def assign_to_queue_with_overflow(
    pk: UUID,
    queue_id: UUID,
    *,
    priority: int | None = None,
    context: str = "",
    notice: str | None = None,
    actor: Membership | None = None,
    cause: str = "request",
) -> Conversation:
    """Put a conversation in line, moving on to the overflow queue when this one is full."""
    now = database_now()
    with transaction.atomic():
        target = check_and_apply_overflow(queue_id, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            turn = conversation.seq + 1
            enter_queue(conversation, target, priority=priority, context=context, notice=notice, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
    return conversation


def enter_queue(
    conversation: Conversation,
    target: Target,
    *,
    priority: int | None,
    context: str = "",
    notice: str | None = None,
    now: datetime,
) -> None:
    """The part of every queueing that happens under the conversation's lock."""
    waits_already = conversation.state in (State.QUEUED, State.HUMAN_HANDOFF)
    _remember(conversation, target, context, now)
    end_run(conversation, "handoff", now)
    if priority is None:
        priority = conversation.queue_priority
    if waits_already:
        conversation.requeue(target.queue, priority, now)
    else:
        conversation.enqueue(target.queue, priority, now)
        _tell(conversation, target.queue, notice, now)


def _remember(conversation: Conversation, target: Target, context: str, now: datetime) -> None:
    extra = conversation.extra_data
    if context:
        extra["handoff_context"] = context
    if target.hops:
        original, final = target.hops[0], target.queue
        extra.setdefault("overflow_history", []).append(
            {
                "original_queue_id": str(original.pk),
                "overflow_queue_id": str(final.pk),
                "overflowed_at": now.isoformat(),
            }
        )
        conversation.log(
            "overflow", {"from": original.name, "to": final.name, "passed": [q.name for q in target.hops]}
        )
    if target.exhausted:
        extra["overflow_exhausted"] = True
        conversation.log("overflow_exhausted", {"queue": target.queue.name})


def _tell(conversation: Conversation, queue: Queue, notice: str | None, now: datetime) -> None:
    """The customer is told once that people take over; an empty notice says nothing."""
    if notice is None:
        notice = queue.handoff_notice
        if not notice:
            with override(conversation.contact.language or conversation.organization.locale):
                notice = _("Transferring you to an agent…")
    if notice:
        draft = outbox.Draft(
            text=notice, sender=Message.Sender.SYSTEM, origin=Delivery.Origin.SYSTEM, priority=1
        )
        outbox.say(conversation, draft, now=now)


def end_run(conversation: Conversation, outcome: str, now: datetime) -> None:
    """A live flow run ends here; its version stays on record."""
    FlowRun.objects.filter(conversation=conversation, ended_at__isnull=True).update(
        ended_at=now, outcome=outcome
    )


def assign_agent(
    pk: UUID,
    agent_id: UUID,
    *,
    actor: Membership | None = None,
    context: str = "",
    cause: str = "assign",
) -> Conversation:
    """Give a conversation to an agent directly, at once and without a queue. Raises Full, Conflict."""
    now = database_now()
    with transaction.atomic():
        agent = lock_agent(agent_id)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            turn = conversation.seq + 1
            give_to(conversation, agent, context=context, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
        reason = f"assigned by {actor.name}" if actor else "assigned by the bot"
        note_assignment(conversation, agent, reason, now)
    return conversation


def give_to(conversation: Conversation, agent: AgentProfile, *, context: str = "", now: datetime) -> None:
    """The part of a direct assignment that happens under the conversation's lock."""
    if context:
        conversation.extra_data["handoff_context"] = context
    end_run(conversation, "handoff", now)
    if conversation.state == State.HUMAN_HANDOFF:
        conversation.hand_on(agent.member, now)
    else:
        conversation.assign(agent.member, now)


def note_assignment(conversation: Conversation, agent: AgentProfile, reason: str, now: datetime) -> None:
    """After a direct assignment: the agent's turn in the rotation and the record of why."""
    _mark_assigned(agent, now)
    _decide(conversation, "assign", agent, reason)


# ---------------------------------------------------------------- people take
@dataclass(frozen=True, slots=True)
class Pulled:
    """What a pull gave; without a conversation, `reason` says why."""

    conversation: Conversation | None
    reason: str = ""


def pull_from_queue(agent_id: UUID, queue_id: UUID | None = None) -> Pulled:
    """Assign the first waiting conversation the agent may take: priority, then age, then id.

    The four filters are allowed agents, skills, business hours, capacity. Never waits for a conversation that
    somebody else is just taking.
    """
    now = database_now()
    with transaction.atomic():
        try:
            profile = lock_agent(agent_id, with_room=False)
        except Conflict as error:
            return Pulled(None, str(error))
        agent = agent_facts(profile)
        queues = [q for q in Queue.objects.select_related("calendar") if queue_id in (None, q.pk)]
        verdicts = {q.pk: eligibility.verdicts(line_of(q, now), agent) for q in queues}
        eligible = [pk for pk, found in verdicts.items() if all(v.ok for v in found)]
        pk = _first_waiting(eligible)
        if pk is None:
            return Pulled(None, _why_nothing(queues, verdicts))
        with moving(pk, actor=profile.member, cause="pull", now=now) as conversation:
            taken_from = conversation.queue_id
            conversation.claim(profile.member, now)
        _mark_assigned(profile, now)
        _decide(conversation, "pull", profile, "first in line", verdicts[taken_from])
    return Pulled(conversation)


def _first_waiting(queue_ids: Sequence[UUID]) -> UUID | None:
    rows = Conversation.objects.filter(state=State.QUEUED, queue_id__in=queue_ids)
    return (
        rows.order_by("-queue_priority", "queued_at", "id")
        .select_for_update(no_key=True, skip_locked=True)
        .values_list("pk", flat=True)
        .first()
    )


def _why_nothing(queues: Sequence[Queue], verdicts: dict[UUID, tuple[eligibility.Verdict, ...]]) -> str:
    """One sentence for the agent: the filter that stood in the way, else that nobody waits."""
    waiting = waiting_in([q.pk for q in queues])
    if not waiting:
        return _("Nobody is waiting.")
    for queue in queues:
        if queue.pk in waiting:
            for verdict in verdicts[queue.pk]:
                if not verdict.ok:
                    return _("%(queue)s: %(filter)s %(detail)s") % {
                        "queue": queue.name, "filter": verdict.filter, "detail": verdict.detail,
                    }  # fmt: skip
    return _("Nobody is waiting.")


def claim(pk: UUID, *, agent_id: UUID) -> Conversation:
    """Give a waiting conversation to the agent who asked for it; the first one wins.

    Raises Conflict naming the winner, Full.
    """
    now = database_now()
    with transaction.atomic():
        agent = lock_agent(agent_id)
        with moving(pk, actor=agent.member, cause="claim", now=now) as conversation:
            if conversation.state == State.HUMAN_HANDOFF:
                raise Conflict(_("%(name)s already has this conversation.") % {
                    "name": conversation.assigned_agent.name,
                })  # fmt: skip
            _may_take(conversation, agent, now)
            conversation.claim(agent.member, now)
        _mark_assigned(agent, now)
        _decide(conversation, "claim", agent, "picked by the agent")
    return conversation


def _may_take(conversation: Conversation, agent: AgentProfile, now: datetime) -> None:
    """An agent picks only from queues they serve, within the queue's limit per agent."""
    if conversation.queue is None:
        return
    for verdict in eligibility.verdicts(line_of(conversation.queue, now), agent_facts(agent)):
        if not verdict.ok and verdict.filter == "agent_capacity":
            raise Full(verdict.detail)
        if not verdict.ok and verdict.filter in ("allowed_agents", "skills_required"):
            raise Conflict(_("You do not serve this queue. %(detail)s") % {"detail": verdict.detail})


def take_over(pk: UUID, *, agent_id: UUID) -> Conversation:
    """A person takes the conversation from the bot or from a colleague. Raises Full, Conflict."""
    now = database_now()
    with transaction.atomic():
        agent = lock_agent(agent_id)
        with moving(pk, actor=agent.member, cause="take_over", now=now) as conversation:
            if conversation.assigned_agent_id == agent.member_id:
                raise Conflict(_("You already have this conversation."))
            end_run(conversation, "taken_over", now)
            conversation.take_over(agent.member, now)
            outbox.fence(conversation, before_seq=conversation.seq + 1, now=now)
        _mark_assigned(agent, now)
        _decide(conversation, "take_over", agent, "taken over")
    return conversation


# ---------------------------------------------------------------- people pass on
def transfer(
    pk: UUID,
    *,
    actor: Membership | None,
    queue_id: UUID | None = None,
    department_id: UUID | None = None,
    agent_id: UUID | None = None,
    priority: int | None = None,
    note: str = "",
    cause: str = "transfer",
) -> Conversation:
    """Pass a conversation on to a queue, a department or a colleague. Raises NoQueue, Full, Conflict."""
    now = database_now()
    with transaction.atomic():
        if agent_id:
            target = Target(agent=lock_agent(agent_id))
        else:
            target = check_and_apply_overflow(queue_id or first_active_queue(department_id).pk, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            turn = conversation.seq + 1
            if note:
                add_note(conversation, actor, note)
            if target.agent:
                give_to(conversation, target.agent, now=now)
            else:
                enter_queue(conversation, target, priority=priority, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
        if target.agent:
            note_assignment(conversation, target.agent, "passed on", now)
    return conversation


def release_to_bot(
    pk: UUID, *, actor: Membership | None, flow: Flow | None = None, cause: str = "release"
) -> Conversation:
    """Give the contact back to the bot: a new run of the flow, which speaks first.

    Raises Conflict when there is no published flow to run.
    """
    now = database_now()
    with moving(pk, actor=actor, cause=cause, now=now) as conversation:
        flow = flow or conversation.flow
        if flow is None or flow.published_id is None:
            raise Conflict(_("No published flow can take this conversation."))
        conversation.release_to_bot(flow)
        begin_run(conversation, flow, trigger="release", now=now)
    return conversation


def begin_run(conversation: Conversation, flow: Flow, *, trigger: str, now: datetime) -> FlowRun:
    """A new run, pinned to the version that is published now; it starts with the next bot turn."""
    end_run(conversation, "replaced", now)
    conversation.log(
        "flow_started", {"flow": flow.name, "version": flow.published.number, "trigger": trigger}
    )
    deadlines.arm(conversation, deadlines.Kind.BOT_TURN, now)
    return FlowRun.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        version_id=flow.published_id,
        trigger=trigger,
        started_at=now,
    )


def close(pk: UUID, *, actor: Membership | None, reason: str = "agent", cause: str = "close") -> Conversation:
    """End a conversation. The next message of the contact opens a new one."""
    now = database_now()
    with moving(pk, actor=actor, cause=cause, now=now) as conversation:
        turn = conversation.seq + 1
        close_locked(conversation, reason, now)
        outbox.fence(conversation, before_seq=turn, now=now)
    return conversation


def close_locked(conversation: Conversation, reason: str, now: datetime) -> None:
    end_run(conversation, reason, now)
    conversation.close(reason, now)
    conversation.unread = 0


def add_note(conversation: Conversation, author: Membership | None, text: str) -> None:
    """Write an internal note under the conversation's lock."""
    event = conversation.log("note", {}, actor=author)
    note = conversation.notes.create(
        organization_id=conversation.organization_id, seq=event.seq, author=author, text=text
    )
    event.data["note"] = str(note.pk)


# ---------------------------------------------------------------- why this agent
def _mark_assigned(agent: AgentProfile, now: datetime) -> None:
    agent.last_assigned_at = now
    agent.save(update_fields=["last_assigned_at"])


def _decide(
    conversation: Conversation,
    mode: str,
    agent: AgentProfile,
    reason: str,
    verdicts: Sequence[eligibility.Verdict] = (),
) -> None:
    candidate = {
        "agent": {"id": str(agent.member_id), "name": agent.member.name},
        "verdicts": [asdict(v) for v in verdicts],
        "keys": [conversation.queue_priority, conversation.waited_seconds],
    }
    RoutingDecision.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        mode=mode,
        candidates=[candidate],
        chosen=agent.member,
        reason=reason,
    )
