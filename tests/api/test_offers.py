"""Offers by the API, and who may say "above capacity"."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Membership
from conversations import resting, router
from conversations.models import Conversation, Offer
from queues.models import AgentProfile, Queue
from tests.api.caller import Calls

pytestmark = pytest.mark.django_db
Make = Callable[..., Any]


@pytest.fixture
def offers(make_queue: Make) -> Queue:
    asks = {"routing_mode": "round_robin", "auto_assign_conversations": True, "offer_seconds": 300}
    return make_queue("plantao", **asks)


@pytest.fixture
def offered(ana: Membership, offers: Queue, make_conversation: Make) -> Conversation:
    conversation = make_conversation("queued", queue=offers, priority=80)
    router.drain()
    return conversation


# ---------------------------------------------------------------- what is on offer
def test_the_offers_of_the_caller(ana: Membership, offered: Conversation, offers: Queue, by: Calls) -> None:
    (offer,) = by(ana).get("me/offers").json()
    row = Offer.objects.get()

    assert set(offer) == {"conversation", "queue", "priority", "offered_at", "expires_at"}
    assert offer["conversation"] == {"id": str(offered.pk), "name": "Mariana"}
    assert offer["queue"] == {"id": str(offers.pk), "name": "Plantao"}
    assert offer["priority"] == "high"
    assert timezone.datetime.fromisoformat(offer["expires_at"]) == row.expires_at


def test_nobody_sees_a_colleagues_offers_and_none_whose_time_is_up(
    ana: Membership, offered: Conversation, bia: Membership, sofia: Membership, by: Calls
) -> None:
    assert [by(who).get("me/offers").json() for who in (bia, sofia)] == [[], []]
    Offer.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert by(ana).get("me/offers").json() == []


def test_a_viewer_is_offered_nothing(vic: Membership, by: Calls) -> None:
    assert by(vic).get("me/offers").status_code == 403


def test_claiming_accepts(ana: Membership, offered: Conversation, by: Calls) -> None:
    answer = by(ana).post(f"conversations/{offered.pk}/claim").json()

    assert (answer["assigned_agent"]["name"], answer["offer"]) == ("Ana", None)
    assert Offer.objects.get().outcome == Offer.Outcome.ACCEPTED


def test_declining_leaves_it_to_the_next_one_and_only_once(
    ana: Membership, offered: Conversation, bia: Membership, by: Calls
) -> None:
    assert by(ana).post(f"conversations/{offered.pk}/decline").json()["offer"] is None
    router.drain()
    again = by(ana).post(f"conversations/{offered.pk}/decline")

    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert Offer.objects.get(outcome="").agent == bia


# ---------------------------------------------------------------- the shape
def test_a_conversation_says_to_whom_it_is_offered(
    ana: Membership, sofia: Membership, offered: Conversation, by: Calls
) -> None:
    asked, shown = Offer.objects.get(), by(sofia).get(f"conversations/{offered.pk}").json()["offer"]

    assert shown["agent"] == {"id": str(asked.agent_id), "name": asked.agent.name}
    assert timezone.datetime.fromisoformat(shown["expires_at"]) == asked.expires_at


def test_only_the_open_one_of_many_offers_is_shown_and_the_conversation_once(
    ana: Membership, bia: Membership, offered: Conversation, by: Calls
) -> None:
    by(ana).post(f"conversations/{offered.pk}/decline")
    router.drain()
    (listed,) = by(ana).get("conversations?state=queued").json()["results"]

    assert Offer.objects.count() == 2
    assert listed["offer"]["agent"]["name"] == "Bia"


def test_a_list_costs_the_same_with_offers(
    ana: Membership, sofia: Membership, offers: Queue, make_conversation: Make, by: Calls
) -> None:
    AgentProfile.objects.exclude(member=ana).update(presence="offline")
    for _n in range(4):
        make_conversation("queued", queue=offers)
    caller, costs = by(sofia), []
    for _round in range(2):
        with CaptureQueriesContext(connection) as asked:
            rows = caller.get("conversations").json()["results"]
        costs.append(len(asked))
        router.drain()
    assert [row["offer"]["agent"]["name"] for row in rows] == ["Ana"] * 4
    assert costs[1] <= costs[0]


def test_hold_and_resume_show_since_when(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    caller, path = by(ana), f"conversations/{conversation.pk}"
    assert caller.get(path).json()["held_at"] is None

    held = caller.post(f"{path}/hold").json()["held_at"]
    assert timezone.datetime.fromisoformat(held) == Conversation.objects.get().held_at
    assert caller.post(f"{path}/hold").status_code == 409
    assert caller.post(f"{path}/resume").json()["held_at"] is None
    assert caller.post(f"{path}/resume").status_code == 409


def test_only_the_owner_rests_it_and_a_supervisor_wakes_it(
    ana: Membership, sofia: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    path = f"conversations/{conversation.pk}"
    assert by(sofia).post(f"{path}/hold").json()["code"] == "not_yours"
    resting.hold(conversation.pk, agent=ana)
    assert by(sofia).post(f"{path}/resume").status_code == 200


# ---------------------------------------------------------------- above capacity
@pytest.fixture
def full(ana: Membership, make_conversation: Make) -> Membership:
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    make_conversation("human_handoff", agent=ana)
    return ana


def test_a_transfer_above_capacity_needs_to_be_said(
    full: Membership, bia: Membership, sofia: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=bia)
    caller, path, to = by(sofia), f"conversations/{conversation.pk}/transfer", {"agent_id": str(full.pk)}

    assert caller.post(path, to).json()["code"] == "capacity"
    given = caller.post(path, {**to, "over_capacity": True}).json()
    assert given["assigned_agent"]["name"] == "Ana"
    assert given["extra_data"]["over_capacity"] is True
    assert conversation.events.get(type="over_capacity").actor == sofia


def test_an_agent_may_not_say_it(
    full: Membership, bia: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=bia)
    path, to = f"conversations/{conversation.pk}/transfer", {"agent_id": str(full.pk)}

    assert by(bia).post(path, to).status_code == 409
    assert by(bia).post(path, {**to, "over_capacity": True}).status_code == 403
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == bia


def test_a_full_supervisor_takes_over_when_they_say_so(
    ana: Membership, sofia: Membership, make_conversation: Make, by: Calls
) -> None:
    AgentProfile.objects.filter(member=sofia).update(capacity=0)
    path = f"conversations/{make_conversation('human_handoff', agent=ana).pk}/take-over"

    assert by(sofia).post(path).json()["code"] == "capacity"
    assert by(sofia).post(path, {"over_capacity": True}).json()["assigned_agent"]["name"] == "Sofia"
    assert by(ana).post(path, {"over_capacity": True}).status_code == 403
