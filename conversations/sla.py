"""When a promise is near its end or broken: put it on record, then do what the policy says, each step once.

A stroke is committed first, with the steps it asks for; each step strikes itself off in the transaction that
carries it out. A worker that dies on the way leaves the rest to the next one, and two of them cannot do a
step twice. A step that cannot be done is noted in the ledger and the rest goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.db.models import Prefetch
from django_fsm import TransitionNotAllowed
from django_scopes import scope, scopes_disabled

from accounts.models import Organization
from conversations import deadlines, handoff, promises
from conversations.conflicts import Conflict, Full, NoQueue, OutOfHours
from conversations.models import Conversation, Deadline, State, Stay
from conversations.moves import database_now, writing
from queues.models import Priority, SlaEscalation
from queues.sla import Stage, Target

EVENTS = {Stage.WARNING: "sla_warning", Stage.BREACH: "sla_breach"}
REFUSALS = (Conflict, Full, NoQueue, OutOfHours, TransitionNotAllowed)
Act = SlaEscalation.Act


def strike(deadline: Deadline) -> None:
    """A clock reached its warning or its end. Raises Void when the promise was kept or struck meanwhile."""
    pk, kind = deadline.conversation_id, Target(deadline.kind)
    with writing(pk, cause="sla") as conversation:
        deadlines.must_stand(deadline)
        if not deadline.data.get("unfinished"):
            _put_on_record(conversation, kind, Stage(deadline.data["stage"]))
            deadlines.watch(conversation, database_now())
    escalate(pk, kind)


def _put_on_record(conversation: Conversation, kind: Target, stage: Stage) -> None:
    clock = promises.clock_of(conversation, kind)
    if clock is None:
        return  # no longer promised
    policy = promises.policy_of(conversation.queue)
    promises.strike(conversation, clock, stage)
    data = {
        "target": kind.word,
        "due_at": clock.due_at.isoformat(),
        "policy": policy.name,
        "minutes": policy.minutes[kind],
    }
    conversation.log(EVENTS[stage], data)
    if stage is Stage.BREACH:
        conversation.sla_breached_at = conversation.sla_breached_at or database_now()
    promises.plan(conversation, kind, stage, _steps_of(conversation, kind, stage))


def _steps_of(conversation: Conversation, kind: Target, stage: Stage) -> list[UUID]:
    policy_id = conversation.queue.sla_policy_id
    rows = SlaEscalation.objects.filter(policy_id=policy_id, stage=stage, target__in=("", kind))
    return list(rows.values_list("pk", flat=True)) if policy_id else []


# ---------------------------------------------------------------- what the policy says
@dataclass(frozen=True, slots=True)
class Step:
    """One escalation to be carried out; `rule` is None when it was deleted meanwhile."""

    pk: UUID
    kind: Target
    stage: Stage
    rule: SlaEscalation | None


def escalate(pk: UUID, kind: Target) -> None:
    """Do what is left to do for a promise, in the policy's order."""
    done = False
    while step := _next_step(pk, kind):
        done = True
        try:
            _carry_out(pk, step)
        except promises.Void:
            continue  # another worker did it
        except REFUSALS as error:
            _note_refusal(pk, step, error)
    if done:
        with writing(pk, cause="sla") as conversation:
            deadlines.watch(conversation, database_now())


def _next_step(pk: UUID, kind: Target) -> Step | None:
    left = promises.todo(Conversation.objects.get(pk=pk), kind)
    if left is None:
        return None
    first = UUID(left["steps"][0])
    rule = SlaEscalation.objects.select_related("queue").filter(pk=first).first()
    return Step(first, kind, Stage(left["stage"]), rule)


def _carry_out(pk: UUID, step: Step) -> None:
    rule = step.rule
    if rule is None:
        raise Conflict("the rule was deleted")
    guard = partial(promises.take_step, kind=step.kind, step=step.pk)
    match rule.act:
        case Act.RAISE_PRIORITY:
            handoff.reprioritise(pk, rule.priority, actor=None, cause="sla", only_up=True, guard=guard)
        case Act.MOVE:
            _move(pk, rule, guard)
        case Act.NOTIFY:
            with writing(pk, cause="sla") as conversation:
                guard(conversation)
                conversation.log("attention", {"why": EVENTS[step.stage], "target": step.kind.word})
        case Act.REASSIGN:
            _reassign(pk, guard)


def _move(pk: UUID, rule: SlaEscalation, guard: handoff.Guard) -> None:
    """To another queue, but never back to where it has waited already: two policies must not play ball."""
    if not rule.queue.is_active:
        raise Conflict("the queue is not active")
    if Stay.objects.filter(conversation=pk, queue=rule.queue_id).exists():
        raise Conflict("it has waited there already")
    handoff.transfer(pk, actor=None, queue_id=rule.queue_id, cause="sla", guard=guard)


def _reassign(pk: UUID, guard: handoff.Guard) -> None:
    """Back to its queue, first in line (that is: urgent), and not to the same agent again."""
    queue = Conversation.objects.select_related("queue").get(pk=pk).queue
    if queue is None or not queue.is_active:
        raise Conflict("the queue is not active")

    def take(conversation: Conversation) -> None:
        if conversation.state != State.HUMAN_HANDOFF:
            raise Conflict("no agent has it")
        guard(conversation)
        promises.bar_agent(conversation, database_now())

    handoff.transfer(pk, actor=None, queue_id=queue.pk, priority=Priority.URGENT, cause="sla", guard=take)


def _note_refusal(pk: UUID, step: Step, error: Exception) -> None:
    """What the policy wanted and why it was not possible. Not when another worker was faster to note it."""
    with writing(pk, cause="sla") as conversation:
        left = promises.todo(conversation, step.kind)
        if left is None or left["steps"][0] != str(step.pk):
            return
        promises.take_step(conversation, step.kind, step.pk)
        data = {
            "act": step.rule.act if step.rule else "",
            "target": step.kind.word,
            "stage": step.stage,
            "why": str(error) or type(error).__name__,
        }
        conversation.log("escalation_failed", data)


# ---------------------------------------------------------------- changed promises
class Review:
    """Goes round all conversations with people, a batch at a time, and winds anew the clocks that are stale.

    So a changed policy, calendar or queue reaches who waits already, without anybody having to say that it
    changed. It reads only; a conversation is locked when its deadlines are not what they should be.
    """

    batch = 300

    def __init__(self) -> None:
        self.after: UUID | None = None

    def __call__(self) -> int:
        """Look at the next batch; the number of conversations that were stale."""
        with scopes_disabled():
            clocks = Prefetch("deadlines", Deadline.objects.filter(kind__in=deadlines.CLOCKS))
            rows = Conversation.objects.filter(
                pk__in=self._next_ids(), state__in=promises.WITH_PEOPLE, queue__isnull=False
            )
            found, now = rows.select_related(*promises.RELATED).prefetch_related(clocks), database_now()
            stale = [c for c in found if deadlines.is_stale(c, c.deadlines.all(), now)]
        for conversation in stale:
            _wind_anew(conversation)
        return len(stale)

    def _next_ids(self) -> list[UUID]:
        """Who is open has an alarm armed: its rows are few, whatever the number of closed conversations."""
        rows = Deadline.objects.filter(kind=Deadline.Kind.ATTENTION).order_by("conversation_id")
        if self.after:
            rows = rows.filter(conversation_id__gt=self.after)
        ids = list(rows.values_list("conversation_id", flat=True)[: self.batch])
        self.after = ids[-1] if len(ids) == self.batch else None
        return ids


def _wind_anew(stale: Conversation) -> None:
    with (
        scope(organization=Organization.objects.get(pk=stale.organization_id)),
        writing(stale.pk, cause="policy") as conversation,
    ):
        deadlines.watch(conversation, database_now())


review = Review()
