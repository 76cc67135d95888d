"""The router at work: it gives, offers, remembers and says why, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from contacts.models import Contact
from conversations import clockwork, handoff, resting, router
from conversations.models import Conversation, Deadline, Offer, RoutingDecision, State, Stay
from queues.models import AgentProfile, AgentSkill, Calendar, Queue, RoutingCall, Skill
from tests.conftest import new_member

pytestmark = pytest.mark.django_db
Make = Callable[..., Any]


@pytest.fixture
def turns(make_queue: Make) -> Queue:
    return make_queue("turns", routing_mode="round_robin", auto_assign_conversations=True)


@pytest.fixture
def offers(make_queue: Make) -> Queue:
    return make_queue("offers", routing_mode="round_robin", auto_assign_conversations=True, offer_seconds=30)


def owners() -> list[str | None]:
    rows = Conversation.objects.select_related("assigned_agent__user").order_by("pk")
    return [c.assigned_agent.name if c.assigned_agent else None for c in rows]


def after(kind: str) -> None:
    Deadline.objects.filter(kind=kind).update(due_at=timezone.now() - timedelta(minutes=1))
    clockwork.drain_deadlines()


# ---------------------------------------------------------------- giving
def test_what_is_queued_calls_the_router_which_gives_in_turn(
    ana: Membership, bia: Membership, turns: Queue, make_conversation: Make
) -> None:
    for _n in range(4):
        make_conversation("queued", queue=turns)
    assert RoutingCall.objects.exists()
    assert router.drain() == 4
    assert owners() == ["Ana", "Bia", "Ana", "Bia"]
    assert not RoutingCall.objects.exists()


def test_a_manual_queue_is_left_to_people(ana: Membership, support: Queue, make_conversation: Make) -> None:
    make_conversation("queued", queue=support)
    assert not RoutingCall.objects.exists()
    assert router.sweep() == 0
    assert Conversation.objects.get().state == State.QUEUED


def test_the_most_urgent_then_the_oldest_is_given_first(
    ana: Membership, turns: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.update(capacity=2)
    old, urgent, new = (make_conversation("queued", queue=turns, priority=p) for p in (50, 100, 50))
    assert router.sweep() == 2
    assert {c.pk for c in Conversation.objects.filter(state=State.HUMAN_HANDOFF)} == {old.pk, urgent.pk}
    assert Conversation.objects.get(pk=new.pk).state == State.QUEUED


def test_a_freed_place_is_filled_at_once(ana: Membership, turns: Queue, make_conversation: Make) -> None:
    AgentProfile.objects.update(capacity=1)
    first, second = make_conversation("queued", queue=turns), make_conversation("queued", queue=turns)
    router.drain()
    assert router.drain() == 0
    handoff.close(first.pk, actor=ana)
    assert router.drain() == 1
    assert Conversation.objects.get(pk=second.pk).assigned_agent == ana


@pytest.mark.parametrize("rest", [lambda pk, who: resting.hold(pk, agent=who), lambda pk, who: resting.snooze(
    pk, agent=who, until=timezone.now() + timedelta(hours=1))], ids=["hold", "snooze"])  # fmt: skip
def test_a_resting_conversation_frees_its_place(
    rest: Callable[..., Any], ana: Membership, turns: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.update(capacity=1)
    first, second = make_conversation("queued", queue=turns), make_conversation("queued", queue=turns)
    router.drain()
    rest(first.pk, ana)
    assert router.drain() == 1
    assert Conversation.objects.get(pk=second.pk).assigned_agent == ana


def test_a_closed_queue_gives_nothing_and_looks_again_when_it_opens(
    ana: Membership, turns: Queue, make_conversation: Make, acme: Organization
) -> None:
    from_now = timezone.now().astimezone() + timedelta(days=2)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[from_now.weekday()]
    turns.calendar = Calendar.objects.create(
        organization=acme, name="Later", intervals=[{"weekday": day, "start": "10:00", "end": "11:00"}]
    )
    turns.save(update_fields=["calendar"])
    make_conversation("queued", queue=turns)
    assert router.sweep() == 0
    due = Deadline.objects.get(kind="route").due_at
    assert timezone.now() < due <= timezone.now() + timedelta(days=8)


# ---------------------------------------------------------------- the same agent again
def test_a_returning_customer_meets_the_same_agent(
    ana: Membership, bia: Membership, make_queue: Make, make_conversation: Make, make_contact: Make
) -> None:
    sticky = make_queue(
        "sticky", routing_mode="load_balance", auto_assign_conversations=True, sticky_minutes=60
    )
    person: Contact = make_contact()
    before = make_conversation("human_handoff", agent=bia, contact=person)
    handoff.close(before.pk, actor=bia)
    make_conversation("human_handoff", agent=bia)  # bia is busier than ana
    back = make_conversation("queued", queue=sticky, contact=person)
    router.drain()
    assert Conversation.objects.get(pk=back.pk).assigned_agent == bia
    assert RoutingDecision.objects.filter(conversation=back).latest("at").reason == "knows the customer"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bia: AgentProfile.objects.filter(member=bia).update(presence="away"),
        lambda bia: Conversation.objects.filter(state="closed").update(
            closed_at=timezone.now() - timedelta(hours=2)
        ),
    ],
    ids=["not available", "too long ago"],
)
def test_the_same_agent_only_if_available_and_within_the_grace_time(
    spoil: Callable[[Membership], None],
    ana: Membership, bia: Membership, make_queue: Make, make_conversation: Make, make_contact: Make,
) -> None:  # fmt: skip
    sticky = make_queue(
        "sticky", routing_mode="load_balance", auto_assign_conversations=True, sticky_minutes=60
    )
    person = make_contact()
    before = make_conversation("human_handoff", agent=bia, contact=person)
    handoff.close(before.pk, actor=bia)
    make_conversation("human_handoff", agent=bia)
    spoil(bia)
    back = make_conversation("queued", queue=sticky, contact=person)
    router.drain()
    assert Conversation.objects.get(pk=back.pk).assigned_agent == ana


# ---------------------------------------------------------------- offers
def test_an_offer_holds_a_place_until_it_is_accepted(
    ana: Membership, offers: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.update(capacity=1)
    first, second = make_conversation("queued", queue=offers), make_conversation("queued", queue=offers)
    assert router.drain() == 1
    assert Conversation.objects.get(pk=first.pk).state == State.QUEUED
    assert Offer.objects.get().conversation_id == first.pk
    with pytest.raises(handoff.Full):
        handoff.claim(second.pk, agent_id=ana.pk)
    handoff.claim(first.pk, agent_id=ana.pk)
    assert Offer.objects.get().outcome == Offer.Outcome.ACCEPTED


def test_what_is_declined_is_offered_to_the_next(
    ana: Membership, bia: Membership, offers: Queue, make_conversation: Make
) -> None:
    conversation = make_conversation("queued", queue=offers)
    router.drain()
    first = Offer.objects.get().agent
    router.decline(conversation.pk, agent=first)
    router.drain()
    second = Offer.objects.get(outcome="").agent
    assert {first, second} == {ana, bia}
    router.decline(conversation.pk, agent=second)
    assert router.drain() == 0
    assert RoutingDecision.objects.filter(chosen=None).latest("at").unblock[0]["filter"] == "offer"


def test_an_offer_that_nobody_answers_goes_to_the_next(
    ana: Membership, bia: Membership, offers: Queue, make_conversation: Make
) -> None:
    conversation = make_conversation("queued", queue=offers)
    router.drain()
    missed = Offer.objects.get()
    Offer.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    after("offer")
    router.drain()
    assert Offer.objects.get(pk=missed.pk).outcome == Offer.Outcome.TIMED_OUT
    assert Offer.objects.get(outcome="").agent != missed.agent
    assert [e.type for e in conversation.events.order_by("seq")][-3:] == [
        "offered", "offer_timed_out", "offered",
    ]  # fmt: skip


def test_what_is_on_offer_is_nobody_elses_to_take(
    ana: Membership, bia: Membership, offers: Queue, make_conversation: Make
) -> None:
    conversation = make_conversation("queued", queue=offers)
    router.drain()
    other = bia if Offer.objects.get().agent == ana else ana
    with pytest.raises(handoff.Conflict, match=Offer.objects.get().agent.name):
        handoff.claim(conversation.pk, agent_id=other.pk)
    assert handoff.pull_from_queue(other.pk).conversation is None


def test_an_offer_is_withdrawn_when_a_supervisor_gives_it_to_another(
    ana: Membership, bia: Membership, sofia: Membership, offers: Queue, make_conversation: Make
) -> None:
    conversation = make_conversation("queued", queue=offers)
    router.drain()
    asked = Offer.objects.get().agent
    handoff.assign_agent(conversation.pk, (bia if asked == ana else ana).pk, actor=sofia)
    assert Offer.objects.get().outcome == Offer.Outcome.WITHDRAWN
    with pytest.raises(handoff.Conflict):
        router.decline(conversation.pk, agent=asked)


# ---------------------------------------------------------------- above capacity
def test_above_capacity_only_when_somebody_says_so_and_the_ledger_says_it(
    ana: Membership, sofia: Membership, support: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    make_conversation("human_handoff", agent=ana)
    more = make_conversation("queued", queue=support)
    with pytest.raises(handoff.Full):
        handoff.assign_agent(more.pk, ana.pk, actor=sofia)
    handoff.assign_agent(more.pk, ana.pk, actor=sofia, over_capacity=True)
    event = more.events.get(type="over_capacity")
    assert (event.data, event.actor) == ({"agent": "Ana", "load": 1, "capacity": 1}, sofia)
    assert Conversation.objects.get(pk=more.pk).extra_data["over_capacity"] is True


def test_the_queues_limit_per_agent_holds_for_whoever_assigns(
    ana: Membership, sofia: Membership, make_queue: Make, make_conversation: Make
) -> None:
    limited = make_queue("limited", max_conversations_per_agent=1)
    one, two = make_conversation("queued", queue=limited), make_conversation("queued", queue=limited)
    handoff.assign_agent(one.pk, ana.pk, actor=sofia)
    with pytest.raises(handoff.Full):
        handoff.assign_agent(two.pk, ana.pk, actor=sofia)


def test_a_snooze_that_ends_with_a_full_agent_stays_theirs_and_is_flagged(
    ana: Membership, make_conversation: Make
) -> None:
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    asleep = make_conversation("human_handoff", agent=ana)
    resting.snooze(asleep.pk, agent=ana, until=timezone.now() + timedelta(hours=1))
    make_conversation("human_handoff", agent=ana)
    after("snooze")
    woken = Conversation.objects.get(pk=asleep.pk)
    assert (woken.snoozed_until, woken.extra_data["over_capacity"]) == (None, True)


def test_only_the_owner_or_a_supervisor_resumes(
    ana: Membership, bia: Membership, sofia: Membership, make_conversation: Make
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    resting.hold(conversation.pk, agent=ana)
    with pytest.raises(resting.NotYours):
        resting.resume(conversation.pk, actor=bia)
    resting.resume(conversation.pk, actor=sofia)
    assert Conversation.objects.get().held_at is None
    with pytest.raises(handoff.Conflict):
        resting.resume(conversation.pk, actor=ana)


# ---------------------------------------------------------------- the record
def test_the_record_of_a_gift_shows_every_candidate(
    ana: Membership, bia: Membership, turns: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.filter(member=bia).update(presence="offline")
    conversation = make_conversation("queued", queue=turns)
    router.drain()
    decision = RoutingDecision.objects.get(conversation=conversation)
    by_name = {one["agent"]["name"]: one for one in decision.candidates}
    assert (decision.mode, decision.chosen, decision.queue) == ("round_robin", ana, turns)
    assert by_name["Ana"]["keys"]
    assert [v["filter"] for v in by_name["Bia"]["verdicts"] if not v["ok"]] == ["presence"]


def test_waiting_for_nobody_is_put_on_record_once_per_picture(
    ana: Membership, turns: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.update(presence="offline")
    make_conversation("queued", queue=turns)
    for _n in range(3):
        router.sweep()
    assert RoutingDecision.objects.filter(chosen=None).count() == 1
    AgentProfile.objects.update(presence="online", capacity=0)
    router.sweep()
    assert RoutingDecision.objects.filter(chosen=None).count() == 2


def test_skills_route_to_who_has_them(
    ana: Membership, bia: Membership, make_queue: Make, make_conversation: Make, acme: Organization
) -> None:
    skill = Skill.objects.create(organization=acme, name="English", slug="english")
    AgentSkill.objects.create(organization=acme, agent=bia.agent, skill=skill, level=4)
    queue = make_queue(
        "en", routing_mode="skills_based", auto_assign_conversations=True,
        settings={"skills_required": ["english"], "skill_levels": {"english": 3}},
    )  # fmt: skip
    make_conversation("queued", queue=queue)
    router.drain()
    assert owners() == ["Bia"]


def test_each_stay_in_a_queue_is_kept(
    ana: Membership, turns: Queue, support: Queue, make_conversation: Make
) -> None:
    AgentProfile.objects.update(presence="offline")
    make_conversation("queued", queue=support)
    conversation = make_conversation("queued", queue=support)
    handoff.transfer(conversation.pk, actor=None, queue_id=turns.pk)
    AgentProfile.objects.update(presence="online")
    router.sweep()
    stays = list(Stay.objects.filter(conversation=conversation).order_by("entered_at"))
    assert [(s.queue_id, s.ahead, s.left_by) for s in stays] == [
        (support.pk, 1, "requeue"), (turns.pk, 0, "claim"),
    ]  # fmt: skip
    assert all(s.left_at >= s.entered_at for s in stays)


def test_the_router_never_looks_at_another_desk(
    ana: Membership, turns: Queue, make_conversation: Make, rival_agent: Membership
) -> None:
    AgentProfile.objects.update(presence="offline")
    conversation = make_conversation("queued", queue=turns)
    assert router.sweep() == 0
    decision = RoutingDecision.objects.get(conversation=conversation)
    assert [one["agent"]["name"] for one in decision.candidates] == ["Ana"]


def test_a_thousand_behind_a_full_team_cost_a_bounded_number_of_queries(
    ana: Membership, turns: Queue, make_conversation: Make, django_assert_max_num_queries: Any
) -> None:
    AgentProfile.objects.update(presence="offline")
    for _n in range(12):
        make_conversation("queued", queue=turns)
    router.sweep()
    with django_assert_max_num_queries(16):
        router.sweep()


def test_nobody_is_left_over_when_there_is_room(
    acme: Organization, turns: Queue, make_conversation: Make
) -> None:
    for n in range(5):
        new_member(acme, f"agent{n}", "agent", capacity=3)
    for _n in range(17):
        make_conversation("queued", queue=turns)
    assert router.drain() == 15
    counts = [
        Conversation.objects.filter(assigned_agent=a.member).count() for a in AgentProfile.objects.all()
    ]
    assert counts == [3] * 5
