"""Two workers at one deadline: every time-out and every escalation happens once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from conversations import clockwork, deadlines, handoff, outbox, sla
from conversations.models import Conversation, Deadline
from queues.models import Priority, Queue, SlaEscalation, SlaPolicy

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]
Make = Callable[..., Conversation]
WORKERS = 8


def pass_time(kind: str) -> None:
    Deadline.objects.filter(kind=kind).update(due_at=timezone.now() - timedelta(minutes=1))


def count(conversation: Conversation, kind: str) -> int:
    return conversation.events.filter(type=kind).count()


@pytest.fixture
def gold(acme: Organization, make_queue: Callable[..., Queue]) -> Queue:
    policy = SlaPolicy.objects.create(
        organization=acme, name="Gold", clock="calendar", wait_minutes=10, first_response_minutes=10
    )
    steps = [
        {"act": "raise_priority", "priority": Priority.HIGH},
        {"act": "notify"},
        {"act": "move", "queue": make_queue("outra")},
    ]
    for position, step in enumerate(steps):
        SlaEscalation.objects.create(organization=acme, policy=policy, position=position, **step)
    return make_queue("gold", sla_policy=policy)


def test_eight_drains_strike_and_escalate_each_promise_once(
    race: Race, make_conversation: Make, gold: Queue
) -> None:
    waiting = [make_conversation("queued", queue=gold) for _ in range(6)]
    for _warning_then_breach in range(2):
        pass_time("sla_wait")
        results = race(WORKERS, lambda n: clockwork.drain_deadlines(limit=2))
        assert all(isinstance(n, int) for n in results)
    for conversation in waiting:
        kinds = ("sla_warning", "sla_breach", "priority", "attention", "requeue")
        assert [count(conversation, kind) for kind in kinds] == [1] * 5


def test_workers_whose_lease_ran_out_share_the_steps(
    race: Race, make_conversation: Make, gold: Queue
) -> None:
    """All of them hold the same claimed deadline: what one does, no other does again."""
    conversation = make_conversation("queued", queue=gold)
    pass_time("sla_wait")
    clockwork.drain_deadlines()
    pass_time("sla_wait")
    (claimed,) = [row for row in deadlines.claim_due() if row.kind == "sla_wait"]
    race(WORKERS, lambda n: sla.strike(claimed))
    race(WORKERS, lambda n: sla.escalate(conversation.pk, sla.Target.WAIT))
    kinds = ("sla_breach", "priority", "attention", "requeue")
    assert [count(conversation, kind) for kind in kinds] == [1] * 4
    assert "sla_todo" not in Conversation.objects.get().extra_data


@pytest.mark.parametrize(
    ("kind", "event"), [("queue_wait", "close"), ("agent_idle", "requeue"), ("attention", "attention")]
)
def test_a_time_out_happens_once(
    race: Race,
    make_conversation: Make,
    make_queue: Callable[..., Queue],
    ana: Membership,
    kind: str,
    event: str,
) -> None:
    queue = make_queue("q", wait_limit_minutes=5, agent_idle_minutes=5)
    conversation = make_conversation("queued", queue=queue)
    if kind == "agent_idle":
        handoff.claim(conversation.pk, agent_id=ana.pk)
        pass_time(kind)
        clockwork.drain_deadlines()  # the warning
    pass_time(kind)
    claimed = [row for row in deadlines.claim_due() if row.kind == kind] * WORKERS
    race(WORKERS, lambda n: clockwork.CARRIED_OUT_BY[Deadline.Kind(kind)](claimed[n]))
    assert count(conversation, event) == 1


def test_an_answer_and_an_idle_time_out_at_once_have_one_winner(
    race: Race, make_conversation: Make, make_queue: Callable[..., Queue], ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=make_queue("q", agent_idle_minutes=5))
    handoff.claim(conversation.pk, agent_id=ana.pk)
    pass_time("agent_idle")
    clockwork.drain_deadlines()
    pass_time("agent_idle")
    act = (lambda: outbox.reply(conversation.pk, agent=ana, text="Oi"), clockwork.drain_deadlines)
    answer, _drained = race(2, lambda n: act[n]())
    now = Conversation.objects.get()
    if isinstance(answer, outbox.NotYours):
        assert (now.state, count(conversation, "requeue")) == ("queued", 1)
    else:
        assert (now.state, count(conversation, "requeue")) == ("human_handoff", 0)
