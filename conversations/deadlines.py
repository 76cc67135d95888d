"""The next thing that must happen by itself: armed with each move, claimed by whoever looks first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Min
from django_scopes import scopes_disabled

from conversations import promises
from conversations.models import Conversation, Deadline, State
from conversations.promises import Void
from queues import sla
from queues.models import OverflowRule
from queues.services import desk_settings

Kind = Deadline.Kind
LEASE = timedelta(seconds=30)
NOBODY_LOOKS = timedelta(minutes=30)
REVIEW = timedelta(hours=24)  # an agent has it and nothing happens; also the longest pause between alarms
CLOCKS = (Kind.AGENT_IDLE, *promises.TARGETS)

# Which deadlines make sense in which state; all others go when the state changes.
KEPT: dict[str, tuple[str, ...]] = {
    State.PENDING: (Kind.BOT_TURN, Kind.ATTENTION),
    State.BOT: (Kind.BOT_TURN, Kind.BOT_TIMEOUT, Kind.BOT_IDLE),
    State.QUEUED: (
        Kind.QUEUE_WAIT,
        Kind.ATTENTION,
        Kind.OFFER,
        Kind.ROUTE,
        Kind.OVERFLOW,
        Kind.SLA_WAIT,
        Kind.SLA_FIRST,
        Kind.SLA_NEXT,
        Kind.SLA_RESOLUTION,
    ),
    State.HUMAN_HANDOFF: (
        Kind.ATTENTION,
        Kind.AGENT_IDLE,
        Kind.SNOOZE,
        Kind.SLA_FIRST,
        Kind.SLA_NEXT,
        Kind.SLA_RESOLUTION,
    ),
    State.CLOSED: (),
}


def arm(conversation: Conversation, kind: str, due_at: datetime, data: dict[str, Any] | None = None) -> None:
    """Set or move one deadline. Call under the conversation's lock."""
    row = Deadline(
        organization_id=conversation.organization_id,
        conversation=conversation,
        kind=kind,
        due_at=due_at,
        epoch=conversation.bot_epoch,
        data=data or {},
    )
    Deadline.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["conversation", "kind"],
        update_fields=["due_at", "epoch", "data", "attempts"],
    )


def disarm(conversation: Conversation, *kinds: str) -> None:
    conversation.deadlines.filter(kind__in=kinds).delete()


def rearm(conversation: Conversation, now: datetime) -> None:
    """After a move: drop what belongs to the old state, arm what the new one needs.

    Every open state has at least one deadline, so that nobody is forgotten.
    """
    conversation.deadlines.exclude(kind__in=KEPT[conversation.state]).delete()
    match conversation.state:
        case State.PENDING:
            await_somebody(conversation.pk, conversation.organization_id, now)
        case State.BOT:
            arm(conversation, Kind.BOT_IDLE, now + _minutes(desk_settings().bot_silence_minutes))
        case State.QUEUED:
            _arm_waiting(conversation, now)
        case State.HUMAN_HANDOFF:
            arm(conversation, Kind.ATTENTION, now + REVIEW)
    if conversation.state in promises.WITH_PEOPLE:
        watch(conversation, now)
    else:
        promises.drop_steps(conversation)


def _arm_waiting(conversation: Conversation, now: datetime) -> None:
    queue = conversation.queue
    disarm(conversation, Kind.QUEUE_WAIT)
    if queue.wait_limit_minutes:
        # From the place in line on: who keeps it in another queue has not begun to wait anew.
        limit = _minutes(queue.wait_limit_minutes)
        arm(conversation, Kind.QUEUE_WAIT, conversation.queued_at + limit)
    wait = _minutes(queue.sla_minutes) if queue.sla_minutes else NOBODY_LOOKS
    arm(conversation, Kind.ATTENTION, now + wait)
    _arm_overflow(conversation, now)


def _arm_overflow(conversation: Conversation, now: datetime) -> None:
    """The queue's first waiting rule counts from entering this queue; no other move starts it again."""
    rules = OverflowRule.objects.filter(queue=conversation.queue_id, condition=OverflowRule.Condition.WAITED)
    minutes = rules.aggregate(first=Min("after_minutes"))["first"]
    if minutes is None:
        disarm(conversation, Kind.OVERFLOW)
        return
    data = overflow_data(conversation, now, minutes)
    row = conversation.deadlines.filter(kind=Kind.OVERFLOW).first()
    if row is None or row.data["place"] != data["place"]:
        arm(conversation, Kind.OVERFLOW, now + timedelta(minutes=minutes), data)


def overflow_data(conversation: Conversation, since: datetime, minutes: int) -> dict[str, Any]:
    """What the waiting rule's deadline remembers: for which place in line, since when, by which minutes."""
    place = f"{conversation.queue_id} {conversation.queued_at.isoformat()}"
    return {"place": place, "since": since.isoformat(), "minutes": minutes}


def _minutes(n: int) -> timedelta:
    """So many minutes, a year at most: what people type may be longer than any calendar."""
    return min(timedelta(minutes=n), timedelta(days=366))


# ---------------------------------------------------------------- clocks that follow the facts
def watch(conversation: Conversation, now: datetime) -> None:
    """Arm the idle clock and the SLA's as the facts stand. Needs the lock.

    `rearm` does it after each move; call it after whatever else changes who waits for whom: a message, a
    snooze and its end, a hold. What is armed as it should be stays untouched.
    """
    rows = {row.kind: row for row in conversation.deadlines.filter(kind__in=CLOCKS)}
    for kind, (at, data) in _due(conversation, now).items():
        row = rows.pop(kind, None)
        if row is None or row.data != data:
            arm(conversation, kind, at, data)
    if rows:
        disarm(conversation, *rows)


def is_stale(conversation: Conversation, rows: Iterable[Deadline], now: datetime) -> bool:
    """Whether these clocks are not what policy, calendar and queue ask for now. Reads only."""
    armed = {row.kind: row.data for row in rows if row.kind in CLOCKS}
    return armed != {kind: data for kind, (_at, data) in _due(conversation, now).items()}


def _due(conversation: Conversation, now: datetime) -> dict[str, tuple[datetime, dict[str, Any]]]:
    """When each clock strikes next, and what its deadline remembers."""
    found = {}
    for clock in promises.clocks_of(conversation):
        done = promises.struck(conversation, clock.kind, clock.since)
        if coming := sla.next_stage(clock, done, now):
            stage, at = coming
            found[clock.kind] = at, _data(stage, clock.due_at)
    for kind, left in conversation.extra_data.get("sla_todo", {}).items():
        # Whoever noted the steps does them at once; this is for when they die on the way.
        found[kind] = now + LEASE, {"stage": left["stage"], "unfinished": True}
    return found


def _data(stage: sla.Stage, due_at: datetime) -> dict[str, Any]:
    return {"stage": stage.value, "due_at": promises.text(due_at)}


def touch_agent(conversation: Conversation, now: datetime) -> None:
    """The agent answered: nobody waits for them, and the idle clock starts again with the next message."""
    conversation.last_activity_at = now
    conversation.waiting_since = None
    watch(conversation, now)


def customer_wrote(conversation: Conversation, now: datetime) -> None:
    """The customer waits for people from the first message on that they have not answered."""
    if conversation.state in promises.WITH_PEOPLE:
        conversation.waiting_since = conversation.waiting_since or now
        watch(conversation, now)


def must_stand(deadline: Deadline) -> None:
    """Raise Void when a claimed deadline was armed anew, carried out or dropped meanwhile.

    Under the conversation's lock this is sure: deadlines change only there. So each is carried out once, also
    when its lease ran out and two workers hold it.
    """
    if not Deadline.objects.filter(pk=deadline.pk, due_at=deadline.due_at).exists():
        raise Void


# ---------------------------------------------------------------- alarms
def await_somebody(pk: UUID, organization_id: UUID, now: datetime) -> None:
    """A supervisor hears of a conversation that nobody receives, unless that is arranged already."""
    alarm = Deadline(
        organization_id=organization_id, conversation_id=pk, kind=Kind.ATTENTION, due_at=now + NOBODY_LOOKS
    )
    Deadline.objects.bulk_create([alarm], ignore_conflicts=True)


def alarm_again(conversation: Conversation, deadline: Deadline, now: datetime) -> None:
    """Somebody was told that nobody handles it: tell again later, twice as late each time, a day at most."""
    times = deadline.data.get("times", 0) + 1
    pause = min(NOBODY_LOOKS * 2 ** min(times, 10), REVIEW)
    arm(conversation, Kind.ATTENTION, now + pause, {"times": times})


def claim_due(limit: int = 50) -> list[Deadline]:
    """Take due deadlines for 30 seconds. A worker that dies leaves them to the next one."""
    parameters: list[Any] = [LEASE, limit]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE conversations_deadline SET due_at = now() + %s, attempts = attempts + 1
            WHERE id IN (SELECT id FROM conversations_deadline WHERE due_at <= now()
                         ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,
            parameters,
        )
        ids = [row[0] for row in cursor.fetchall()]
    with scopes_disabled():
        return list(Deadline.objects.filter(id__in=ids).select_related("organization"))


def finish(deadline: Deadline) -> None:
    """Done with it, unless somebody armed it anew meanwhile."""
    Deadline.objects.filter(pk=deadline.pk, due_at=deadline.due_at).delete()
