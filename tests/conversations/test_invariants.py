"""The judge tells an agent who was given too many from one whose limit was lowered afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import Membership
from conversations import handoff
from conversations.invariants import findings
from conversations.models import Conversation
from queues import services
from queues.models import AgentProfile, Queue

pytestmark = pytest.mark.django_db


@pytest.fixture
def give(
    make_conversation: Callable[..., Conversation], support: Queue, ana: Membership
) -> Callable[[], None]:
    """One more for Ana, room or not: as if the check before a claim were broken."""

    def one_more() -> None:
        profile = AgentProfile.objects.filter(member=ana)
        capacity = profile.get().capacity
        profile.update(capacity=1000)
        handoff.claim(make_conversation("queued", queue=support).pk, agent_id=ana.pk)
        profile.update(capacity=capacity)

    return one_more


def lower(member: Membership, capacity: int) -> None:
    services.shape_agent(member, capacity=capacity)


def found() -> list[str]:
    return [finding.invariant.name for finding in findings()]


def test_one_too_many_is_found(ana, give) -> None:
    for _ in range(5):
        give()
    assert found() == []
    give()
    assert found() == ["agent_capacity"]


def test_who_was_given_less_room_afterwards_is_no_offender(ana, give) -> None:
    for _ in range(4):
        give()
    lower(ana, 3)
    lower(ana, 2)

    assert found() == []


def test_one_given_after_the_room_was_lowered_is_found(ana, give) -> None:
    for _ in range(3):
        give()
    lower(ana, 2)
    give()

    assert found() == ["agent_capacity"]


def test_one_too_many_is_found_although_the_room_was_lowered_later(ana, give) -> None:
    for _ in range(6):
        give()
    lower(ana, 2)

    assert found() == ["agent_capacity"]


def test_more_room_is_no_lowering(ana, give) -> None:
    lower(ana, 6)
    lower(ana, 6)

    profile = AgentProfile.objects.get(member=ana)
    assert (profile.capacity, profile.capacity_lowered_at, profile.capacity_before) == (6, None, None)
