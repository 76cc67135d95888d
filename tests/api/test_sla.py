"""SLA policies, promises of a conversation, its priority and the desk's settings by the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Membership
from conversations import clockwork
from conversations.models import Conversation, Deadline
from queues.models import Queue, SlaEscalation, SlaPolicy
from tests.api.caller import Calls

pytestmark = pytest.mark.django_db
Make = Callable[..., Conversation]


@pytest.fixture
def given(support: Queue) -> dict[str, Any]:
    return {
        "name": "Gold",
        "wait_minutes": 10,
        "first_response_minutes": 15,
        "escalations": [
            {"target": "first_response", "stage": "warning", "act": "raise_priority", "priority": "high"},
            {"act": "move", "queue": str(support.pk)},
        ],
    }


def test_a_policy_with_its_steps_is_one_object(
    sofia: Membership, by: Calls, given: Any, support: Queue
) -> None:
    made = by(sofia).post("sla-policies", given)
    assert made.status_code == 201, made.content
    policy = made.json()
    assert (policy["clock"], policy["warn_percent"], policy["resolution_minutes"]) == ("business", 80, None)
    assert policy["escalations"] == [
        {"target": "first_response", "stage": "warning", "act": "raise_priority", "priority": "high",
         "queue": None},
        {"target": None, "stage": "breach", "act": "move", "priority": None,
         "queue": {"id": str(support.pk), "name": "Suporte"}},
    ]  # fmt: skip
    assert by(sofia).get(f"sla-policies/{policy['id']}").json() == policy


def test_steps_are_replaced_when_given_and_kept_when_not(sofia: Membership, by: Calls, given: Any) -> None:
    pk = by(sofia).post("sla-policies", given).json()["id"]
    by(sofia).patch(f"sla-policies/{pk}", {"wait_minutes": 20}, If_Match='"1"')
    assert SlaEscalation.objects.count() == 2
    steps = {"escalations": [{"act": "notify"}]}
    assert by(sofia).patch(f"sla-policies/{pk}", steps, If_Match='"1"').status_code == 412
    changed = by(sofia).patch(f"sla-policies/{pk}", steps, If_Match='"2"').json()
    assert ([step["act"] for step in changed["escalations"]], changed["wait_minutes"]) == (["notify"], 20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"wait_minutes": None, "first_response_minutes": None}, ""),
        ({"wait_minutes": 0}, "wait_minutes"),
        ({"wait_minutes": 10**7}, ""),
        ({"warn_percent": 100}, "warn_percent"),
        ({"escalations": [{"act": "raise_priority"}]}, "escalations"),
        ({"escalations": [{"act": "move"}]}, "escalations"),
        ({"escalations": [{"act": "shout"}]}, "escalations"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(
    sofia: Membership, by: Calls, given: Any, change: Any, field: str
) -> None:
    refused = by(sofia).post("sla-policies", {**given, **change})
    assert (refused.status_code, SlaPolicy.objects.count()) == (400, 0)
    assert field in str(refused.json()["errors"])


def test_a_policy_in_use_is_not_deleted(sofia: Membership, by: Calls, given: Any, support: Queue) -> None:
    pk = by(sofia).post("sla-policies", given).json()["id"]
    Queue.objects.update(sla_policy=pk)
    assert by(sofia).delete(f"sla-policies/{pk}", If_Match="*").status_code == 409
    Queue.objects.update(sla_policy=None)
    assert by(sofia).delete(f"sla-policies/{pk}", If_Match="*").status_code == 204


def test_a_conversation_says_what_was_promised(
    sofia: Membership, by: Calls, given: Any, make_queue: Callable[..., Queue], make_conversation: Make
) -> None:
    pk = by(sofia).post("sla-policies", {**given, "clock": "calendar", "escalations": []}).json()["id"]
    conversation = make_conversation("queued", queue=make_queue("gold", sla_policy_id=pk))
    for _warning_then_breach in range(2):
        Deadline.objects.filter(kind="sla_wait").update(due_at=timezone.now() - timedelta(minutes=1))
        clockwork.drain_deadlines()
    seen = by(sofia).get(f"conversations/{conversation.pk}").json()
    assert [(one["target"], one["state"]) for one in seen["sla"]] == [
        ("wait", "breached"), ("first_response", "running"),
    ]  # fmt: skip
    assert seen["waiting_since"]
    assert seen["sla_breached_at"]


def test_a_page_of_promises_takes_no_query_more(
    sofia: Membership, by: Calls, make_queue: Callable[..., Queue], make_conversation: Make,
    django_assert_max_num_queries: Any,
) -> None:  # fmt: skip
    queue, caller = make_queue("curta", sla_minutes=10), by(sofia)
    for _ in range(12):
        make_conversation("queued", queue=queue)
    with django_assert_max_num_queries(6):
        found = caller.get("conversations").json()["results"]
    assert [len(one["sla"]) for one in found] == [1] * 12


def test_a_supervisor_sets_the_priority_an_agent_does_not(
    sofia: Membership, ana: Membership, by: Calls, support: Queue, make_conversation: Make
) -> None:
    conversation = make_conversation("queued", queue=support)
    path = f"conversations/{conversation.pk}/priority"
    assert by(ana).post(path, {"priority": "urgent"}).status_code == 403
    assert by(sofia).post(path, {"priority": "urgent"}).json()["queue_priority"] == 100
    assert by(sofia).post(path, {"priority": "soon"}).status_code == 400
    assert (
        by(sofia).post(f"conversations/{make_conversation().pk}/priority", {"priority": "low"}).status_code
        == 409
    )


def test_desk_settings_are_defaults_until_somebody_sets_them(sofia: Membership, by: Calls) -> None:
    assert by(sofia).get("desk-settings").json() == {
        "gone_after_minutes": 2, "away_after_minutes": 15, "return_after_minutes": 10,
        "bot_silence_minutes": 1440, "bot_expired_notice": "",
    }  # fmt: skip
    for minutes in (30, 45):
        answer = by(sofia).patch("desk-settings", {"bot_silence_minutes": minutes})
        assert (answer.status_code, answer.json()["bot_silence_minutes"]) == (200, minutes)
    assert by(sofia).patch("desk-settings", {"away_after_minutes": 0}).status_code == 400
    assert by(sofia).get("desk-settings").json()["bot_silence_minutes"] == 45
    assert AuditEntry.objects.filter(action="desk_settings.updated").count() == 2
