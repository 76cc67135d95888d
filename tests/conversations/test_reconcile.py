"""What no webhook told is taken in once; what nobody confirmed is resolved by evidence and never resent."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount, InboundEvent, MediaFile
from conversations import intake, outbox, reconcile, sending
from conversations.models import Conversation, Delivery, Message, Pace
from tests import twilio

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., Conversation]


@pytest.fixture
def fake(twilio_channel: ChannelAccount, settings: object) -> Iterator[FakeProvider]:
    with FakeProvider(callbacks=Callbacks(statuses=())) as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        twilio_channel.config = {**twilio_channel.config, "api_base": provider.url}
        twilio_channel.created_at = timezone.now() - timedelta(days=30)
        twilio_channel.save(update_fields=["config", "created_at"])
        yield provider


@pytest.fixture
def talk(make_conversation: Make, ana: Membership) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


def inbound() -> list[str]:
    rows = Message.objects.filter(direction=Message.Direction.IN)
    return sorted(rows.values_list("provider_id", flat=True))


def unconfirmed(fake: FakeProvider, talk: Conversation, ana: Membership, text: str, step: str) -> Delivery:
    """A reply whose call got no answer, old enough to be looked up."""
    fake.script([step])
    message = outbox.reply(talk.pk, agent=ana, text=text)[0]
    sending.drain(threads=1)
    delivery = message.deliveries.get()
    assert delivery.status == "unknown"
    Delivery.objects.filter(pk=delivery.pk).update(settled_at=timezone.now() - timedelta(seconds=95))
    delivery.refresh_from_db()
    return delivery


# ---------------------------------------------------------------- what no webhook told
def test_a_tenth_of_the_webhooks_is_lost_and_nothing_is_missing(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    chance, sids = random.Random(4), []
    for number in range(250):  # more than one page of the list
        form = twilio.form(f"Oi {number}", sender=f"+55119{number % 7:08d}")
        sids.append(form["MessageSid"])
        fake.wrote(form)
        if chance.random() >= 0.1:
            twilio.post(twilio_channel, form)
    intake.drain()
    assert len(inbound()) < 250
    missing = 250 - InboundEvent.objects.count()
    assert reconcile.fetch_missed() == missing > 0
    intake.drain()
    assert inbound() == sorted(sids)
    assert reconcile.take_missed(twilio_channel, timezone.now() - timedelta(hours=1)) == 0


def test_a_webhook_that_comes_after_all_changes_nothing(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    form = twilio.form("Cadê meu pedido?")
    fake.wrote(form)
    reconcile.fetch_missed()
    assert twilio.post(twilio_channel, form).status_code == 200
    intake.drain()
    assert inbound() == [form["MessageSid"]]


def test_a_missed_message_keeps_its_own_time_and_its_files(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    at = (timezone.now() - timedelta(minutes=40)).replace(microsecond=0)
    files = {"MediaUrl0": "https://x/ME7", "MediaContentType0": "image/png"}
    fake.wrote(twilio.form("Segue a foto", NumMedia="1", **files), at=at)
    reconcile.fetch_missed()
    intake.drain()
    message = Message.objects.get(direction=Message.Direction.IN)
    assert (message.occurred_at, message.kind, message.text) == (at, "image", "Segue a foto")
    assert MediaFile.objects.get().source["url"].endswith("/Media/ME7")


def test_messages_to_another_number_or_older_than_the_overlap_are_left_alone(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    fake.wrote(twilio.form("para outro", To="whatsapp:+551131111111"))
    fake.wrote(twilio.form("antiga"), at=timezone.now() - timedelta(hours=3))
    assert reconcile.fetch_missed() == 0


def test_what_came_before_the_channel_was_connected_is_left_alone(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    ChannelAccount.objects.update(created_at=timezone.now() - timedelta(minutes=10))
    fake.wrote(twilio.form("antes"), at=timezone.now() - timedelta(minutes=20))
    fake.wrote(twilio.form("depois"), at=timezone.now() - timedelta(minutes=5))
    assert reconcile.fetch_missed() == 1


def test_after_a_long_absence_a_week_is_read_and_no_more(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    reconcile.fetch_missed()
    long_ago = timezone.now() - timedelta(days=20)
    Pace.objects.update(next_look_at=timezone.now(), looked_until=long_ago)
    for days in (1, 6, 8):
        fake.wrote(twilio.form(f"{days}"), at=timezone.now() - timedelta(days=days))
    assert reconcile.fetch_missed() == 2


def test_each_channel_is_asked_once_in_five_minutes(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    assert reconcile.fetch_missed() == 0
    fake.wrote(twilio.form("depois"))
    assert reconcile.fetch_missed() == 0
    Pace.objects.update(next_look_at=timezone.now())
    assert reconcile.fetch_missed() == 1


def test_a_list_that_cannot_be_read_is_asked_again_soon_and_from_the_same_moment(
    fake: FakeProvider, twilio_channel: ChannelAccount
) -> None:
    reconcile.fetch_missed()
    before = Pace.objects.get(channel=twilio_channel)
    fake.stop()
    Pace.objects.update(next_look_at=timezone.now())
    assert reconcile.fetch_missed() == 0
    after = Pace.objects.get(channel=twilio_channel)
    assert after.looked_until == before.looked_until
    assert after.next_look_at < timezone.now() + timedelta(seconds=61)


def test_a_channel_that_is_off_is_not_asked(fake: FakeProvider, twilio_channel: ChannelAccount) -> None:
    ChannelAccount.objects.update(is_active=False)
    fake.wrote(twilio.form("Oi"))
    assert reconcile.fetch_missed() == 0


# ---------------------------------------------------------------- what nobody confirmed
def test_an_unconfirmed_message_that_arrived_is_resolved_and_not_sent_again(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    delivery = unconfirmed(fake, talk, ana, "Chegou?", "drop_after")
    assert reconcile.look_up_due() == 1
    delivery.refresh_from_db()
    assert (delivery.status, delivery.provider_id[:2], delivery.look_ups) == ("queued", "SM", 1)
    sending.drain(threads=1)
    assert fake.report()["taken"] == 1


def test_one_that_never_arrived_waits_for_a_person_and_is_asked_for_ever_less_often(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    delivery = unconfirmed(fake, talk, ana, "Chegou?", "drop_before")
    assert reconcile.look_up_due() == reconcile.look_up_due() == 0
    delivery.refresh_from_db()
    assert (delivery.status, delivery.look_ups) == ("unknown", 1)
    for pause in (180, 360, 600, 600):
        at = timezone.now() - timedelta(seconds=pause - 20)
        Delivery.objects.update(looked_up_at=at)
        assert reconcile._due(10) == []
        Delivery.objects.update(looked_up_at=at - timedelta(seconds=20))
        reconcile.look_up_due()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.look_ups, fake.report()["taken"]) == ("unknown", 5, 0)


def test_nothing_is_asked_within_the_first_ninety_seconds(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    delivery = unconfirmed(fake, talk, ana, "Chegou?", "drop_after")
    Delivery.objects.update(settled_at=timezone.now() - timedelta(seconds=80))
    assert reconcile.look_up_due() == 0
    delivery.refresh_from_db()
    assert delivery.look_ups == 0
    assert reconcile.look_up(delivery), "a person may ask at any time"


def test_of_two_equal_messages_only_the_one_that_arrived_is_confirmed(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    unconfirmed(fake, talk, ana, "Oi?", "drop_after")
    Delivery.objects.update(settled_at=timezone.now() - timedelta(seconds=200))
    unconfirmed(fake, talk, ana, "Oi?", "drop_before")
    assert reconcile.look_up_due() == 1
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["queued", "unknown"]


def test_a_message_known_from_its_answer_is_no_evidence_for_another(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    outbox.reply(talk.pk, agent=ana, text="Oi?")
    sending.drain(threads=1)
    unconfirmed(fake, talk, ana, "Oi?", "drop_before")
    assert reconcile.look_up_due() == 0


def test_a_failure_that_the_list_tells_is_evidence_too(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    delivery = unconfirmed(fake, talk, ana, "Chegou?", "drop_after")
    for message in fake._messages.values():
        message.status, message.error_code = "undelivered", "63016"
    reconcile.look_up_due()
    delivery.refresh_from_db()
    assert (delivery.status, delivery.error_code) == ("failed", "63016")
