"""Queues, their figures and pulling from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Membership
from conversations import handoff
from conversations.models import Conversation
from queues.models import Department, Queue
from queues.services import percentage
from tests.api.caller import Calls

SHAPE = {
    "id", "name", "slug", "department", "is_active", "priority", "max_queue_size", "overflow_queue",
    "max_conversations_per_agent", "routing_mode", "auto_assign_conversations", "sla_minutes", "calendar",
    "settings", "queued_conversations", "average_wait_time_seconds", "customer_satisfaction_score",
    "handoff_notice", "agent_idle_minutes", "agent_idle_action", "wait_limit_minutes", "revision",
    "created_at",
}  # fmt: skip
Make = Callable[..., Conversation]


@pytest.mark.parametrize(
    "part, whole, rate",
    [(5, 350, 1.4), (3, 350, 0.9), (0, 9, 0.0), (1, 0, 0.0), (1, 800, 0.1), (9, 9, 100.0)],
)
def test_rates_are_percent_with_one_decimal(part: int, whole: int, rate: float) -> None:
    assert percentage(part, whole) == rate


def test_a_queue_is_made_in_full(
    sofia: Membership, ana: Membership, support: Queue, department: Department, by: Calls
) -> None:
    given = {
        "name": "VIP", "slug": "vip", "is_active": True, "priority": 80, "max_queue_size": 50,
        "max_conversations_per_agent": 3, "routing_mode": "skills_based", "auto_assign_conversations": True,
        "sla_minutes": 15, "settings": {"allowed_agent_ids": [str(ana.pk)], "skills_required": []},
    }  # fmt: skip
    made = by(sofia).post(
        "queues",
        {**given, "department": str(department.pk), "overflow_queue": str(support.pk), "calendar": None},
    )

    assert made.status_code == 201
    body = made.json()
    assert set(body) == SHAPE
    assert {name: body[name] for name in given} == given
    assert body["department"] == {"id": str(department.pk), "name": "Suporte"}
    assert body["overflow_queue"] == {"id": str(support.pk), "name": "Suporte"}
    assert (body["queued_conversations"], body["average_wait_time_seconds"]) == (0, None)
    assert made["ETag"] == '"1"'


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"priority": 101}, "priority"),
        ({"priority": -1}, "priority"),
        ({"max_queue_size": 0}, "max_queue_size"),
        ({"routing_mode": "magic"}, "routing_mode"),
        ({"settings": {"skills_required": ["unknown"]}}, "settings"),
        ({"settings": {"allowed_agent_ids": ["01932c3b-0000-7000-8000-000000000000"]}}, "settings"),
        ({"department": "01932c3b-0000-7000-8000-000000000000"}, "department"),
        ({"department": "x"}, "department"),
        ({"name": ""}, "name"),
        ({"slug": "suporte"}, "slug"),
        ({"sla_minutes": 10**12}, "sla_minutes"),
    ],
)
def test_a_wrong_field_is_named(
    sofia: Membership, support: Queue, department: Department, by: Calls, wrong: Any, field: str
) -> None:
    answer = by(sofia).post("queues", {"name": "VIP", "department": str(department.pk), **wrong})

    assert answer.status_code == 400, answer.content
    assert field in {name.partition(".")[0] for name in answer.json()["errors"]}


def test_overflow_may_not_run_in_a_circle(
    sofia: Membership, make_queue: Callable[..., Queue], by: Calls
) -> None:
    one = make_queue("one")
    two = make_queue("two", overflow_queue=one)

    answer = by(sofia).patch(f"queues/{one.pk}", {"overflow_queue": str(two.pk)}, If_Match="*")

    assert answer.json()["errors"].keys() == {"overflow_queue"}


def test_a_change_saves_its_own_fields_and_is_on_record(sofia: Membership, support: Queue, by: Calls) -> None:
    by(sofia).patch(f"queues/{support.pk}", {"sla_minutes": 5}, If_Match='"1"')

    queue = Queue.objects.get(pk=support.pk)
    assert (queue.sla_minutes, queue.revision) == (5, 2)
    entry = AuditEntry.objects.get(action="queue.updated")
    assert (entry.object_id, entry.data) == (str(support.pk), {"fields": ["sla_minutes"]})


def test_nobody_sets_what_is_read_only(sofia: Membership, support: Queue, by: Calls) -> None:
    by(sofia).patch(
        f"queues/{support.pk}", {"revision": 99, "id": str(sofia.pk), "organization": "x"}, If_Match="*"
    )

    assert Queue.objects.get().revision == 2


def test_a_list_counts_who_waits_in_constant_queries(
    sofia: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls,
    django_assert_max_num_queries: Any,
) -> None:  # fmt: skip
    queues = [make_queue(f"q{number}") for number in range(5)]
    for _ in range(3):
        make_conversation("queued", queue=queues[0])
    caller = by(sofia)

    with django_assert_max_num_queries(5):
        rows = caller.get("queues").json()["results"]

    assert [row["queued_conversations"] for row in rows] == [0, 0, 0, 0, 3]


def test_queues_are_filtered_by_department(sofia: Membership, support: Queue, by: Calls) -> None:
    assert len(by(sofia).get(f"queues?department={support.department_id}").json()["results"]) == 1
    assert by(sofia).get(f"queues?department={support.pk}").json()["results"] == []


# ---------------------------------------------------------------- metrics
def test_the_figures_of_a_queue(
    sofia: Membership, ana: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    spill = make_queue("spill")
    queue = make_queue("vip", sla_minutes=5, max_queue_size=2, overflow_queue=spill)
    waiting = make_conversation("queued", queue=queue)
    with_ana = make_conversation("queued", queue=queue)
    make_conversation("queued", queue=queue)  # goes on to the other queue
    handoff.claim(with_ana.pk, agent_id=ana.pk)
    long_ago = timezone.now() - timedelta(minutes=6)
    rows = Conversation.objects
    rows.filter(pk=waiting.pk).update(queued_at=long_ago)
    rows.filter(pk=with_ana.pk).update(
        waited_seconds=450, assigned_at=long_ago, first_response_at=long_ago + timedelta(seconds=120)
    )
    old = make_conversation("queued", queue=queue)
    handoff.close(old.pk, actor=None)
    rows.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))

    assert by(sofia).get(f"queues/{queue.pk}/metrics").json() == {
        "queue_id": str(queue.pk),
        "queue_name": "Vip",
        "total_conversations_30d": 2,
        "queued_conversations": 1,
        "active_conversations": 1,
        "average_wait_time_seconds": 450,
        "average_response_time_seconds": 120,
        "average_resolution_time_seconds": None,
        "sla_violations": 2,
        "sla_violation_rate": 100.0,
        "overflow_events": 1,
        "overflow_rate": 50.0,
        "customer_satisfaction_score": None,
    }


def test_the_time_to_the_end_is_counted(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support)
    handoff.close(conversation.pk, actor=None)
    closed_at = Conversation.objects.get().closed_at
    Conversation.objects.update(created_at=closed_at - timedelta(seconds=1800))

    assert by(sofia).get(f"queues/{support.pk}/metrics").json()["average_resolution_time_seconds"] == 1800


def test_the_figures_of_an_empty_queue(sofia: Membership, support: Queue, by: Calls) -> None:
    figures = by(sofia).get(f"queues/{support.pk}/metrics").json()

    assert (figures["sla_violation_rate"], figures["average_wait_time_seconds"]) == (0.0, None)


# ---------------------------------------------------------------- pull
def test_pull_gives_the_first_in_line(
    ana: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    make_conversation("queued", queue=support)
    urgent = make_conversation("queued", queue=support, priority=100)

    answer = by(ana).post("queue/pull", {"queue_id": str(support.pk)})

    assert answer.status_code == 200
    assert answer.json()["id"] == str(urgent.pk)
    assert answer.json()["assigned_agent"] == {"id": str(ana.pk), "name": "Ana"}


def test_an_empty_pull_says_why(ana: Membership, support: Queue, by: Calls) -> None:
    answer = by(ana).post("queue/pull")

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["X-Pull-Reason"].isascii()
    assert len(answer["X-Pull-Reason"]) > 5


def test_pulling_from_a_queue_that_is_not_there(ana: Membership, by: Calls) -> None:
    assert by(ana).post("queue/pull", {"queue_id": str(ana.pk)}).status_code == 404
