"""Overflow under load: exact numbers, everything moved once, no circle closed by two hands at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Membership, Organization
from conversations import clockwork, deadlines, handoff, overflows
from conversations.models import Conversation, Deadline, Stay
from queues.models import OverflowRule, Queue
from tests.api.caller import Caller

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]
Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]
CROWD = 32


def rule(source: Queue, when: str, target: Queue, after: int | None = None) -> OverflowRule:
    return OverflowRule.objects.create(
        organization=source.organization, queue=source, condition=when, target=target, after_minutes=after
    )


def placed() -> Counter[tuple[str, bool]]:
    rows = Conversation.objects.select_related("queue")
    return Counter((c.queue.slug, "overflow_exhausted" in c.extra_data) for c in rows)


def test_32_hand_overs_by_rules_into_10_then_10_then_the_rest(
    race: Race, make_conversation: Make, make_queue: MakeQueue
) -> None:
    a, b, c = make_queue("a", max_queue_size=10), make_queue("b", max_queue_size=10), make_queue("c")
    rule(a, "full", b)
    rule(b, "full", c)
    ids = [make_conversation().pk for _ in range(CROWD)]
    race(CROWD, lambda n: handoff.request_handoff(ids[n], queue_id=a.pk))
    assert placed() == {("a", False): 10, ("b", False): 10, ("c", False): 12}


def test_32_hand_overs_from_both_ends_of_a_circle_keep_every_limit(
    race: Race, make_conversation: Make, make_queue: MakeQueue
) -> None:
    a, b = make_queue("a", max_queue_size=10), make_queue("b", max_queue_size=10)
    rule(a, "full", b)
    rule(b, "full", a)
    ids = [make_conversation().pk for _ in range(CROWD)]
    results = race(CROWD, lambda n: handoff.request_handoff(ids[n], queue_id=(a, b)[n % 2].pk))
    assert all(isinstance(one, Conversation) for one in results)
    found = placed()
    assert (found["a", False], found["b", False]) == (10, 10)
    assert found["a", True] + found["b", True] == 12


def overdue(minutes: int) -> None:
    past = timedelta(minutes=minutes)
    for deadline in Deadline.objects.filter(kind="overflow"):
        entered = datetime.fromisoformat(deadline.data["since"]) - past
        deadline.data["since"] = entered.isoformat()
        deadline.due_at -= past
        deadline.save(update_fields=["data", "due_at"])


def test_waiting_rules_carried_out_by_8_sweeps_at_once_move_each_once_and_keep_the_limit(
    race: Race, make_conversation: Make, make_queue: MakeQueue
) -> None:
    a, b = make_queue("a"), make_queue("b", max_queue_size=5)
    rule(a, "waited", b, after=5)
    for _ in range(12):
        make_conversation("queued", queue=a)
    overdue(6)
    race(8, lambda _n: clockwork.drain_deadlines(limit=3))
    race(8, lambda _n: clockwork.drain_deadlines())
    assert placed() == {("b", False): 5, ("a", False): 7}
    moved = Conversation.objects.filter(queue=b)
    assert all(len(c.extra_data["overflow_history"]) == 1 for c in moved)
    assert Stay.objects.filter(queue=b).count() == 5


def test_one_deadline_in_many_hands_moves_its_conversation_once(
    race: Race, make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b")
    a = make_queue("a")
    rule(a, "waited", b, after=5)
    conversation = make_conversation("queued", queue=a)
    overdue(6)
    deadline = Deadline.objects.get(kind="overflow")
    results = race(8, lambda _n: overflows.wait_elsewhere(deadline))
    assert Counter(type(one) for one in results) <= Counter({bool: 8, deadlines.Void: 8})
    assert results.count(True) == 1
    assert conversation.events.filter(type="overflow").count() == 1


def test_claims_against_the_waiting_rule_leave_one_owner(
    race: Race, make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    a = make_queue("a")
    rule(a, "waited", make_queue("b"), after=5)
    ids = [make_conversation("queued", queue=a).pk for _ in range(4)]
    overdue(6)
    acts = [lambda pk=pk: handoff.claim(pk, agent_id=ana.pk) for pk in ids]
    race(8, lambda n: clockwork.drain_deadlines() if n >= 4 else acts[n]())
    assert Conversation.objects.filter(assigned_agent=ana, state="human_handoff").count() == 4


@pytest.mark.parametrize("by_rule", [True, False])
def test_two_rules_that_are_fine_alone_never_close_a_circle_together(
    race: Race, acme: Organization, make_queue: MakeQueue, by_rule: bool
) -> None:
    a, b = make_queue("a"), make_queue("b")
    pairs = [(a, b), (b, a)]

    def save(n: int) -> str:
        source, target = pairs[n % 2]
        with transaction.atomic():
            if by_rule:
                made = OverflowRule(organization=acme, queue=source, target=target, condition="full")
                made.full_clean()
                made.save(force_insert=True)
            else:
                queue = Queue.objects.get(pk=source.pk)
                queue.overflow_queue = target
                queue.full_clean()
                queue.save(update_fields=["overflow_queue"])
        return source.slug

    results = race(8, save)
    saved = {one for one in results if isinstance(one, str)}
    assert len(saved) == 1
    assert all(isinstance(one, str | ValidationError) for one in results)


def test_by_the_api_one_of_two_halves_of_a_circle_is_refused(
    race: Race, make_queue: MakeQueue, sofia: Membership
) -> None:
    a, b = make_queue("a"), make_queue("b")
    half = [
        (a, {"overflow_queue": str(b.pk)}),
        (b, {"overflow_rules": [{"condition": "full", "target": str(a.pk)}]}),
    ]
    callers = [Caller.of(sofia), Caller.of(sofia)]

    def patch(n: int) -> int:
        queue, body = half[n]
        return callers[n].patch(f"queues/{queue.pk}", body, If_Match="*").status_code

    assert sorted(race(2, patch)) == [200, 400]
