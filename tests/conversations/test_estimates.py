"""Place in line and expected wait from the book of stays: only what agents ended counts as served."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from conversations import estimates, handoff
from conversations.models import Conversation, Stay
from queues.models import Queue

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]


@pytest.fixture
def stayed(make_conversation: Make, support: Queue) -> Callable[..., None]:
    """Earlier stays in the support queue: how many, how long, how they ended."""
    conversation = make_conversation()

    def write(n: int, minutes: float, *, left_by: str = "claim", ahead: int = 0, days_ago: int = 0) -> None:
        entered = timezone.now() - timedelta(days=days_ago, minutes=minutes)
        Stay.objects.bulk_create(
            Stay(
                organization_id=support.organization_id, conversation=conversation, queue=support,
                ahead=ahead, left_by=left_by,
                entered_at=entered, left_at=entered + timedelta(minutes=minutes),
            )
            for _ in range(n)
        )  # fmt: skip

    return write


def wait(queue: Queue, ahead: int = 0) -> timedelta | None:
    return estimates.expected_wait(queue.pk, ahead, timezone.now())


def test_four_in_five_waited_no_longer(support: Queue, stayed: Any) -> None:
    stayed(16, 4)
    stayed(4, 50)

    assert wait(support) == timedelta(minutes=5)


def test_thin_history_says_nothing(support: Queue, stayed: Any) -> None:
    stayed(19, 4)
    assert wait(support) is None

    stayed(1, 4, ahead=3)
    assert wait(support) == timedelta(minutes=5)
    assert wait(support, ahead=3) is None


def test_who_gave_up_never_makes_the_queue_look_quick(support: Queue, stayed: Any) -> None:
    stayed(20, 30)
    stayed(40, 1, left_by="close")

    assert wait(support) == timedelta(minutes=30)


def test_older_history_and_other_queues_do_not_count(
    support: Queue, make_queue: Callable[..., Queue], stayed: Any
) -> None:
    stayed(30, 4, days_ago=29)
    assert wait(support) is None

    stayed(30, 4)
    assert wait(make_queue("other")) is None


def test_a_queue_that_stands_still_tells(support: Queue, make_conversation: Make, stayed: Any) -> None:
    stayed(20, 1)
    assert wait(support) == timedelta(minutes=1)
    for _ in range(20):
        make_conversation("queued", queue=support)
    Stay.objects.filter(left_at=None).update(entered_at=timezone.now() - timedelta(hours=2), ahead=0)

    assert wait(support) is None  # half of them are still waiting: no promise


@pytest.mark.parametrize("verb", ["claim", "pull", "assign"])
def test_every_way_to_an_agent_ends_a_wait(
    support: Queue, make_conversation: Make, ana: Membership, verb: str
) -> None:
    conversation = make_conversation("queued", queue=support)
    match verb:
        case "claim":
            handoff.claim(conversation.pk, agent_id=ana.pk)
        case "pull":
            handoff.pull_from_queue(ana.pk)
        case _:
            handoff.assign_agent(conversation.pk, ana.pk)

    assert Stay.objects.get(conversation=conversation).left_by in estimates.TAKEN_BY


def test_the_place_in_line_follows_priority_and_age(
    support: Queue, make_conversation: Make, ana: Membership
) -> None:
    first, second = make_conversation("queued", queue=support), make_conversation("queued", queue=support)
    urgent = make_conversation("queued", queue=support, priority=100)

    assert [estimates.position(c) for c in (urgent, first, second)] == [1, 2, 3]
    assert estimates.waiting_now(support.pk) == 3
    assert estimates.position(handoff.claim(urgent.pk, agent_id=ana.pk)) is None
    assert estimates.position(first) == 1


def test_it_costs_two_statements(support: Queue, stayed: Any, django_assert_num_queries: Any) -> None:
    stayed(60, 4)

    with django_assert_num_queries(2):
        wait(support)
