"""Failures that the platform tells late: tried again where that may mend it, once per platform message."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from conversations import intake, outbox, receipts, reconcile, sending, settling
from conversations.invariants import findings
from conversations.models import Conversation, Delivery, Message, Pace
from tests import twilio

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Conversation]


@pytest.fixture
def talk(make_conversation: Make, ana: Membership) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


@pytest.fixture
def message(fake: FakeProvider, talk: Conversation, ana: Membership) -> Message:
    """Accepted by the platform."""
    written = outbox.reply(talk.pk, agent=ana, text="oi")[0]
    sending.drain(threads=1)
    return written


def row(message: Message) -> Delivery:
    return message.deliveries.get()


def tell(message: Message, state: str, code: str = "", sid: str = "") -> None:
    delivery = row(message)
    report = Report(sid or delivery.provider_id, State(state), timezone.now(), str(delivery.pk), code)
    receipts.apply_report(message.channel, report)


def drain_all() -> None:
    Delivery.objects.update(due_at=timezone.now())
    Pace.objects.update(rests_until=None)
    sending.drain(threads=1)


def status(message: Message) -> str:
    message.refresh_from_db()
    return message.status


@pytest.mark.parametrize("code", ["30017", "63009", "63018", "30022"])
def test_a_mendable_failure_is_a_new_try_within_the_limit(
    message: Message, fake: FakeProvider, code: str
) -> None:
    seen = []
    for _n in range(5):
        if row(message).status == "queued":
            tell(message, "failed", code)
        seen.append(status(message))
        drain_all()
    assert seen == ["retrying", "retrying", "retrying", "failed", "failed"]
    assert len(fake.requests()) == 4
    assert (row(message).error_code, row(message).tries.count()) == (code, 4)
    assert list(findings()) == []


@pytest.mark.parametrize("code", ["30008", "63019"])
def test_some_failures_are_worth_one_more_try_only(message: Message, fake: FakeProvider, code: str) -> None:
    for _n in range(2):
        tell(message, "failed", code)
        drain_all()
    assert (status(message), len(fake.requests())) == ("failed", 2)


@pytest.mark.parametrize("code", ["63016", "21610", "30003", "20003", "30007", "99999", ""])
def test_any_other_failure_is_final(message: Message, fake: FakeProvider, code: str) -> None:
    tell(message, "failed", code)
    drain_all()
    assert (status(message), len(fake.requests())) == ("failed", 1)


def test_it_waits_as_long_as_the_platform_asks_and_the_channel_with_it(message: Message) -> None:
    tell(message, "failed", "30001")
    assert timedelta(minutes=9) < row(message).due_at - timezone.now() <= timedelta(minutes=10)
    assert Pace.objects.get().rests_until > timezone.now() + timedelta(minutes=9)


def test_what_would_come_too_late_fails_at_once(message: Message) -> None:
    tell(message, "failed", "63038")  # tomorrow; an answer is kept for a day
    assert (status(message), row(message).error_code) == ("failed", "63038")


@pytest.mark.parametrize("proof", ["delivered", "read"])
def test_never_after_proof_of_delivery(message: Message, fake: FakeProvider, proof: str) -> None:
    tell(message, proof)
    tell(message, "failed", "30017")
    drain_all()
    assert (status(message), len(fake.requests())) == (proof, 1)


def test_the_same_failure_told_again_changes_nothing(message: Message, fake: FakeProvider) -> None:
    first = row(message).provider_id
    for _n in range(3):
        tell(message, "failed", "30017", first)
    assert (status(message), row(message).attempts) == ("retrying", 1)
    drain_all()
    tell(message, "failed", "30017", first)
    tell(message, "sent", sid=first)
    assert (status(message), len(fake.requests())) == ("queued", 2)
    tell(message, "delivered")
    assert status(message) == "delivered"
    assert row(message).receipts.filter(provider_id=first).count() == 5


def test_proof_of_the_first_try_stops_the_second(message: Message, fake: FakeProvider) -> None:
    first = row(message).provider_id
    tell(message, "failed", "30017")
    tell(message, "delivered", sid=first)
    drain_all()
    assert (status(message), len(fake.requests())) == ("delivered", 1)


LADDERS = list(itertools.permutations(["sent", "failed", "delivered"]))


@pytest.mark.parametrize("order", LADDERS, ids="-".join)
def test_shuffled_reports_of_two_tries_end_alike(
    message: Message, fake: FakeProvider, order: tuple[str, ...]
) -> None:
    """`delivered` is the second try's, the others are the first's; each comes twice."""
    first = row(message).provider_id
    tell(message, "failed", "30017", first)
    drain_all()
    second = row(message).provider_id
    for state in [*order, *order]:
        tell(message, state, "30017" if state == "failed" else "", second if state == "delivered" else first)
    drain_all()
    assert (status(message), row(message).provider_id, len(fake.requests())) == ("delivered", second, 2)
    assert list(findings()) == []


def test_a_failure_faster_than_the_answer_is_tried_again_once(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    message = outbox.reply(talk.pk, agent=ana, text="oi")[0]
    (claimed,) = sending.claim().rows
    ended = sending.call(claimed)
    tell(message, "failed", "30017", ended.result.provider_id)
    settling.settle([ended])
    assert (status(message), row(message).provider_id) == ("retrying", "")
    drain_all()
    tell(message, "sent", sid=ended.result.provider_id)
    assert (status(message), len(fake.requests())) == ("queued", 2)


def test_a_person_s_retry_is_not_undone_by_what_the_first_try_still_tells(
    message: Message, ana: Membership, fake: FakeProvider
) -> None:
    first = row(message).provider_id
    tell(message, "failed", "63016", first)
    outbox.retry(message.pk, actor=ana)
    tell(message, "failed", "63016", first)
    assert status(message) == "pending"
    drain_all()
    tell(message, "failed", "63016", first)
    assert (status(message), len(fake.requests())) == ("queued", 2)


def test_later_messages_that_went_first_are_on_record(
    message: Message, talk: Conversation, ana: Membership
) -> None:
    outbox.reply(talk.pk, agent=ana, text="e mais")
    drain_all()
    tell(message, "failed", "30017")
    assert list(findings()) == []
    assert talk.events.filter(type="message_retried", data__code="30017", actor=None).count() == 1


def test_an_unconfirmed_second_try_is_not_found_in_the_first(message: Message, fake: FakeProvider) -> None:
    tell(message, "failed", "30017")
    fake.script(["drop_before"])
    drain_all()
    Delivery.objects.update(settled_at=timezone.now() - timedelta(seconds=100))
    assert status(message) == "unknown"
    assert reconcile.look_up(row(message)) is False


def test_it_comes_in_by_the_webhook(message: Message, fake: FakeProvider, twilio_channel: Any) -> None:
    delivery = row(message)
    for _n in range(2):
        answer = twilio.post_status(
            twilio_channel, delivery.provider_id, "undelivered", str(delivery.pk), ErrorCode="30017"
        )
        assert answer.status_code == 204
    intake.drain()
    assert status(message) == "retrying"
    drain_all()
    assert (status(message), len(fake.requests())) == ("queued", 2)
