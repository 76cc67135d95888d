"""Overflow rules and closed queues by the API."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from conversations.models import Conversation
from queues.models import Calendar, OverflowRule, Queue, RoutingCall
from tests.api.caller import Calls

MakeQueue = Callable[..., Queue]


def test_rules_are_written_as_a_list_and_read_in_its_order(
    sofia: Membership, make_queue: MakeQueue, by: Calls
) -> None:
    a, b, c = make_queue("a"), make_queue("b"), make_queue("c")
    rules = [
        {"condition": "waited", "after_minutes": 10, "target": str(c.pk)},
        {"condition": "full", "target": str(b.pk)},
    ]
    answer = by(sofia).patch(f"queues/{a.pk}", {"overflow_rules": rules}, If_Match='"1"')
    assert answer.status_code == 200, answer.content
    assert answer.json()["overflow_rules"] == [
        {"condition": "waited", "after_minutes": 10, "target": {"id": str(c.pk), "name": "C"}},
        {"condition": "full", "after_minutes": None, "target": {"id": str(b.pk), "name": "B"}},
    ]
    assert answer["ETag"] == '"2"'
    by(sofia).patch(f"queues/{a.pk}", {"overflow_rules": rules[1:]}, If_Match='"2"')
    assert [r.condition for r in OverflowRule.objects.all()] == ["full"]
    by(sofia).patch(f"queues/{a.pk}", {"priority": 3}, If_Match="*")
    assert OverflowRule.objects.count() == 1


def test_a_new_queue_comes_with_its_rules(sofia: Membership, support: Queue, by: Calls) -> None:
    body = {
        "name": "VIP", "department": str(support.department_id), "closed_action": "refuse",
        "overflow_rules": [{"condition": "nobody", "target": str(support.pk)}],
    }  # fmt: skip
    made = by(sofia).post("queues", body).json()
    assert (made["closed_action"], made["overflow_rules"][0]["condition"]) == ("refuse", "nobody")


@pytest.mark.parametrize(
    "rule, said",
    [
        ({"condition": "waited"}, "minutes"),
        ({"condition": "full", "after_minutes": 3}, "minutes"),
        ({"condition": "sometimes"}, "sometimes"),
        ({"condition": "waited", "after_minutes": 0}, "1"),
        ({"condition": "waited", "after_minutes": 10**9}, "525600"),
    ],
)
def test_a_wrong_rule_is_refused(
    sofia: Membership, make_queue: MakeQueue, by: Calls, rule: dict[str, Any], said: str
) -> None:
    a, b = make_queue("a"), make_queue("b")
    answer = by(sofia).patch(
        f"queues/{a.pk}", {"overflow_rules": [{"target": str(b.pk), **rule}]}, If_Match="*",
        Accept_Language="en",
    )  # fmt: skip
    assert answer.status_code == 400, answer.content
    assert said in answer.content.decode()
    assert not OverflowRule.objects.exists()


def test_a_circle_is_refused_by_name(sofia: Membership, make_queue: MakeQueue, by: Calls) -> None:
    a = make_queue("a")
    b = make_queue("b", overflow_queue=a)
    rules = {"overflow_rules": [{"condition": "closed", "target": str(b.pk)}]}
    answer = by(sofia).patch(f"queues/{a.pk}", rules, If_Match="*")
    assert answer.status_code == 400
    assert "A → B → A" in answer.json()["errors"]["overflow_rules"][0]
    itself = {"overflow_rules": [{"condition": "full", "target": str(a.pk)}]}
    assert by(sofia).patch(f"queues/{a.pk}", itself, If_Match="*").status_code == 400


def test_an_unknown_placeholder_is_refused(sofia: Membership, support: Queue, by: Calls) -> None:
    answer = by(sofia).patch(f"queues/{support.pk}", {"handoff_notice": "Oi {nome}"}, If_Match="*")
    assert "{nome}" in answer.json()["errors"]["handoff_notice"][0]


def test_a_change_calls_the_router(sofia: Membership, support: Queue, by: Calls) -> None:
    RoutingCall.objects.all().delete()
    by(sofia).patch(f"queues/{support.pk}", {"max_conversations_per_agent": 9}, If_Match="*")
    assert RoutingCall.objects.exists()


@pytest.mark.parametrize("move", ["request-handoff", "transfer"])
def test_a_refusing_closed_queue_answers_409_with_when_it_opens(
    acme: Organization, sofia: Membership, make_queue: MakeQueue, by: Calls, move: str,
    make_conversation: Callable[..., Conversation],
) -> None:  # fmt: skip
    tomorrow = timezone.now().date() + timedelta(days=1)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[tomorrow.weekday()]
    week = [{"weekday": day, "start": "09:00", "end": "10:00"}]
    calendar = Calendar.objects.create(organization=acme, name="C", timezone="UTC", intervals=week)
    queue = make_queue("a", calendar=calendar, closed_action="refuse")
    conversation = (
        make_conversation("human_handoff", agent=sofia) if move == "transfer" else make_conversation()
    )
    answer = by(sofia).post(f"conversations/{conversation.pk}/{move}", {"queue_id": str(queue.pk)})
    assert (answer.status_code, answer.json()["code"]) == (409, "closed")
    assert answer.json()["next_open"].startswith(f"{tomorrow.isoformat()}T09:00")
    assert Conversation.objects.get(pk=conversation.pk).state == conversation.state
