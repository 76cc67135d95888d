"""What the desk owes the customer of a conversation: its SLA and idle clocks, and which have struck.

A clock that struck is remembered in `extra_data["sla"]` with the moment it started from: a new stay in a
queue or a new unanswered message starts a new one. What is left to do after a stroke stands in
`extra_data["sla_todo"]` until it is done, so that a dead worker leaves it to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Subquery
from django.db.models.fields.json import KT

from conversations.models import Conversation, Deadline, State
from queues import sla
from queues.hours import Hours
from queues.models import Queue, SlaPolicy

WITH_PEOPLE = (State.QUEUED, State.HUMAN_HANDOFF)
TARGETS = tuple(target.value for target in sla.Target)
STATES = {None: "running", sla.Stage.WARNING: "warned", sla.Stage.BREACH: "breached"}
IDLE = Deadline.Kind.AGENT_IDLE
NOT_AGAIN = timedelta(minutes=30)
IDLE_WARNS_AT = 80  # percent of the time
RELATED = ("queue__sla_policy__calendar", "queue__calendar")  # what `policy_of` reads


class Void(Exception):
    """What was to be done is done already, or stands for nothing any more."""


# ---------------------------------------------------------------- what is promised
def policy_of(queue: Queue | None) -> sla.Policy | None:
    """The promise of a queue: its policy, else its longest wait; business time follows the queue's calendar.

    The queue's own longest wait (`sla_minutes`) also stands in for a policy that names no wait. Alone it
    counts opening hours when the queue has a calendar, and around the clock when it has none.
    """
    if queue is None:
        return None
    if queue.sla_policy_id:
        return _policy(queue, queue.sla_policy)
    if queue.sla_minutes:
        minutes = {sla.Target.WAIT: queue.sla_minutes}
        return sla.Policy(name=queue.name, minutes=minutes, hours=hours_of(queue))
    return None


def _policy(queue: Queue, policy: SlaPolicy) -> sla.Policy:
    minutes = {
        sla.Target.WAIT: policy.wait_minutes or queue.sla_minutes,
        sla.Target.FIRST_RESPONSE: policy.first_response_minutes,
        sla.Target.NEXT_RESPONSE: policy.next_response_minutes,
        sla.Target.RESOLUTION: policy.resolution_minutes,
    }
    hours = None
    if policy.clock == SlaPolicy.Clock.BUSINESS:
        hours = policy.calendar.hours() if policy.calendar_id else hours_of(queue)
    return sla.Policy(
        name=policy.name,
        minutes={target: n for target, n in minutes.items() if n},
        warn_percent=policy.warn_percent,
        hours=hours,
    )


def hours_of(queue: Queue) -> Hours | None:
    return queue.calendar.hours() if queue.calendar_id else None


def facts_of(c: Conversation) -> sla.Facts:
    return sla.Facts(
        is_with_people=c.state in WITH_PEOPLE,
        queued_at=c.queued_at,
        handed_over_at=c.handoff_at,
        first_response_at=c.first_response_at,
        waiting_since=c.waiting_since,
    )


def clocks_of(c: Conversation) -> list[sla.Clock]:
    """The clocks that run for a conversation now, the idle agent's among them."""
    if c.state not in WITH_PEOPLE or c.queue is None:
        return []
    policy, idle = policy_of(c.queue), _idle_clock(c, c.queue)
    return [*(sla.clocks(policy, facts_of(c)) if policy else ()), *([idle] if idle else ())]


def clock_of(c: Conversation, kind: str) -> sla.Clock | None:
    return next((clock for clock in clocks_of(c) if clock.kind == kind), None)


def _idle_clock(c: Conversation, queue: Queue) -> sla.Clock | None:
    """The agent is idle who does nothing while the customer waits for them.

    It counts from the customer's message or the agent's last act, whichever is later, in the queue's opening
    hours; while the conversation is snoozed or on hold the agent has said when they look again.
    """
    rests = c.snoozed_until or c.held_at
    if c.state != State.HUMAN_HANDOFF or rests or not c.waiting_since or not queue.agent_idle_minutes:
        return None
    start = max(c.waiting_since, c.last_activity_at or c.waiting_since)
    return sla.wind(IDLE, start, queue.agent_idle_minutes, IDLE_WARNS_AT, hours_of(queue))


# ---------------------------------------------------------------- what has struck
def struck(c: Conversation, kind: str, since: datetime) -> sla.Stage | None:
    """How far a clock that started then has struck."""
    mark = c.extra_data.get("sla", {}).get(kind)
    return sla.Stage(mark["stage"]) if mark and mark["since"] == text(since) else None


def strike(c: Conversation, clock: sla.Clock, stage: sla.Stage) -> None:
    """Remember that a clock struck. Needs the conversation's lock."""
    mark = {"since": text(clock.since), "due_at": text(clock.due_at), "stage": stage.value}
    c.extra_data.setdefault("sla", {})[clock.kind] = mark


def plan(c: Conversation, kind: str, stage: sla.Stage, steps: Iterable[UUID]) -> None:
    """Note the escalations that a stroke asks for. Needs the conversation's lock."""
    if names := [str(pk) for pk in steps]:
        c.extra_data.setdefault("sla_todo", {})[kind] = {"stage": stage.value, "steps": names}


def todo(c: Conversation, kind: str) -> dict[str, Any] | None:
    """{"stage", "steps": [escalation id, ...]} of a kind, or None when nothing is left to do."""
    return c.extra_data.get("sla_todo", {}).get(kind)


def take_step(c: Conversation, kind: str, step: UUID) -> None:
    """Strike an escalation off, in the transaction that carries it out. Raises Void unless it is the next."""
    left = todo(c, kind)
    if left is None or left["steps"][0] != str(step):
        raise Void
    del left["steps"][0]
    if not left["steps"]:
        del c.extra_data["sla_todo"][kind]
    if not c.extra_data["sla_todo"]:
        del c.extra_data["sla_todo"]


def drop_steps(c: Conversation) -> None:
    """People no longer have it: what was left to escalate is noted and given up."""
    for kind, left in c.extra_data.pop("sla_todo", {}).items():
        c.log(
            "escalation_failed",
            {
                "target": sla.Target(kind).word,
                "stage": left["stage"],
                "steps": len(left["steps"]),
                "why": "it left the hands of people",
            },
        )


def bar_agent(c: Conversation, now: datetime) -> None:
    """It is taken from its agent: the router looks for somebody else for a while. Needs the lock."""
    mark = {"agent_id": str(c.assigned_agent_id), "until": text(now + NOT_AGAIN)}
    c.extra_data["not_again"] = mark


# ---------------------------------------------------------------- what is shown
@dataclass(frozen=True, slots=True)
class Promise:
    """One promise as people see it: `state` is running, warned or breached."""

    target: str
    due_at: datetime
    state: str


def shown(c: Conversation, rows: Iterable[Deadline]) -> list[Promise]:
    """The live promises of a conversation, the most urgent first, from its deadlines. Computes nothing."""
    due = {row.kind: row.data.get("due_at") for row in rows}
    found = []
    for target in sla.Target:
        start = sla.since(target, facts_of(c))
        stage = struck(c, target, start) if start else None
        if start and (at := c.extra_data["sla"][target]["due_at"] if stage else due.get(target)):
            found.append(Promise(target.word, datetime.fromisoformat(at), STATES[stage]))
    return sorted(found, key=lambda promise: promise.due_at)


def broken_since(c: Conversation) -> datetime | None:
    """Since when a live promise is broken: the earliest of them."""
    broken = [at for at, stage in _live_marks(c) if stage is sla.Stage.BREACH]
    return min(broken, default=None)


def is_warned(c: Conversation) -> bool:
    return any(stage is sla.Stage.WARNING for _at, stage in _live_marks(c))


def _live_marks(c: Conversation) -> Iterator[tuple[datetime, sla.Stage]]:
    for target in sla.Target:
        start = sla.since(target, facts_of(c))
        if start and (stage := struck(c, target, start)):
            yield datetime.fromisoformat(c.extra_data["sla"][target]["due_at"]), stage


def next_due(conversation: Any) -> Any:
    """A subquery: when the nearest promise of a conversation ends, as a text of `text`'s kind."""
    rows = Deadline.objects.filter(
        conversation=conversation, kind__in=TARGETS, data__has_key="due_at"
    ).order_by()
    return Subquery(rows.annotate(due=KT("data__due_at")).order_by("due").values("due")[:1])


def text(moment: datetime) -> str:
    """A moment as it is kept in JSON: UTC and of one length, so that texts sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
