"""Presence and break reasons by the API: exactly the words of the contract, and what they do besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import AuditEntry, Membership
from conversations import handoff, signs
from conversations.models import Conversation
from queues.models import AgentProfile, BreakReason, PresenceSpan
from tests.api.caller import Caller

pytestmark = pytest.mark.django_db
NOWHERE = "01932c3b-0000-7000-8000-000000000000"


@pytest.fixture(autouse=True)
def no_sign_yet() -> None:
    signs._told.clear()


@pytest.fixture
def lunch(acme: Any) -> BreakReason:
    return BreakReason.objects.create(organization=acme, name="Almoço")


@pytest.fixture
def talk(make_conversation: Callable[..., Conversation], support: Any, ana: Membership) -> Conversation:
    conversation = make_conversation("queued", queue=support)
    return handoff.claim(conversation.pk, agent_id=ana.pk)


def profile(member: Membership) -> AgentProfile:
    return AgentProfile.objects.get(member=member)


@pytest.mark.parametrize("by", ["pk", "name"])
def test_a_break_has_a_reason_by_id_or_name(ana, lunch, by) -> None:
    answer = Caller.of(ana).put("me/presence", {"status": "away", "reason": str(getattr(lunch, by))})

    assert answer.json() == {"status": "away", "reason": {"id": str(lunch.pk), "name": "Almoço"}}
    assert profile(ana).break_reason == lunch


@pytest.mark.parametrize(
    "body",
    [
        {"status": "away", "reason": "Siesta"}, {"status": "away", "reason": NOWHERE},
        {"status": "online", "conversations": "queue"}, {"status": "offline", "conversations": "burn"},
        {"status": "offline", "conversations": {"agent_id": NOWHERE}},
        {"status": "offline", "conversations": {"queue_id": "x"}}, {},
    ],
)  # fmt: skip
def test_nonsense_is_refused_and_changes_nothing(ana, lunch, body) -> None:
    assert Caller.of(ana).put("me/presence", body).status_code == 400
    assert profile(ana).presence == "online"


def test_only_a_break_has_a_reason(ana, lunch) -> None:
    assert Caller.of(ana).put("me/presence", {"status": "busy", "reason": "Almoço"}).status_code == 400


def test_who_leaves_says_what_becomes_of_their_conversations(ana, talk) -> None:
    answer = Caller.of(ana).put("me/presence", {"status": "offline", "conversations": "queue"})

    assert answer.json() == {
        "status": "offline",
        "conversations": {"given": [], "queued": [str(talk.pk)], "refused": []},
    }
    assert Conversation.objects.get(pk=talk.pk).state == "queued"


def test_a_colleague_takes_them(ana, bia, talk) -> None:
    body = {"status": "away", "conversations": {"agent_id": str(bia.pk)}}
    answer = Caller.of(ana).put("me/presence", body)

    assert answer.json()["conversations"]["given"] == [str(talk.pk)]
    assert Conversation.objects.get(pk=talk.pk).assigned_agent == bia


def test_without_the_word_they_are_kept(ana, talk) -> None:
    assert Caller.of(ana).put("me/presence", {"status": "offline"}).json() == {"status": "offline"}
    assert Conversation.objects.get(pk=talk.pk).assigned_agent == ana


def test_a_supervisor_sets_anothers_presence_on_record(ana, sofia, talk) -> None:
    body = {"status": "offline", "conversations": "queue"}
    answer = Caller.of(sofia).put(f"members/{ana.pk}/presence", body)

    assert answer.status_code == 200
    assert AuditEntry.objects.get(action="presence.changed").actor == sofia
    assert talk.events.filter(type="requeue").get().actor == sofia


def test_an_agent_does_not_set_anothers(ana, bia) -> None:
    assert Caller.of(ana).put(f"members/{bia.pk}/presence", {"status": "busy"}).status_code == 403


def test_who_is_no_agent_has_no_presence(sofia, vic) -> None:
    assert Caller.of(sofia).put(f"members/{vic.pk}/presence", {"status": "online"}).status_code == 409


def test_any_call_of_the_api_is_a_sign_of_life(ana) -> None:
    Caller.of(ana).get("me")

    assert profile(ana).last_input_at == profile(ana).last_seen_at is not None


def test_a_machines_key_says_nothing_about_its_maker_but_their_presence_does(olivia) -> None:
    made = Caller.of(olivia).post("api-keys", {"name": "x", "scopes": ["queues:read", "conversations:write"]})
    robot = Caller(Authorization=f"Api-Key {made.json()['key']}")
    AgentProfile.objects.filter(member=olivia).update(last_seen_at=None, last_input_at=None)
    signs._told.clear()

    assert robot.get("queues").status_code == 200
    assert profile(olivia).last_seen_at is None
    assert robot.put("me/presence", {"status": "online"}).status_code == 200
    assert profile(olivia).last_input_at is not None


def test_break_reasons_are_kept_by_supervisors_and_read_by_all(ana, sofia) -> None:
    made = Caller.of(sofia).post("break-reasons", {"name": "Pausa"})
    assert made.status_code == 201
    assert Caller.of(ana).post("break-reasons", {"name": "Praia"}).status_code == 403
    assert [row["name"] for row in Caller.of(ana).get("break-reasons").json()["results"]] == ["Pausa"]
    double = Caller.of(sofia).post("break-reasons", {"name": "Pausa"})
    assert (double.status_code, list(double.json()["errors"])) == (400, ["name"])


def test_a_reason_that_is_deleted_leaves_the_breaks(ana, sofia, lunch) -> None:
    Caller.of(ana).put("me/presence", {"status": "away", "reason": "Almoço"})

    assert Caller.of(sofia).delete(f"break-reasons/{lunch.pk}").status_code == 204
    assert (profile(ana).presence, profile(ana).break_reason) == ("away", None)
    assert PresenceSpan.objects.get(ended_at__isnull=True).presence == "away"
