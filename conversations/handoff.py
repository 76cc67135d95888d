"""From bot to people and between people: queueing, pulling, claiming, passing on, giving back, closing.

Every verb locks in one order - queues by id, agent, conversation - so that no two of them can wait for each
other. Sizes and loads are counted under those locks, never kept: a race can't make them wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils.translation import gettext as _

from accounts.models import Membership
from conversations import outbox
from conversations.capacity import flag_if_over, lock_agent, refuse_if_full_here
from conversations.conflicts import Conflict, Full, NoQueue, OutOfHours
from conversations.decisions import call_router, mark_assigned, record
from conversations.models import Conversation, Offer, State
from conversations.moves import database_now, moving, writing
from conversations.queueing import (
    Target,
    check_and_apply_overflow,
    enter_queue,
    first_active_queue,
    waiting_in,
)
from conversations.runs import begin_run, end_run
from conversations.selectors import agent_facts, line_of
from flows.models import Flow
from queues import eligibility
from queues.models import AgentProfile, Queue

__all__ = [
    "Conflict", "Full", "NoQueue", "OutOfHours", "Target", "begin_run", "check_and_apply_overflow", "end_run",
    "enter_queue", "first_active_queue", "lock_agent", "waiting_in",
]  # fmt: skip


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
        target = check_and_apply_overflow(queue_id, now=now, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            turn = conversation.seq + 1
            enter_queue(
                conversation, target, priority=priority, context=context, notice=notice, actor=actor, now=now
            )
            outbox.fence(conversation, before_seq=turn, now=now)
    return conversation


def assign_agent(
    pk: UUID,
    agent_id: UUID,
    *,
    actor: Membership | None = None,
    context: str = "",
    cause: str = "assign",
    over_capacity: bool = False,
) -> Conversation:
    """Give a conversation to an agent directly, at once and without a queue. Raises Full, Conflict.

    `over_capacity`: a supervisor has confirmed that the agent gets it although they have no room.
    """
    now = database_now()
    with transaction.atomic():
        agent = lock_agent(agent_id, with_room=not over_capacity, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            turn = conversation.seq + 1
            give_to(conversation, agent, context=context, over_capacity=over_capacity, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
        reason = f"assigned by {actor.name}" if actor else "assigned by the bot"
        note_assignment(conversation, agent, reason, now)
    return conversation


def give_to(
    conversation: Conversation,
    agent: AgentProfile,
    *,
    context: str = "",
    over_capacity: bool = False,
    now: datetime,
) -> None:
    """The part of a direct assignment that happens under the conversation's lock. Raises Full."""
    verb = conversation.hand_on if conversation.state == State.HUMAN_HANDOFF else conversation.assign
    if context:
        conversation.extra_data["handoff_context"] = context
    end_run(conversation, "handoff", now)
    _burden(conversation, agent, over_capacity, lambda: verb(agent.member, now))


def _burden(
    conversation: Conversation, agent: AgentProfile, over_capacity: bool, verb: Callable[[], None]
) -> None:
    """Give it within the agent's limits, or above them where somebody said so; then the ledger says it."""
    if over_capacity:
        verb()
        flag_if_over(conversation, agent)
    else:
        refuse_if_full_here(conversation, agent)
        verb()


def note_assignment(conversation: Conversation, agent: AgentProfile, reason: str, now: datetime) -> None:
    """After a direct assignment: the agent's turn in the rotation and the record of why."""
    mark_assigned(agent, now)
    record(conversation, "assign", agent, reason)


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
        pk = _first_waiting(eligible, agent_id)
        if pk is None:
            return Pulled(None, _why_nothing(queues, verdicts))
        with moving(pk, actor=profile.member, cause="pull", now=now) as conversation:
            taken_from = conversation.queue_id
            conversation.claim(profile.member, now)
        mark_assigned(profile, now)
        record(conversation, "pull", profile, "first in line", verdicts[taken_from])
    return Pulled(conversation)


# Each queue's first ones come from its index, so that a hundred thousand waiting cost what ten do; the first
# that nobody else is just taking is locked. What is on offer to a colleague stays theirs meanwhile.
IN_ORDER = """
    FROM conversations_conversation c
    WHERE c.queue_id = {queue} AND c.state = 'queued' AND NOT EXISTS (
        SELECT 1 FROM conversations_offer o
        WHERE o.conversation_id = c.id AND o.outcome = '' AND o.agent_id <> %(agent)s)
    ORDER BY c.queue_priority DESC, c.queued_at, c.id"""
FIRST_OF_ONE = f"""
    SELECT c.id {IN_ORDER.format(queue="%(queue)s")}
    LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
FIRST_OF_SEVERAL = f"""
    SELECT free.id FROM (
        SELECT first.* FROM unnest(%(queues)s::uuid[]) AS asked(id) CROSS JOIN LATERAL (
            SELECT c.id, c.queue_priority, c.queued_at {IN_ORDER.format(queue="asked.id")}
            LIMIT %(some)s) AS first
        ORDER BY first.queue_priority DESC, first.queued_at, first.id) AS first
    CROSS JOIN LATERAL (
        SELECT c.id FROM conversations_conversation c
        WHERE c.id = first.id AND c.state = 'queued' FOR NO KEY UPDATE SKIP LOCKED) AS free
    ORDER BY first.queue_priority DESC, first.queued_at, first.id LIMIT 1
"""  # noqa: S608 - put together from constants
MORE_THAN_PULL_AT_ONCE = 100


def _first_waiting(queue_ids: Sequence[UUID], agent_id: UUID) -> UUID | None:
    asked: dict[str, Any] = {
        "queues": list(queue_ids), "agent": agent_id, "some": MORE_THAN_PULL_AT_ONCE,
    }  # fmt: skip
    statement = FIRST_OF_SEVERAL
    if len(queue_ids) == 1:
        statement, asked["queue"] = FIRST_OF_ONE, queue_ids[0]
    with connection.cursor() as cursor:
        cursor.execute(statement, asked)
        row = cursor.fetchone()
    return row[0] if row else None


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
        agent = lock_agent(agent_id, besides=pk)
        with moving(pk, actor=agent.member, cause="claim", now=now) as conversation:
            if conversation.state == State.HUMAN_HANDOFF:
                raise Conflict(_("%(name)s already has this conversation.") % {
                    "name": conversation.assigned_agent.name,
                })  # fmt: skip
            _not_offered_to_another(conversation, agent)
            _may_take(conversation, agent, now)
            conversation.claim(agent.member, now)
        mark_assigned(agent, now)
        record(conversation, "claim", agent, "picked by the agent")
    return conversation


def _not_offered_to_another(conversation: Conversation, agent: AgentProfile) -> None:
    offers = Offer.objects.filter(conversation=conversation, outcome=Offer.Outcome.OPEN)
    offer = offers.exclude(agent_id=agent.member_id).select_related("agent__user").first()
    if offer:
        raise Conflict(_("It is being offered to %(name)s at the moment.") % {"name": offer.agent.name})


def _may_take(conversation: Conversation, agent: AgentProfile, now: datetime) -> None:
    """An agent picks only from queues they serve, within the queue's limit per agent."""
    if conversation.queue is None:
        return
    for verdict in eligibility.verdicts(
        line_of(conversation.queue, now), agent_facts(agent, besides=conversation.pk)
    ):
        if not verdict.ok and verdict.filter == "agent_capacity":
            raise Full(verdict.detail)
        if not verdict.ok and verdict.filter in ("allowed_agents", "skills_required"):
            raise Conflict(_("You do not serve this queue. %(detail)s") % {"detail": verdict.detail})


def take_over(pk: UUID, *, agent_id: UUID, over_capacity: bool = False) -> Conversation:
    """A person takes the conversation from the bot or from a colleague. Raises Full, Conflict."""
    now = database_now()
    with transaction.atomic():
        agent = lock_agent(agent_id, with_room=not over_capacity, besides=pk)
        with moving(pk, actor=agent.member, cause="take_over", now=now) as conversation:
            if conversation.assigned_agent_id == agent.member_id:
                raise Conflict(_("You already have this conversation."))
            end_run(conversation, "taken_over", now)
            _burden(conversation, agent, over_capacity, lambda: conversation.take_over(agent.member, now))
            outbox.fence(conversation, before_seq=conversation.seq + 1, now=now)
        mark_assigned(agent, now)
        record(conversation, "take_over", agent, "taken over")
    return conversation


# ---------------------------------------------------------------- people pass on
# Asked under the conversation's lock before anything changes; it raises to refuse. What it writes into the
# conversation is kept or lost together with the move.
Guard = Callable[[Conversation], object]


def anything(conversation: Conversation) -> None:
    """The guard that lets every move pass."""


def reprioritise(
    pk: UUID,
    priority: int,
    *,
    actor: Membership | None,
    cause: str = "prioritise",
    only_up: bool = False,
    guard: Guard = anything,
) -> Conversation:
    """Say how urgent a conversation is: its place in line, also for when an agent gives it back.

    Raises Conflict while the bot has it or after its end.
    """
    with writing(pk, actor=actor, cause=cause) as conversation:
        guard(conversation)
        if conversation.state not in (State.QUEUED, State.HUMAN_HANDOFF):
            raise Conflict(_("Only a conversation that is with people has a priority."))
        before = conversation.queue_priority
        if priority == before or (only_up and priority < before):
            return conversation
        conversation.queue_priority = priority
        conversation.log("priority", {"from": before, "to": priority})
        if conversation.state == State.QUEUED and conversation.queue.routes_itself:
            call_router(conversation.organization_id, "priority")
    return conversation


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
    over_capacity: bool = False,
    guard: Guard = anything,
) -> Conversation:
    """Pass a conversation on to a queue, a department or a colleague. Raises NoQueue, Full, Conflict."""
    now = database_now()
    with transaction.atomic():
        if agent_id:
            target = Target(agent=lock_agent(agent_id, with_room=not over_capacity, besides=pk))
        else:
            queue_id = queue_id or first_active_queue(department_id).pk
            target = check_and_apply_overflow(queue_id, now=now, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            guard(conversation)
            turn = conversation.seq + 1
            if note:
                add_note(conversation, actor, note)
            if target.agent:
                give_to(conversation, target.agent, over_capacity=over_capacity, now=now)
            else:
                enter_queue(conversation, target, priority=priority, actor=actor, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
        if target.agent:
            note_assignment(conversation, target.agent, "passed on", now)
    return conversation


def release_to_bot(
    pk: UUID,
    *,
    actor: Membership | None,
    flow: Flow | None = None,
    cause: str = "release",
    guard: Guard = anything,
) -> Conversation:
    """Give the contact back to the bot: a new run of the flow, which speaks first.

    Raises Conflict when there is no published flow to run.
    """
    now = database_now()
    with moving(pk, actor=actor, cause=cause, now=now) as conversation:
        guard(conversation)
        flow = flow or conversation.flow
        if flow is None or flow.published_id is None:
            raise Conflict(_("No published flow can take this conversation."))
        conversation.release_to_bot(flow)
        begin_run(conversation, flow, trigger="release", now=now)
    return conversation


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
