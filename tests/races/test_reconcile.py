"""Several workers look for evidence at once: each question is asked once, each answer given to one row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import Membership
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount, InboundEvent
from conversations import outbox, reconcile, sending
from conversations.models import Conversation, Delivery
from tests import twilio

Race = Callable[[int, Callable[[int], Any]], list[Any]]


def test_one_of_four_workers_reads_the_list(race: Race, fake: FakeProvider) -> None:
    for number in range(5):
        fake.wrote(twilio.form(f"Oi {number}"))
    assert sorted(race(4, lambda _: reconcile.fetch_missed())) == [0, 0, 0, 5]
    assert InboundEvent.objects.count() == 5


def test_two_readings_at_once_take_each_message_in_once(
    race: Race, fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    for number in range(5):
        fake.wrote(twilio.form(f"Oi {number}"))
    since = timezone.now() - timedelta(hours=1)
    race(4, lambda _: reconcile.take_missed(twilio_channel, since))
    assert InboundEvent.objects.count() == 5


def test_one_message_at_the_platform_confirms_one_of_two_equal_ones(
    race: Race, fake: FakeProvider, make_conversation: Callable[..., Conversation], ana: Membership
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    for step in ("drop_after", "drop_before"):
        fake.script([step])
        outbox.reply(talk.pk, agent=ana, text="Oi?")
        sending.drain(threads=1)
        Delivery.objects.update(settled_at=timezone.now() - timedelta(seconds=100))
    rows = list(Delivery.objects.filter(status="unknown"))
    assert len(rows) == 2
    assert sorted(race(2, lambda index: reconcile.look_up(rows[index]))) == [False, True]
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["queued", "unknown"]


def test_a_due_look_up_is_made_by_one_worker(
    race: Race, fake: FakeProvider, make_conversation: Callable[..., Conversation], ana: Membership
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    fake.script(["drop_before"])
    outbox.reply(talk.pk, agent=ana, text="Oi?")
    sending.drain(threads=1)
    Delivery.objects.update(settled_at=timezone.now() - timedelta(seconds=100))
    race(4, lambda _: reconcile.look_up_due())
    assert Delivery.objects.get().look_ups == 1
