"""Router, people and clock at once: limits exact, one owner, two sweeps move a thing once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_fsm import TransitionNotAllowed

from accounts.models import Organization
from conversations import capacity, handoff, resting, router
from conversations.models import Conversation, Offer, RoutingDecision, State, Stay
from queues.models import AgentProfile, Queue, RoutingCall
from tests.conftest import another_session, new_member

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]
Make = Callable[..., Any]
CROWD = 32


def team(acme: Organization, size: int, capacity: int) -> list[Any]:
    return [new_member(acme, f"agent{n}", "agent", capacity=capacity) for n in range(size)]


def auto(make_queue: Make, **fields: Any) -> Queue:
    return make_queue("auto", routing_mode="load_balance", auto_assign_conversations=True, **fields)


def errors(results: list[Any]) -> list[Exception]:
    expected = (handoff.Conflict, handoff.Full, TransitionNotAllowed)
    return [r for r in results if isinstance(r, Exception) and not isinstance(r, expected)]


def test_many_sweeps_at_once_give_each_conversation_once(
    race: Race, make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    team(acme, 4, capacity=3)
    queue = auto(make_queue)
    for _n in range(20):
        make_conversation("queued", queue=queue)
    given = race(8, lambda n: router.sweep())
    assert not errors(given)
    assert sum(given) == 12
    assert Conversation.objects.filter(state=State.HUMAN_HANDOFF).count() == 12
    assert RoutingDecision.objects.filter(chosen__isnull=False).count() == 12
    assert [capacity.open_load(a.member_id) for a in AgentProfile.objects.all()] == [3] * 4


def test_a_router_leaves_the_calls_to_the_one_that_is_at_work(
    make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    team(acme, 1, capacity=3)
    make_conversation("queued", queue=auto(make_queue))
    with another_session() as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"router {acme.pk}"])
        assert (router.drain(), router.sweep()) == (0, 0)
        assert RoutingCall.objects.filter(reason="queued").exists()
    assert router.drain() == 1
    assert not RoutingCall.objects.exists()


def test_round_robin_stays_fair_while_routers_race(
    race: Race, make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    team(acme, 5, capacity=50)
    queue = make_queue("turns", routing_mode="round_robin", auto_assign_conversations=True)
    for _n in range(23):
        make_conversation("queued", queue=queue)
    race(6, lambda n: router.sweep())
    counts = Counter(Conversation.objects.values_list("assigned_agent_id", flat=True))
    assert sorted(counts.values()) == [4, 4, 5, 5, 5]


def test_router_pulls_claims_transfers_closes_and_presence_at_once(
    race: Race, make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    """32 threads of everything: capacity per agent and per queue holds, everybody has one owner."""
    people = team(acme, 4, capacity=3)
    queue, other = auto(make_queue, max_conversations_per_agent=2), make_queue("other")
    waiting = [make_conversation("queued", queue=queue).pk for _n in range(10)]
    waiting += [make_conversation("queued", queue=other).pk for _n in range(6)]

    def act(n: int) -> Any:
        person, pk = people[n % 4], waiting[n % len(waiting)]
        match n % 8:
            case 0 | 1:
                return router.sweep()
            case 2:
                return handoff.pull_from_queue(person.pk)
            case 3:
                return handoff.claim(pk, agent_id=person.pk)
            case 4:
                return handoff.transfer(pk, actor=None, queue_id=other.pk)
            case 5:
                return handoff.close(pk, actor=None)
            case 6:
                return handoff.assign_agent(pk, person.pk)
            case _:
                presence = "online" if n % 16 == 7 else "away"
                return AgentProfile.objects.filter(member=person).update(presence=presence)

    for _round in range(3):
        assert not errors(race(CROWD, act))
    for person in people:
        taken = capacity.load_by_queue([person.pk]).get(person.pk, {})
        assert sum(taken.values()) <= 3
        assert taken.get(queue.pk, 0) <= 2
    assert Stay.objects.filter(left_at=None).count() == Conversation.objects.filter(state="queued").count()


def test_an_offer_is_answered_once_whoever_answers(
    race: Race, make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    people = team(acme, 3, capacity=1)
    queue = auto(make_queue, offer_seconds=30)
    conversation = make_conversation("queued", queue=queue)
    router.sweep()
    asked = Offer.objects.get().agent
    Offer.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    def act(n: int) -> Any:
        match n % 4:
            case 0:
                return handoff.claim(conversation.pk, agent_id=asked.pk)
            case 1:
                return router.decline(conversation.pk, agent=asked)
            case 2:
                return router.expire_offer(conversation.pk)
            case _:
                return router.sweep()

    assert not errors(race(CROWD, act))
    first = Offer.objects.earliest("offered_at")
    assert first.outcome in ("accepted", "declined", "timed_out")
    assert Offer.objects.filter(outcome="").count() <= 1
    assert all(capacity.open_load(p.pk) <= 1 for p in people)


def test_waking_and_assigning_at_once_never_passes_capacity_unflagged(
    race: Race, make_conversation: Make, make_queue: Make, acme: Organization
) -> None:
    (person,) = team(acme, 1, capacity=2)
    queue = auto(make_queue)
    resting_ones = [make_conversation("human_handoff", agent=person).pk for _n in range(2)]
    for pk in resting_ones:
        resting.hold(pk, agent=person)
    for _n in range(4):
        make_conversation("queued", queue=queue)

    def act(n: int) -> Any:
        return resting.resume(resting_ones[n // 4 % 2]) if n % 4 == 0 else router.sweep()

    assert not errors(race(16, act))
    unflagged = Conversation.objects.filter(assigned_agent=person).exclude(extra_data__over_capacity=True)
    assert unflagged.count() <= 2
    assert not Conversation.objects.filter(held_at__isnull=False).exists()
