"""Promises in a living conversation: armed by what happens, struck once, escalated step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from channels_hub.models import ChannelAccount
from conversations import clockwork, deadlines, handoff, intake, outbox, promises, resting, sla
from conversations.models import Conversation, Deadline
from queues.models import Calendar, Priority, Queue, SlaEscalation, SlaPolicy
from tests import twilio

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


@pytest.fixture
def policy(acme: Organization) -> SlaPolicy:
    return SlaPolicy.objects.create(
        organization=acme, name="Gold", clock="calendar", wait_minutes=10, first_response_minutes=20,
        next_response_minutes=30, resolution_minutes=600,
    )  # fmt: skip


@pytest.fixture
def gold(make_queue: MakeQueue, policy: SlaPolicy) -> Queue:
    return make_queue("gold", sla_policy=policy)


@pytest.fixture
def rule(acme: Organization, policy: SlaPolicy) -> Callable[..., SlaEscalation]:
    def make(act: str, **fields: Any) -> SlaEscalation:
        position = SlaEscalation.objects.count()
        return SlaEscalation.objects.create(
            organization=acme, policy=policy, act=act, position=position, **fields
        )

    return make


def armed(conversation: Conversation) -> dict[str, str]:
    rows = Deadline.objects.filter(conversation=conversation, kind__in=promises.TARGETS)
    return {row.kind: row.data["stage"] for row in rows}


def pass_time(conversation: Conversation, kind: str) -> None:
    """The deadline of this kind becomes due, and a worker looks."""
    due = timezone.now() - timedelta(minutes=1)
    Deadline.objects.filter(conversation=conversation, kind=kind).update(due_at=due)
    clockwork.drain_deadlines()


def told(conversation: Conversation, *types: str) -> list[str]:
    return list(conversation.events.filter(type__in=types).order_by("seq").values_list("type", flat=True))


def fresh(conversation: Conversation) -> Conversation:
    return Conversation.objects.get(pk=conversation.pk)


def writes(channel: ChannelAccount, conversation: Conversation, text: str = "Oi?") -> None:
    sender = conversation.contact.identities.get().value
    assert twilio.post(channel, twilio.form(text, sender=sender)).status_code == 200
    intake.drain()


# ---------------------------------------------------------------- when clocks run
def test_a_conversation_in_line_owes_wait_response_and_resolution(
    make_conversation: Make, gold: Queue
) -> None:
    conversation = make_conversation("queued", queue=gold)
    assert armed(conversation) == dict.fromkeys(("sla_wait", "sla_first", "sla_resolution"), "warning")
    wait = conversation.deadlines.get(kind="sla_wait")
    assert wait.due_at == conversation.queued_at + timedelta(minutes=8)


def test_answers_meet_what_was_promised(
    make_conversation: Make, gold: Queue, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    assert set(armed(conversation)) == {"sla_first", "sla_resolution"}
    outbox.reply(conversation.pk, agent=ana, text="Bom dia")
    assert (set(armed(conversation)), fresh(conversation).waiting_since) == ({"sla_resolution"}, None)
    writes(twilio_channel, conversation)
    first = fresh(conversation).waiting_since
    assert set(armed(conversation)) == {"sla_next", "sla_resolution"}
    writes(twilio_channel, conversation)
    assert (fresh(conversation).waiting_since, first is not None) == (first, True)
    outbox.reply(conversation.pk, agent=ana, text="Já vejo")
    assert set(armed(conversation)) == {"sla_resolution"}


def test_a_closed_conversation_owes_nothing(make_conversation: Make, gold: Queue, ana: Membership) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.close(conversation.pk, actor=ana)
    assert armed(conversation) == {}


def test_a_queue_without_policy_promises_its_longest_wait(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    conversation = make_conversation("queued", queue=make_queue("curta", sla_minutes=5))
    (row,) = Deadline.objects.filter(conversation=conversation, kind__in=promises.TARGETS)
    assert (row.kind, row.due_at) == ("sla_wait", conversation.queued_at + timedelta(minutes=4))


def test_business_time_of_a_closed_team_begins_when_it_opens(
    acme: Organization, make_conversation: Make, gold: Queue, policy: SlaPolicy
) -> None:
    opens = (timezone.now() + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    week = [{"weekday": days[opens.weekday()], "start": "09:00", "end": "18:00"}]
    calendar = Calendar.objects.create(organization=acme, name="Um dia", timezone="UTC", intervals=week)
    SlaPolicy.objects.filter(pk=policy.pk).update(clock="business", calendar=calendar)
    conversation = make_conversation("queued", queue=gold)
    assert conversation.deadlines.get(kind="sla_wait").due_at == opens + timedelta(minutes=8)


def test_a_snooze_stops_no_promise(
    make_conversation: Make, gold: Queue, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    before = armed(conversation)
    resting.snooze(conversation.pk, agent=ana, until=timezone.now() + timedelta(hours=3))
    assert armed(conversation) == before


# ---------------------------------------------------------------- striking
def test_it_warns_once_then_breaks_once(make_conversation: Make, gold: Queue) -> None:
    conversation = make_conversation("queued", queue=gold)
    pass_time(conversation, "sla_wait")
    row = conversation.deadlines.get(kind="sla_wait")
    assert (row.data["stage"], row.due_at) == ("breach", conversation.queued_at + timedelta(minutes=10))
    assert fresh(conversation).sla_breached_at is None
    for _ in range(3):
        pass_time(conversation, "sla_wait")
    assert told(conversation, "sla_warning", "sla_breach") == ["sla_warning", "sla_breach"]
    assert fresh(conversation).sla_breached_at is not None
    event = conversation.events.get(type="sla_breach")
    assert (event.data["target"], event.data["policy"], event.data["minutes"]) == ("wait", "Gold", 10)


def test_a_new_stay_in_line_is_a_new_promise(make_conversation: Make, gold: Queue, ana: Membership) -> None:
    conversation = make_conversation("queued", queue=gold)
    for _ in range(2):
        pass_time(conversation, "sla_wait")
    handoff.claim(conversation.pk, agent_id=ana.pk)
    handoff.transfer(conversation.pk, actor=ana, queue_id=gold.pk)
    assert armed(conversation)["sla_wait"] == "warning"
    assert "sla_first" in armed(conversation)  # one and the same promise since the hand-over


def test_a_move_does_not_strike_again(
    make_conversation: Make, gold: Queue, ana: Membership, bia: Membership
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    for _ in range(2):
        pass_time(conversation, "sla_first")
    handoff.transfer(conversation.pk, actor=ana, agent_id=bia.pk)
    assert "sla_first" not in armed(conversation)
    assert told(conversation, "sla_warning", "sla_breach") == ["sla_warning", "sla_breach"]


def test_a_promise_kept_in_the_last_moment_is_not_broken(
    make_conversation: Make, gold: Queue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    Deadline.objects.filter(kind="sla_first").update(due_at=timezone.now() - timedelta(minutes=1))
    claimed = [row for row in deadlines.claim_due() if row.kind == "sla_first"]
    outbox.reply(conversation.pk, agent=ana, text="Aqui estou")  # while the worker is on its way
    with pytest.raises(promises.Void):
        sla.strike(claimed[0])
    assert told(conversation, "sla_warning", "sla_breach") == []


# ---------------------------------------------------------------- escalations
def test_priority_is_raised_and_never_lowered(
    make_conversation: Make, gold: Queue, rule: Callable[..., SlaEscalation]
) -> None:
    rule("raise_priority", stage="warning", priority=Priority.HIGH)
    calm, urgent = (
        make_conversation("queued", queue=gold),
        make_conversation("queued", queue=gold, priority=100),
    )
    for conversation in (calm, urgent):
        pass_time(conversation, "sla_wait")
    assert [fresh(c).queue_priority for c in (calm, urgent)] == [80, 100]
    assert calm.events.get(type="priority").data == {"from": 50, "to": 80}
    assert told(urgent, "priority") == []


def test_raising_the_priority_keeps_the_place_and_the_waiting_limit(
    make_conversation: Make, make_queue: MakeQueue, policy: SlaPolicy, rule: Callable[..., SlaEscalation]
) -> None:
    rule("raise_priority", stage="warning", priority=Priority.HIGH)
    conversation = make_conversation(
        "queued", queue=make_queue("q", sla_policy=policy, wait_limit_minutes=60)
    )
    limit = conversation.deadlines.get(kind="queue_wait").due_at
    pass_time(conversation, "sla_wait")
    assert fresh(conversation).queued_at == conversation.queued_at
    assert conversation.deadlines.get(kind="queue_wait").due_at == limit


def test_steps_go_in_order_and_survive_the_move_among_them(
    make_conversation: Make, gold: Queue, make_queue: MakeQueue, rule: Callable[..., SlaEscalation]
) -> None:
    other = make_queue("outra")
    rule("move", target="sla_wait", queue=other)
    rule("notify", target="sla_wait")
    rule("raise_priority", target="sla_first", priority=Priority.URGENT)
    conversation = make_conversation("queued", queue=gold)
    for _ in range(2):
        pass_time(conversation, "sla_wait")
    now = fresh(conversation)
    assert (now.queue, now.queue_priority) == (other, 50)
    assert told(conversation, "sla_breach", "requeue", "attention") == ["sla_breach", "requeue", "attention"]
    assert (conversation.events.get(type="requeue").cause, "sla_todo" in now.extra_data) == ("sla", False)


def test_an_idle_agents_conversation_goes_back_first_in_line_and_not_to_them(
    make_conversation: Make, gold: Queue, ana: Membership, rule: Callable[..., SlaEscalation]
) -> None:
    rule("reassign", target="sla_first")
    conversation = make_conversation("queued", queue=gold)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    for _ in range(2):
        pass_time(conversation, "sla_first")
    now = fresh(conversation)
    assert (now.state, now.queue, now.queue_priority) == ("queued", gold, Priority.URGENT)
    assert now.extra_data["not_again"]["agent_id"] == str(ana.pk)


def test_what_cannot_be_done_is_noted_and_the_rest_goes_on(
    make_conversation: Make, gold: Queue, make_queue: MakeQueue, rule: Callable[..., SlaEscalation]
) -> None:
    rule("move", queue=make_queue("fechada", is_active=False))
    rule("reassign")
    rule("move", queue=gold)
    rule("notify")
    conversation = make_conversation("queued", queue=gold)
    for _ in range(2):
        pass_time(conversation, "sla_wait")
    failed = conversation.events.filter(type="escalation_failed").order_by("seq")
    assert [event.data["why"] for event in failed] == [
        "the queue is not active", "no agent has it", "it has waited there already",
    ]  # fmt: skip
    assert told(conversation, "attention") == ["attention"]


def test_a_conversation_that_ends_amid_its_escalations_says_what_was_left(
    make_conversation: Make, gold: Queue, ana: Membership, rule: Callable[..., SlaEscalation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rule("notify")
    conversation = make_conversation("queued", queue=gold)
    pass_time(conversation, "sla_wait")
    monkeypatch.setattr(sla, "escalate", lambda pk, kind: None)  # the worker dies before the first step
    pass_time(conversation, "sla_wait")
    handoff.close(conversation.pk, actor=ana)
    assert conversation.events.get(type="escalation_failed").data["steps"] == 1
    assert "sla_todo" not in fresh(conversation).extra_data


@pytest.mark.parametrize("dies_before", [1, 2, 3])
def test_a_worker_that_dies_amid_the_steps_leaves_the_rest_to_the_next(
    make_conversation: Make, gold: Queue, make_queue: MakeQueue, rule: Callable[..., SlaEscalation],
    monkeypatch: pytest.MonkeyPatch, dies_before: int,
) -> None:  # fmt: skip
    rule("raise_priority", priority=Priority.HIGH)
    rule("notify")
    rule("move", queue=make_queue("outra"))
    conversation = make_conversation("queued", queue=gold)
    pass_time(conversation, "sla_wait")
    steps, carry_out = iter(range(1, 9)), sla._carry_out

    def dying(pk: Any, step: sla.Step) -> None:
        if next(steps) == dies_before:
            raise RuntimeError("killed")
        carry_out(pk, step)

    monkeypatch.setattr(sla, "_carry_out", dying)
    pass_time(conversation, "sla_wait")
    assert len(told(conversation, "priority", "attention", "requeue")) == dies_before - 1
    assert conversation.deadlines.get(kind="sla_wait").due_at > timezone.now()  # under its lease
    for _ in range(2):
        pass_time(conversation, "sla_wait")
    told_all = told(conversation, "sla_breach", "priority", "attention", "requeue")
    assert told_all == ["sla_breach", "priority", "attention", "requeue"]


def test_the_step_of_a_dead_transaction_is_not_struck_off(
    make_conversation: Make, gold: Queue, make_queue: MakeQueue, rule: Callable[..., SlaEscalation],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The move and the mark that it was done are one transaction."""
    other = make_queue("outra")
    rule("move", queue=other)
    conversation = make_conversation("queued", queue=gold)
    pass_time(conversation, "sla_wait")
    with monkeypatch.context() as broken:
        broken.setattr(handoff.outbox, "fence", lambda *_, **__: 1 / 0)
        pass_time(conversation, "sla_wait")
    assert (fresh(conversation).queue, len(promises.todo(fresh(conversation), "sla_wait")["steps"])) == (
        gold,
        1,
    )
    pass_time(conversation, "sla_wait")
    assert fresh(conversation).queue == other


# ---------------------------------------------------------------- changed promises
def test_a_changed_policy_reaches_who_waits_already(
    make_conversation: Make, gold: Queue, policy: SlaPolicy
) -> None:
    conversation = make_conversation("queued", queue=gold)
    assert sla.Review()() == 0
    SlaPolicy.objects.filter(pk=policy.pk).update(wait_minutes=100, resolution_minutes=None)
    review = sla.Review()
    assert (review(), review()) == (1, 0)
    assert set(armed(conversation)) == {"sla_wait", "sla_first"}
    assert conversation.deadlines.get(kind="sla_wait").due_at == conversation.queued_at + timedelta(
        minutes=80
    )


def test_the_review_goes_round_in_batches(make_conversation: Make, gold: Queue, policy: SlaPolicy) -> None:
    for _ in range(5):
        make_conversation("queued", queue=gold)
    SlaPolicy.objects.filter(pk=policy.pk).update(wait_minutes=100)
    review = sla.Review()
    review.batch = 2
    assert [review() for _ in range(4)] == [2, 2, 1, 0]


# ---------------------------------------------------------------- priority by hand
def test_people_change_the_priority_on_record(
    make_conversation: Make, support: Queue, sofia: Membership
) -> None:
    conversation = make_conversation("queued", queue=support)
    handoff.reprioritise(conversation.pk, Priority.LOW, actor=sofia)
    event = conversation.events.get(type="priority")
    assert (event.actor, event.data, fresh(conversation).queue_priority) == (
        sofia,
        {"from": 50, "to": 10},
        10,
    )
    handoff.reprioritise(conversation.pk, Priority.LOW, actor=sofia)
    assert conversation.events.filter(type="priority").count() == 1


def test_what_is_not_with_people_has_no_priority(make_conversation: Make, sofia: Membership) -> None:
    with pytest.raises(handoff.Conflict):
        handoff.reprioritise(make_conversation().pk, Priority.HIGH, actor=sofia)


# ---------------------------------------------------------------- shown
def test_what_is_shown_is_what_was_promised(make_conversation: Make, gold: Queue) -> None:
    conversation = make_conversation("queued", queue=gold)
    for _ in range(2):
        pass_time(conversation, "sla_wait")
    pass_time(conversation, "sla_first")
    found = promises.shown(fresh(conversation), conversation.deadlines.all())
    assert [(promise.target, promise.state) for promise in found] == [
        ("wait", "breached"), ("first_response", "warned"), ("resolution", "running"),
    ]  # fmt: skip
    assert found[0].due_at == conversation.queued_at + timedelta(minutes=10)
