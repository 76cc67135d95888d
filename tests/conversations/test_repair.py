"""The net below the verbs: what nothing will ever move is found, mended once and noted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_scopes import scope

from accounts.models import Membership, Organization
from conversations import handoff, invariants, repair, resting
from conversations.models import Conversation, Deadline, FlowRun, Offer, Stay
from flows.models import Flow
from queues.models import Queue

pytestmark = pytest.mark.django_db

Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


def notes(conversation: Conversation) -> list[str]:
    return list(
        conversation.events.filter(type="repaired").order_by("seq").values_list("data__what", flat=True)
    )


def judge() -> list[str]:
    return [finding.invariant.name for finding in invariants.findings()]


def test_a_sound_desk_is_left_alone(
    make_conversation: Make, support: Queue, ana: Membership, flow: Flow
) -> None:
    for state in ("pending", "bot", "queued", "human_handoff", "closed"):
        make_conversation(state, queue=support, agent=ana, flow=flow)

    assert repair.sweep() == 0
    assert judge() == []


@pytest.mark.parametrize("state", ["pending", "bot", "queued", "human_handoff"])
def test_what_has_no_deadline_gets_one(
    make_conversation: Make, support: Queue, ana: Membership, flow: Flow, state: str
) -> None:
    conversation = make_conversation(state, queue=support, agent=ana, flow=flow)
    Deadline.objects.all().delete()
    assert judge() == ["nobody_is_forgotten"]

    assert repair.sweep() >= 1
    assert conversation.deadlines.exists()
    assert notes(conversation)
    assert judge() == []


def test_a_bot_that_runs_no_flow_hands_over(make_conversation: Make, support: Queue, flow: Flow) -> None:
    conversation = make_conversation("bot", flow=flow)
    FlowRun.objects.update(ended_at=timezone.now())
    Deadline.objects.filter(kind="bot_turn").delete()

    assert repair.sweep() == 1
    after = Conversation.objects.get(pk=conversation.pk)
    assert (after.state, after.queue) == ("queued", support)
    assert notes(after) == ["bot without a run"]


def test_a_queue_that_is_switched_off_passes_on_in_order(
    make_conversation: Make, make_queue: MakeQueue, support: Queue
) -> None:
    off = make_queue("off")
    conversation = make_conversation("queued", queue=off)
    Queue.objects.filter(pk=off.pk).update(is_active=False)

    assert repair.sweep() == 1
    after = Conversation.objects.get(pk=conversation.pk)
    assert (after.queue, after.queued_at) == (support, conversation.queued_at)  # the place in line is kept
    assert judge() == []


def test_an_agent_who_left_gives_back_what_they_had(
    make_conversation: Make, support: Queue, ana: Membership
) -> None:
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    Membership.objects.filter(pk=ana.pk).update(is_active=False)

    assert repair.sweep() == 1
    after = Conversation.objects.get(pk=conversation.pk)
    assert (after.state, after.queue, after.assigned_agent) == ("queued", support, None)


def test_a_snooze_without_an_alarm_ends(make_conversation: Make, ana: Membership) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    resting.snooze(conversation.pk, agent=ana, until=timezone.now() + timedelta(hours=1))
    Conversation.objects.update(snoozed_until=timezone.now() - timedelta(minutes=1))
    Deadline.objects.filter(kind="snooze").delete()

    assert repair.sweep() == 1
    assert conversation.deadlines.get(kind="snooze").due_at <= timezone.now()


def test_an_offer_that_nobody_ends_is_ended(make_conversation: Make, support: Queue, ana: Membership) -> None:
    conversation = make_conversation("queued", queue=support)
    long_ago = timezone.now() - timedelta(minutes=2)
    offer = Offer.objects.create(
        organization_id=support.organization_id, conversation=conversation, agent=ana, queue=support,
        offered_at=long_ago, expires_at=long_ago,
    )  # fmt: skip

    assert repair.sweep() == 1
    offer.refresh_from_db()
    assert offer.outcome == "timed_out"
    assert notes(conversation) == ["offer never ends"]


@pytest.mark.parametrize("spoil", ["lost", "left over"])
def test_the_book_of_stays_is_rewritten(
    make_conversation: Make, support: Queue, ana: Membership, spoil: str
) -> None:
    conversation = make_conversation("queued", queue=support)
    if spoil == "lost":
        Stay.objects.all().delete()
    else:
        handoff.claim(conversation.pk, agent_id=ana.pk)
        Stay.objects.update(left_at=None)
    assert judge() == ["one_open_stay_matches"]

    assert repair.sweep() == 1
    assert judge() == []


def test_the_second_time_within_the_hour_a_person_is_told_once(
    make_conversation: Make, support: Queue
) -> None:
    conversation = make_conversation("queued", queue=support)
    for _ in range(4):
        Stay.objects.all().delete()
        repair.sweep()

    assert notes(conversation) == ["stay does not match"]
    assert list(conversation.events.filter(type="attention").values_list("data__why", flat=True)) == [
        "stay does not match"
    ]


def test_with_nowhere_to_go_a_person_is_told(make_conversation: Make, support: Queue) -> None:
    conversation = make_conversation("queued", queue=support)
    Queue.objects.update(is_active=False)

    assert (repair.sweep(), repair.sweep()) == (0, 0)
    assert conversation.events.filter(type="attention", cause="repair").count() == 1


def test_a_hopeless_one_stops_no_other(
    make_conversation: Make, support: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_conversation("queued", queue=support), make_conversation("queued", queue=support)
    Stay.objects.all().delete()
    note = repair.stays.note

    def fails_once(conversation: Conversation, **options: Any) -> None:
        if conversation.pk == first.pk:
            raise RuntimeError
        note(conversation, **options)

    monkeypatch.setattr(repair.stays, "note", fails_once)

    assert repair.sweep() == 1
    assert (first.stays.count(), second.stays.count()) == (0, 1)


def test_every_organization_is_swept(
    acme: Organization, rival: Organization, make_conversation: Make, support: Queue
) -> None:
    conversation = make_conversation("queued", queue=support)
    Stay.objects.all().delete()

    with scope(organization=rival):
        assert repair.sweep() == 1
    assert conversation.stays.count() == 1
