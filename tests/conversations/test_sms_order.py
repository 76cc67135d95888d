"""Two SMS of one conversation: carriers keep no order, so the second waits until the first is on its way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Organization
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from conversations import outbox, receipts, sending
from conversations.models import Conversation, Delivery
from tests.conftest import TWILIO_SID, TWILIO_TOKEN

pytestmark = pytest.mark.django_db(transaction=True)
LONG = "palavra " * 250  # two parts


@pytest.fixture
def fake(settings: Any) -> Iterator[FakeProvider]:
    with FakeProvider(callbacks=Callbacks(statuses=())) as provider:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [provider.url.removeprefix("http://")]
        yield provider


@pytest.fixture
def sms(acme: Organization, fake: FakeProvider) -> ChannelAccount:
    return ChannelAccount.objects.create(
        organization=acme, kind="twilio_sms", name="SMS", address="+12125550100", rate_per_second=100,
        config={"account_sid": TWILIO_SID, "api_base": fake.url}, secrets={"auth_token": TWILIO_TOKEN},
    )  # fmt: skip


@pytest.fixture
def talk(make_conversation: Any, ana: Membership, sms: ChannelAccount) -> Conversation:
    return make_conversation("human_handoff", agent=ana, channel=sms)


def tell(delivery: Delivery, state: str, code: str = "") -> None:
    report = Report(delivery.provider_id, State(state), timezone.now(), str(delivery.pk), code)
    receipts.apply_report(delivery.channel, report)


def sent(fake: FakeProvider) -> int:
    sending.drain(threads=2)
    return len(fake.requests())


@pytest.mark.parametrize("report", ["sent", "delivered", "failed"])
def test_the_next_part_waits_for_the_report(
    fake: FakeProvider, talk: Conversation, ana: Membership, report: str
) -> None:
    outbox.reply(talk.pk, agent=ana, text=LONG)
    assert (Delivery.objects.count(), sent(fake), sent(fake)) == (2, 1, 1)
    tell(Delivery.objects.get(part=0), report, "30007" if report == "failed" else "")
    assert sent(fake) == 2


def test_after_three_seconds_the_next_message_goes(
    fake: FakeProvider, talk: Conversation, ana: Membership
) -> None:
    for text in ("um", "dois"):
        outbox.reply(talk.pk, agent=ana, text=text)
    assert sent(fake) == 1
    Delivery.objects.filter(message__text="um").update(settled_at=timezone.now() - timedelta(seconds=2))
    assert sent(fake) == 1
    Delivery.objects.filter(message__text="um").update(settled_at=timezone.now() - timedelta(seconds=3))
    assert sent(fake) == 2


def test_other_people_need_not_wait(
    fake: FakeProvider, make_conversation: Any, ana: Membership, sms: ChannelAccount
) -> None:
    for _n in range(3):
        talk = make_conversation("human_handoff", agent=ana, channel=sms)
        outbox.reply(talk.pk, agent=ana, text="oi")
    assert sent(fake) == 3


def test_whatsapp_keeps_its_order_by_itself(
    fake: FakeProvider, make_conversation: Any, ana: Membership, twilio_channel: ChannelAccount
) -> None:
    twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
    twilio_channel.save(update_fields=["config"])
    talk = make_conversation("human_handoff", agent=ana, channel=twilio_channel)
    for text in ("um", "dois"):
        outbox.reply(talk.pk, agent=ana, text=text)
    assert sent(fake) == 2
