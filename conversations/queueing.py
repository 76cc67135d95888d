"""Standing in line: which queue takes a conversation, what the customer is told, what is put on record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection
from django.db.models import Count

from accounts.models import Membership
from conversations import notices
from conversations.conflicts import NoQueue, OutOfHours
from conversations.models import CloseReason, Conversation, State
from conversations.runs import end_run
from conversations.selectors import candidates, line_of
from queues import eligibility, overflow
from queues.models import AgentProfile, OverflowRule, Queue

PEOPLES = (State.QUEUED, State.HUMAN_HANDOFF)


# ---------------------------------------------------------------- where to?
@dataclass(frozen=True, slots=True)
class Target:
    """Where a conversation is to go: exactly one of queue and agent, found and locked."""

    queue: Queue | None = None
    agent: AgentProfile | None = None
    hops: tuple[Queue, ...] = ()  # the queues that passed it on, in order
    condition: str = ""  # why the first of them did
    full: bool = False  # it waits here although there is no room
    closed: bool = False  # it waits here although the queue is closed
    exhausted: bool = False  # full, and so is everything that the rules lead to


def first_active_queue(department_id: UUID) -> Queue:
    """The queue that answers for a department: highest priority, then slug. Raises NoQueue."""
    queues = Queue.objects.filter(department_id=department_id, is_active=True, department__is_active=True)
    queue = queues.order_by("-priority", "slug").first()
    if queue is None:
        raise NoQueue
    return queue


def check_and_apply_overflow(
    queue_id: UUID, *, now: datetime, besides: UUID | None = None, waited: timedelta | None = None
) -> Target:
    """Lock the queue and every queue its rules can lead to, and say which one takes one more.

    Call inside the transaction that enqueues: the locks make the counts true until it commits. Where none of
    them has limited places nothing is counted, and nobody has to wait for a lock. `besides` is the
    conversation itself, which may stand in one of these queues already; `waited` is how long it has, when
    that is why it may go on.
    """
    rules = list(OverflowRule.objects.order_by("position", "id"))
    known = Queue.objects.only("id", "max_queue_size", "overflow_queue", "closed_action", "is_active")
    seen = _lines(known, rules)
    ids = overflow.reachable(queue_id, seen)
    rows = Queue.objects.select_related("calendar").filter(pk__in=ids).order_by("pk")
    if any(seen[pk].limit is not None for pk in ids):
        rows = rows.select_for_update(no_key=True, of=("self",))
    locked = {queue.pk: queue for queue in rows}
    lines = _lines(locked.values(), rules)
    placement = overflow.settle(queue_id, lines, _facts(locked, lines, besides, now), waited=waited)
    return Target(
        queue=locked[placement.queue_id],
        hops=tuple(locked[hop.source] for hop in placement.hops),
        condition=placement.hops[0].when if placement.hops else "",
        full=placement.full,
        closed=placement.closed,
        exhausted=placement.full and len(ids) > 1,
    )


def _lines(queues: Iterable[Queue], rules: Iterable[OverflowRule]) -> dict[UUID, overflow.Line]:
    own: dict[UUID, list[overflow.Rule]] = {}
    for rule in rules:
        after = timedelta(minutes=rule.after_minutes) if rule.after_minutes else None
        own.setdefault(rule.queue_id, []).append(overflow.Rule(rule.condition, rule.target_id, after))
    return {
        q.pk: overflow.Line(
            q.pk,
            q.max_queue_size,
            overflow.rules_of(
                own.get(q.pk, ()),
                q.overflow_queue_id,
                also_closed=q.closed_action == Queue.ClosedAction.OVERFLOW,
            ),
            q.is_active,
        )
        for q in queues
    }


# ---------------------------------------------------------------- how do the queues stand?
def _facts(
    queues: Mapping[UUID, Queue], lines: Mapping[UUID, overflow.Line], besides: UUID | None, now: datetime
) -> dict[UUID, overflow.Facts]:
    sizes = _sizes(queues, besides)
    asked = [queue for pk, queue in queues.items() if lines[pk].asks(overflow.NOBODY)]
    unserved = _without_agent(asked, now) if asked else set()
    return {
        pk: overflow.Facts(
            waiting=sizes.get(pk, 0),
            is_open=queue.calendar is None or queue.calendar.hours().is_open(now),
            has_agent=pk not in unserved,
        )
        for pk, queue in queues.items()
    }


def _sizes(queues: Mapping[UUID, Queue], besides: UUID | None) -> dict[UUID, int]:
    """How many wait where places are limited, counted no further than the limit: a line may be very long."""
    limited = [pk for pk, queue in queues.items() if queue.max_queue_size is not None]
    if not limited:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT q.id, (SELECT count(*) FROM
                          (SELECT 1 FROM conversations_conversation c
                           WHERE c.queue_id = q.id AND c.state = 'queued' AND c.id IS DISTINCT FROM %s
                           LIMIT q.max_queue_size) counted)
            FROM queues_queue q WHERE q.id = ANY(%s)
            """,
            [besides, limited],
        )
        return dict(cursor.fetchall())


def _without_agent(queues: Iterable[Queue], now: datetime) -> set[UUID]:
    """The queues from which nobody could take a conversation at once: none present, fitting and with room."""
    present = [c.agent for c in candidates() if c.presence == AgentProfile.Presence.ONLINE]
    return {queue.pk for queue in queues if not any(_could_take(queue, agent, now) for agent in present)}


def _could_take(queue: Queue, agent: eligibility.Agent, now: datetime) -> bool:
    line = line_of(queue, now)
    return eligibility.serves(line, agent) and eligibility.has_room(line, agent).ok


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


# ---------------------------------------------------------------- into the line
def enter_queue(
    conversation: Conversation,
    target: Target,
    *,
    priority: int | None,
    context: str = "",
    notice: str | None = None,
    actor: Membership | None = None,
    now: datetime,
) -> None:
    """The part of every queueing that happens under the conversation's lock.

    A queue that refuses while it is closed turns away who comes from the bot: told so, and closed. People
    (`actor`) get OutOfHours instead and may choose another queue. Who is in people's care already waits: an
    agent's conversation that comes back by itself is never ended over the hour.
    """
    if target.closed and target.queue.closed_action == Queue.ClosedAction.REFUSE:
        if actor is not None and conversation.queue_id != target.queue.pk:
            raise OutOfHours(target.queue.name, notices.next_open(target.queue, now))
        if conversation.state not in PEOPLES:
            _turn_away(conversation, target.queue, now)
            return
    _remember(conversation, target, context, now)
    end_run(conversation, "handoff", now)
    if priority is None:
        priority = conversation.queue_priority
    if conversation.state in PEOPLES:
        conversation.requeue(target.queue, priority, now)
    else:
        conversation.enqueue(target.queue, priority, now)
        _tell(conversation, target, notice, now)


def pass_on(conversation: Conversation, target: Target, now: datetime) -> None:
    """From one queue to another by a rule; it keeps its age, so that nobody overtakes it for having moved."""
    _remember(conversation, target, "", now)
    conversation.requeue(target.queue, conversation.queue_priority, now, since=conversation.queued_at)


def _turn_away(conversation: Conversation, queue: Queue, now: datetime) -> None:
    """Nobody takes it before the queue opens: the customer is told, the message stays on record."""
    opens = notices.next_open(queue, now)
    conversation.log("out_of_hours", {"queue": queue.name, "next_open": opens.isoformat() if opens else None})
    end_run(conversation, CloseReason.OUT_OF_HOURS, now)
    notices.tell(conversation, queue, queue.closed_notice, notices.COME_BACK, now)
    conversation.close(CloseReason.OUT_OF_HOURS, now)
    conversation.unread = 0


def _remember(conversation: Conversation, target: Target, context: str, now: datetime) -> None:
    extra = conversation.extra_data
    extra.pop("overflow_exhausted", None)  # was said of an earlier place in line
    if context:
        extra["handoff_context"] = context
    if target.hops:
        original, final = target.hops[0], target.queue
        extra.setdefault("overflow_history", []).append(
            {
                "original_queue_id": str(original.pk),
                "overflow_queue_id": str(final.pk),
                "overflowed_at": now.isoformat(),
                "condition": target.condition,
            }
        )
        conversation.log(
            "overflow",
            {
                "from": original.name,
                "to": final.name,
                "passed": [q.name for q in target.hops],
                "condition": target.condition,
            },
        )
    if target.exhausted:
        extra["overflow_exhausted"] = True
        conversation.log("overflow_exhausted", {"queue": target.queue.name})


def _tell(conversation: Conversation, target: Target, notice: str | None, now: datetime) -> None:
    """The customer is told once what happens now; an empty notice says nothing.

    In a closed queue the queue's own words win: "transferring you" would be untrue until it opens.
    """
    queue = target.queue
    if notice == "":
        return
    if target.closed:
        notices.tell(conversation, queue, queue.closed_notice, notices.CLOSED, now)
    elif notice is not None:
        notices.say(conversation, notice, now)
    else:
        notices.tell(conversation, queue, queue.handoff_notice, notices.TRANSFERRING, now)
