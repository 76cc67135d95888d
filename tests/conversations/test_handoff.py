"""The three paths to people, overflow, pulling with the four filters, and passing on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from accounts.models import Membership, Organization
from conversations import handoff
from conversations.fsm import OutsideTheDoor
from conversations.models import Conversation, RoutingDecision
from flows.models import Flow
from queues.models import AgentProfile, AgentSkill, Calendar, Department, Queue, Skill

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


def types(conversation: Conversation) -> list[str]:
    return list(conversation.events.order_by("seq").values_list("type", flat=True))


def test_path_queue_waits_with_priority_and_context(make_conversation: Make, support: Queue) -> None:
    pk = make_conversation().pk
    conversation = handoff.request_handoff(pk, queue_id=support.pk, priority=80, context="VIP")
    assert (conversation.state, conversation.queue, conversation.queue_priority) == ("queued", support, 80)
    assert conversation.extra_data["handoff_context"] == "VIP"
    assert conversation.messages.get().sender == "system"  # the notice
    assert "enqueue" in types(conversation)


def test_path_department_takes_the_first_active_queue(
    make_conversation: Make, make_queue: MakeQueue, department: Department
) -> None:
    make_queue("zeta", priority=90, is_active=False)
    make_queue("beta", priority=80)
    chosen = make_queue("alfa", priority=80)
    conversation = handoff.request_handoff(make_conversation().pk, department_id=department.pk)
    assert conversation.queue == chosen


def test_a_department_without_active_queue_is_refused(
    make_conversation: Make, department: Department
) -> None:
    with pytest.raises(handoff.NoQueue):
        handoff.request_handoff(make_conversation().pk, department_id=department.pk)


def test_path_agent_needs_no_queue(make_conversation: Make, ana: Membership) -> None:
    conversation = handoff.request_handoff(make_conversation().pk, agent_id=ana.pk)
    assert (conversation.state, conversation.assigned_agent, conversation.queue) == (
        "human_handoff",
        ana,
        None,
    )


def test_a_full_agent_is_refused(make_conversation: Make, ana: Membership) -> None:
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    make_conversation("human_handoff", agent=ana)
    with pytest.raises(handoff.Full):
        handoff.assign_agent(make_conversation().pk, ana.pk)


def test_golden_case_a_queue_with_50_of_50_overflows(make_conversation: Make, make_queue: MakeQueue) -> None:
    geral = make_queue("geral")
    suporte = make_queue("suporte", max_queue_size=50, overflow_queue=geral)
    first = make_conversation()
    for _ in range(50):
        make_conversation("queued", queue=suporte)
    conversation = handoff.assign_to_queue_with_overflow(first.pk, suporte.pk)
    assert conversation.queue == geral
    (hop,) = conversation.extra_data["overflow_history"]
    assert (hop["original_queue_id"], hop["overflow_queue_id"]) == (str(suporte.pk), str(geral.pk))
    assert "overflow" in types(conversation)


def test_full_without_overflow_stays(make_conversation: Make, make_queue: MakeQueue) -> None:
    only = make_queue("unica", max_queue_size=1)
    make_conversation("queued", queue=only)
    conversation = make_conversation("queued", queue=only)
    assert conversation.queue == only
    assert "overflow_exhausted" not in conversation.extra_data


def test_no_room_anywhere_stays_in_the_original_and_is_flagged(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b", max_queue_size=1)
    a = make_queue("a", max_queue_size=1, overflow_queue=b)
    placed = [make_conversation("queued", queue=a) for _ in range(3)]
    assert [c.queue for c in placed] == [a, b, a]
    assert placed[2].extra_data["overflow_exhausted"] is True
    assert "overflow_exhausted" in types(placed[2])


def test_pull_takes_priority_then_age_then_id(
    make_conversation: Make, support: Queue, ana: Membership
) -> None:
    old = make_conversation("queued", queue=support)
    new = make_conversation("queued", queue=support)
    urgent = make_conversation("queued", queue=support, priority=100)
    assert [handoff.pull_from_queue(ana.pk).conversation.pk for _ in range(3)] == [urgent.pk, old.pk, new.pk]
    empty = handoff.pull_from_queue(ana.pk)
    assert (empty.conversation, bool(empty.reason)) == (None, True)


def test_a_pull_keeps_the_wait_and_clears_the_queue_time(
    make_conversation: Make, support: Queue, ana: Membership
) -> None:
    make_conversation("queued", queue=support)
    pulled = handoff.pull_from_queue(ana.pk).conversation
    assert (pulled.queued_at, pulled.assigned_agent) == (None, ana)
    assert pulled.waited_seconds >= 0
    decision = RoutingDecision.objects.get(conversation=pulled)
    assert (decision.mode, decision.chosen) == ("pull", ana)
    assert [v["filter"] for v in decision.candidates[0]["verdicts"]] == [
        "allowed_agents", "skills_required", "business_hours", "agent_capacity",
    ]  # fmt: skip


def test_filter_allowed_agents(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership, bia: Membership
) -> None:
    queue = make_queue("vip", settings={"allowed_agent_ids": [str(bia.pk)]})
    make_conversation("queued", queue=queue)
    assert handoff.pull_from_queue(ana.pk).conversation is None
    assert handoff.pull_from_queue(bia.pk).conversation is not None


def test_filter_skills(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    skill = Skill.objects.create(organization=acme, name="Boletos", slug="boletos")
    make_conversation("queued", queue=make_queue("fin", settings={"skills_required": ["boletos"]}))
    refused = handoff.pull_from_queue(ana.pk)
    assert refused.conversation is None
    assert "boletos" in refused.reason
    AgentSkill.objects.create(organization=acme, agent=ana.agent, skill=skill)
    assert handoff.pull_from_queue(ana.pk).conversation is not None


def test_filter_business_hours(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    yesterday = timezone.localtime() - timedelta(days=1)
    day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][(yesterday - timedelta(days=1)).weekday()]
    closed = Calendar.objects.create(
        organization=acme, name="Ontem", intervals=[{"weekday": day, "start": "09:00", "end": "10:00"}]
    )
    make_conversation("queued", queue=make_queue("dia", calendar=closed))
    assert "business_hours" in handoff.pull_from_queue(ana.pk).reason


def test_filter_capacity_per_agent_and_per_queue(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    queue = make_queue("uma", max_conversations_per_agent=1)
    for _ in range(2):
        make_conversation("queued", queue=queue)
    assert handoff.pull_from_queue(ana.pk).conversation is not None
    assert "agent_capacity" in handoff.pull_from_queue(ana.pk).reason


def test_the_second_agent_to_claim_is_told_who_won(
    make_conversation: Make, support: Queue, ana: Membership, bia: Membership
) -> None:
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    with pytest.raises(handoff.Conflict, match="Ana"):
        handoff.claim(conversation.pk, agent_id=bia.pk)


def test_a_claim_outside_ones_queues_is_refused(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership, bia: Membership
) -> None:
    queue = make_queue("vip", settings={"allowed_agent_ids": [str(bia.pk)]})
    with pytest.raises(handoff.Conflict):
        handoff.claim(make_conversation("queued", queue=queue).pk, agent_id=ana.pk)


def test_transfer_to_a_colleague_and_to_a_queue(
    make_conversation: Make, support: Queue, ana: Membership, bia: Membership
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    passed = handoff.transfer(conversation.pk, actor=ana, agent_id=bia.pk, note="cuide bem")
    assert (passed.assigned_agent, passed.notes.get().text) == (bia, "cuide bem")
    queued = handoff.transfer(conversation.pk, actor=bia, queue_id=support.pk, priority=100)
    assert (queued.state, queued.assigned_agent, queued.queue_priority) == ("queued", None, 100)


def test_release_to_bot_starts_a_new_run(make_conversation: Make, ana: Membership, flow: Flow) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    released = handoff.release_to_bot(conversation.pk, actor=ana, flow=flow)
    assert (released.state, released.assigned_agent) == ("bot", None)
    assert released.runs.get(ended_at__isnull=True).version == flow.published


def test_release_without_a_published_flow_is_refused(make_conversation: Make, ana: Membership) -> None:
    with pytest.raises(handoff.Conflict):
        handoff.release_to_bot(make_conversation("human_handoff", agent=ana).pk, actor=ana)


def test_a_closed_conversation_cannot_be_claimed(make_conversation: Make, ana: Membership) -> None:
    conversation = make_conversation("closed")
    assert (conversation.close_reason, conversation.closed_at is not None) == ("agent", True)
    with pytest.raises(TransitionNotAllowed):
        handoff.claim(conversation.pk, agent_id=ana.pk)


def test_a_state_changes_only_through_the_door(make_conversation: Make) -> None:
    conversation = make_conversation()
    with pytest.raises(OutsideTheDoor):
        conversation.close("agent", timezone.now())
    with pytest.raises(AttributeError):
        conversation.state = "closed"


def test_take_over_silences_the_bot(make_conversation: Make, flow: Flow, ana: Membership) -> None:
    conversation = make_conversation("bot", flow=flow)
    before = conversation.bot_epoch
    taken = handoff.take_over(conversation.pk, agent_id=ana.pk)
    assert (taken.state, taken.bot_epoch) == ("human_handoff", before + 1)
    assert taken.runs.get().outcome == "taken_over"


def test_the_notice_of_the_queue_is_what_the_customer_reads(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    queue = make_queue("s", handoff_notice="Já vamos te atender.")
    conversation = handoff.request_handoff(make_conversation().pk, queue_id=queue.pk)
    assert conversation.messages.get().text == "Já vamos te atender."
