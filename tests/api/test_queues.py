"""Queues, their figures and pulling from them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Membership, Organization
from contacts.models import Contact
from conversations import handoff
from conversations.models import Conversation, Stay
from queues.models import Calendar, Department, Queue
from queues.services import percentage
from tests.api.caller import Calls

SHAPE = {
    "id", "name", "slug", "department", "is_active", "priority", "max_queue_size", "overflow_queue",
    "max_conversations_per_agent", "routing_mode", "auto_assign_conversations", "sla_minutes", "calendar",
    "settings", "queued_conversations", "average_wait_time_seconds", "customer_satisfaction_score",
    "handoff_notice", "agent_idle_minutes", "agent_idle_action", "wait_limit_minutes", "overflow_rules",
    "closed_action", "closed_notice", "abandoned_notice", "offer_seconds", "sticky_minutes", "sla_policy",
    "revision", "created_at",
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

    with django_assert_max_num_queries(7):
        rows = caller.get("queues").json()["results"]

    assert [row["queued_conversations"] for row in rows] == [0, 0, 0, 0, 3]


def test_queues_are_filtered_by_department(sofia: Membership, support: Queue, by: Calls) -> None:
    assert len(by(sofia).get(f"queues?department={support.department_id}").json()["results"]) == 1
    assert by(sofia).get(f"queues?department={support.pk}").json()["results"] == []


# ---------------------------------------------------------------- metrics
def figures_of(queue: Queue, caller: Any) -> dict[str, Any]:
    answer = caller.get(f"queues/{queue.pk}/metrics")
    assert answer.status_code == 200
    return answer.json()


def test_the_figures_of_a_queue(
    sofia: Membership, ana: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    spill = make_queue("spill")
    queue = make_queue("vip", sla_minutes=5, max_queue_size=2, overflow_queue=spill)
    waiting = make_conversation("queued", queue=queue)
    with_ana = make_conversation("queued", queue=queue)
    make_conversation("queued", queue=queue)  # goes on to the other queue
    handoff.claim(with_ana.pk, agent_id=ana.pk)
    now = timezone.now()
    long_ago = now - timedelta(minutes=6)
    Stay.objects.filter(conversation=waiting).update(entered_at=long_ago)
    Stay.objects.filter(conversation=with_ana).update(entered_at=now - timedelta(seconds=450), left_at=now)
    Conversation.objects.filter(pk=with_ana.pk).update(
        assigned_at=long_ago, first_response_at=long_ago + timedelta(seconds=120)
    )
    old = make_conversation("queued", queue=queue)
    handoff.close(old.pk, actor=None)
    month_ago = now - timedelta(days=31)
    Conversation.objects.filter(pk=old.pk).update(created_at=month_ago)
    Stay.objects.filter(conversation=old).update(entered_at=month_ago)

    assert figures_of(queue, by(sofia)) == {
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


def many_stays(queue: Queue, like: Conversation, n: int) -> list[Conversation]:
    """Conversations that waited a minute in a queue: written as rows, for there are hundreds."""
    now = timezone.now()
    contacts = Contact.objects.bulk_create(
        Contact(organization_id=queue.organization_id, name=f"C{i}") for i in range(n)
    )
    rows = Conversation.objects.bulk_create(
        Conversation(organization_id=queue.organization_id, contact=contact, channel_id=like.channel_id)
        for contact in contacts
    )
    Stay.objects.bulk_create(
        Stay(
            organization_id=queue.organization_id, conversation=row, queue=queue, entered_at=now,
            left_at=now + timedelta(minutes=1), left_by="claim",
        )
        for row in rows
    )  # fmt: skip
    return rows


def test_the_golden_figures(sofia: Membership, make_queue: Callable[..., Queue], make_conversation: Make,
                            by: Calls) -> None:  # fmt: skip
    queue, other = make_queue("vip", sla_minutes=15), make_queue("other")
    rows = many_stays(queue, make_conversation(), 350)
    for row in rows[:5]:
        row.stays.update(left_at=row.stays.get().entered_at + timedelta(minutes=16))
    went_on = {"overflow_history": [{"original_queue_id": str(queue.pk), "overflow_queue_id": str(other.pk)}]}
    Conversation.objects.filter(pk__in=[row.pk for row in rows[10:13]]).update(extra_data=went_on)

    figures = figures_of(queue, by(sofia))

    assert figures["total_conversations_30d"] == 350
    assert (figures["sla_violations"], figures["sla_violation_rate"]) == (5, 1.4)
    assert (figures["overflow_events"], figures["overflow_rate"]) == (3, 0.9)


def test_a_queue_keeps_its_waits_when_the_conversation_moves_on(
    sofia: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    first, second = make_queue("first"), make_queue("second")
    conversation = make_conversation("queued", queue=first)
    Stay.objects.update(entered_at=timezone.now() - timedelta(minutes=10))
    handoff.transfer(conversation.pk, actor=sofia, queue_id=second.pk)

    here, there = figures_of(first, by(sofia)), figures_of(second, by(sofia))

    assert (here["total_conversations_30d"], here["average_wait_time_seconds"]) == (1, 600)
    assert (there["total_conversations_30d"], there["average_wait_time_seconds"]) == (1, None)
    assert (here["queued_conversations"], there["queued_conversations"]) == (0, 1)


def test_a_missed_target_counts_where_it_was_missed(
    sofia: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    first, second = make_queue("first"), make_queue("second")
    conversation = make_conversation("queued", queue=first)
    handoff.transfer(conversation.pk, actor=sofia, queue_id=second.pk)
    Stay.objects.filter(queue=first).update(entered_at=timezone.now() - timedelta(minutes=10))

    for breached, counts in ((timedelta(minutes=5), (1, 0)), (timedelta(), (0, 1))):
        Conversation.objects.update(sla_breached_at=timezone.now() - breached)
        found = [figures_of(queue, by(sofia))["sla_violations"] for queue in (first, second)]
        assert tuple(found) == counts


def test_waits_in_opening_hours_count_only_as_missed_targets(
    acme: Organization, sofia: Membership, make_queue: Callable[..., Queue], make_conversation: Make,
    by: Calls,
) -> None:  # fmt: skip
    calendar = Calendar.objects.create(organization=acme, name="Always")
    queue = make_queue("vip", sla_minutes=5, calendar=calendar)
    make_conversation("queued", queue=queue)
    Stay.objects.update(entered_at=timezone.now() - timedelta(hours=9))
    assert figures_of(queue, by(sofia))["sla_violations"] == 0

    Conversation.objects.update(sla_breached_at=timezone.now())
    assert figures_of(queue, by(sofia))["sla_violations"] == 1


def test_the_time_to_the_end_is_counted(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support)
    handoff.close(conversation.pk, actor=None)
    closed_at = Conversation.objects.get().closed_at
    Conversation.objects.update(created_at=closed_at - timedelta(seconds=1800))

    assert figures_of(support, by(sofia))["average_resolution_time_seconds"] == 1800


def test_the_figures_of_an_empty_queue(sofia: Membership, support: Queue, by: Calls) -> None:
    figures = figures_of(support, by(sofia))

    assert (figures["sla_violation_rate"], figures["average_wait_time_seconds"]) == (0.0, None)


def test_figures_cost_the_same_whatever_there_is_to_count(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls, django_assert_max_num_queries: Any
) -> None:
    many_stays(support, make_conversation(), 60)
    caller = by(sofia)

    with django_assert_max_num_queries(10):
        figures_of(support, caller)


# ---------------------------------------------------------------- expected wait
def test_the_expected_wait_of_a_place_in_line(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    like, caller = make_conversation(), by(sofia)
    url = f"queues/{support.pk}/expected-wait"
    assert caller.get(url).json() == {
        "queue_id": str(support.pk), "ahead": 0, "expected_wait_seconds": None,
    }  # fmt: skip

    many_stays(support, like, 20)

    assert caller.get(f"{url}?ahead=0").json()["expected_wait_seconds"] == 60
    assert caller.get(f"{url}?ahead=7").json()["expected_wait_seconds"] is None


def test_whoever_comes_now_stands_behind_all_who_wait(
    sofia: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    make_conversation("queued", queue=support)

    assert by(sofia).get(f"queues/{support.pk}/expected-wait").json()["ahead"] == 1


@pytest.mark.parametrize("ahead", ["-1", "x", "1001"])
def test_an_odd_place_in_line_is_refused(sofia: Membership, support: Queue, by: Calls, ahead: str) -> None:
    answer = by(sofia).get(f"queues/{support.pk}/expected-wait?ahead={ahead}")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["ahead"])


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
