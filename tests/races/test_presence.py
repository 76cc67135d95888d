"""Presence, sweeps, claims and pulls at once: one owner each, nothing lost, one open span per agent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from accounts.models import Membership
from conversations import attendance, handoff, router
from conversations.invariants import findings
from conversations.models import Conversation
from queues import services
from queues.models import AgentProfile, PresenceSpan, Queue
from tests.conftest import new_member

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]
CROWD = 32


@pytest.fixture
def agents(acme: Any) -> list[Membership]:
    return [new_member(acme, f"agent{n}", "agent", capacity=40) for n in range(4)]


@pytest.fixture
def talks(make_conversation: Callable[..., Conversation], support: Queue, agents: Any) -> list[Any]:
    """Sixteen conversations, four with each agent."""
    ids = [make_conversation("queued", queue=support).pk for _ in range(16)]
    for n, pk in enumerate(ids):
        handoff.claim(pk, agent_id=agents[n % 4].pk)
    return ids


def vanish(members: list[Membership]) -> None:
    now = timezone.now()
    AgentProfile.objects.filter(member__in=members).update(
        presence="away", is_automatic=True, presence_since=now - timedelta(minutes=9),
        last_seen_at=now - timedelta(minutes=11), last_input_at=now - timedelta(minutes=11),
    )  # fmt: skip


def spans_are_right() -> None:
    """Exactly one open span per agent, equal to the profile, and no two of an agent overlap."""
    for agent in AgentProfile.objects.all():
        spans = list(PresenceSpan.objects.filter(agent=agent).order_by("began_at", "ended_at"))
        open_ones = [span for span in spans if span.ended_at is None]
        assert [(s.presence, s.is_automatic) for s in open_ones] == [(agent.presence, agent.is_automatic)]
        assert all(one.ended_at == two.began_at for one, two in pairwise(spans))
    assert not PresenceSpan.objects.filter(ended_at__lt=F("began_at")).exists()


def test_32_changes_of_one_presence_are_one_history(race: Race, agents: Any) -> None:
    words = ("online", "busy", "away", "offline")
    results = race(CROWD, lambda n: attendance.set_presence(agents[0], words[n % 4]))

    assert [r for r in results if isinstance(r, Exception)] == []
    AgentProfile.objects.exclude(member=agents[0]).delete()
    spans_are_right()


def test_8_sweeps_bring_a_vanished_agents_conversations_back_once(
    race: Race, agents: Any, talks: Any
) -> None:
    vanish(agents[:2])
    results = race(8, lambda n: attendance.sweep())

    assert sum(results) == 8
    back = Conversation.objects.filter(state="queued")
    assert back.count() == 8
    assert all(c.events.filter(type="requeue").count() == 1 for c in back)


def test_8_sweeps_finish_once_what_a_dead_process_left(race: Race, agents: Any, talks: Any) -> None:
    AgentProfile.objects.filter(member__in=agents[:2]).update(
        presence="offline", passes_on_since=timezone.now() - timedelta(minutes=2)
    )
    Conversation.objects.update(assigned_at=timezone.now() - timedelta(minutes=3))
    results = race(8, lambda n: attendance.sweep())

    assert sum(results) == 8
    back = Conversation.objects.filter(state="queued")
    assert {c.events.filter(type="requeue").count() for c in back} == {1}
    assert not AgentProfile.objects.exclude(passes_on_since=None).exists()


def test_less_room_and_claims_at_once_leave_nobody_above_it(
    race: Race, agents: Any, make_conversation: Any, support: Queue
) -> None:
    """Who claims before the change keeps it; who comes after is told no. The judge agrees."""
    ids = [make_conversation("queued", queue=support).pk for _ in range(24)]
    services.shape_agent(agents[0], capacity=12)

    def act(n: int) -> Any:
        if n == 12:
            return services.shape_agent(agents[0], capacity=4)
        return handoff.claim(ids[n if n < 12 else n - 1], agent_id=agents[0].pk)

    race(25, act)
    assert 4 <= attendance.in_hand(agents[0].pk).count() <= 12
    assert [finding.invariant.name for finding in findings()] == []


def test_leaving_sweeping_claiming_and_pulling_at_once(race: Race, agents: Any, talks: Any) -> None:
    """Thirty-two at once, then the desk calms down: everything has one owner who is there, or waits."""
    vanish(agents[:1])

    def act(n: int) -> Any:
        match n % 8:
            case 0:
                return attendance.sweep()
            case 1:
                return attendance.set_presence(agents[1], "offline", conversations="queue")
            case 2:
                destination = {"conversations": "colleague", "to": agents[3].pk}
                return attendance.set_presence(agents[2], "away", **destination)
            case 3:
                return attendance.set_presence(agents[2], "online")
            case 4:
                return handoff.pull_from_queue(agents[3].pk)
            case 5:
                return handoff.claim(talks[n % 16], agent_id=agents[3].pk)
            case 6:
                return handoff.transfer(talks[n % 16], actor=None, agent_id=agents[2].pk)
        return router.drain()

    results = race(CROWD, act)
    known = (handoff.Conflict, handoff.Full)
    wrong = [r for r in results if isinstance(r, Exception) and not isinstance(r, known)]
    assert [type(r).__name__ for r in wrong if type(r).__name__ != "TransitionNotAllowed"] == []
    attendance.sweep()
    attendance.set_presence(agents[1], "offline", conversations="queue")

    owners = dict(Conversation.objects.values_list("pk", "assigned_agent"))
    assert set(owners) == set(talks)
    assert not {agents[0].pk, agents[1].pk} & set(owners.values())
    stands = {(c.state, c.assigned_agent_id is None, c.queued_at is None) for c in Conversation.objects.all()}
    assert stands <= {("queued", True, False), ("human_handoff", False, True)}
    for member in agents:
        attendance.set_presence(member, "busy")
    spans_are_right()
