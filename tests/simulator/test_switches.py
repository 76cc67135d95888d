"""Each switch of a phone and of the platform leads to the delivery status that it should."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from channels_hub.models import ChannelAccount
from channels_hub.simulator import platform, services
from channels_hub.simulator.services import Written
from conversations.can_send import can_send
from conversations.models import Conversation
from conversations.moves import database_now
from tests.simulator.conftest import shown_on

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(phones_channel, mariana, receiving, desk):
    """Mariana wrote; the bot's greeting waits to be sent."""
    services.write(phones_channel, mariana.pk, Written(text="oi"))
    desk.listen()
    return desk


def fail(channel: ChannelAccount, failure: str, times: int | None = None, latency_ms: int = 0) -> None:
    platform.set_switches(channel.pk, latency_ms=latency_ms, failure=failure, failures_left=times)


def from_desk(phone) -> list[str]:
    return [message.text for message in shown_on(phone) if not message.is_mine]


def first(desk):
    return desk.deliveries()[0]


def test_429_waits_as_long_as_the_platform_says_and_burns_no_attempt(phones_channel, mariana, asked):
    fail(phones_channel, "429", times=1)
    asked.send()

    delivery = first(asked)
    assert (delivery.status, delivery.attempts, delivery.error_code) == ("retrying", 0, "busy")
    assert timedelta(seconds=1) < delivery.due_at - database_now() <= timedelta(seconds=2)
    assert from_desk(mariana) == []

    asked.hurry()
    asked.send()
    assert first(asked).status == "sent"
    assert len(from_desk(mariana)) == 2


def test_500_is_tried_again(phones_channel, mariana, asked):
    fail(phones_channel, "500", times=1)
    asked.send()

    assert (first(asked).status, first(asked).attempts) == ("retrying", 1)
    asked.hurry()
    asked.send()
    assert first(asked).status == "sent"


def test_a_lost_answer_is_unknown_until_the_phone_reports_by_our_reference(phones_channel, mariana, asked):
    fail(phones_channel, "lost", times=1)
    asked.send()

    assert (first(asked).status, first(asked).provider_id) == ("unknown", "")
    assert len(from_desk(mariana)) == 1  # it was taken, and is not sent twice

    services.confirm_all(phones_channel, mariana.pk)
    asked.listen()
    assert first(asked).status == "read"
    assert first(asked).provider_id == str(shown_on(mariana)[1].pk)


def test_a_lost_answer_of_a_phone_that_is_off_becomes_sent(phones_channel, mariana, asked):
    services.set_phone(mariana.pk, receives=False, reads=False, always_on=False)
    fail(phones_channel, "lost", times=1)
    asked.send()
    services.confirm_all(phones_channel, mariana.pk)
    asked.listen()

    assert first(asked).status == "sent"


def test_what_the_platform_reports_as_failed_is_failed(phones_channel, mariana, asked):
    fail(phones_channel, "failed", times=1)
    asked.send()
    services.confirm_all(phones_channel, None)
    asked.listen()

    assert (first(asked).status, first(asked).error_code) == ("failed", "undeliverable")


def test_failures_stop_after_the_number_asked_for(phones_channel, mariana, asked):
    fail(phones_channel, "500", times=2)
    for _attempt in range(3):
        asked.hurry()
        asked.send()

    assert first(asked).status == "sent"
    phones_channel.refresh_from_db()
    assert platform.switches_of(phones_channel) == platform.Switches()


def test_without_a_number_the_platform_fails_until_it_is_switched_off(phones_channel, mariana, asked):
    fail(phones_channel, "500")
    asked.send()
    asked.hurry()
    asked.send()
    assert first(asked).status == "retrying"

    fail(phones_channel, "ok", times=7)
    asked.hurry()
    asked.send()
    assert first(asked).status == "sent"


def test_delay_holds_the_answer_back(phones_channel, mariana, asked):
    fail(phones_channel, "ok", latency_ms=400)
    started = time.monotonic()
    asked.send()

    assert time.monotonic() - started >= 0.8  # greeting and menu
    assert first(asked).status == "sent"


def test_a_phone_that_is_off_gets_its_messages_when_it_is_on_again(phones_channel, mariana, asked):
    services.set_phone(mariana.pk, receives=False, reads=True, always_on=False)
    asked.send()
    services.confirm_all(phones_channel, mariana.pk)
    asked.listen()
    assert first(asked).status == "sent"

    services.set_phone(mariana.pk, receives=True, reads=True, always_on=False)
    services.confirm_all(phones_channel, mariana.pk)
    asked.listen()
    assert first(asked).status == "read"


def test_without_read_receipts_the_desk_learns_of_delivery_only(phones_channel, mariana, asked):
    services.set_phone(mariana.pk, receives=True, reads=False, always_on=False)
    asked.send()
    services.confirm_all(phones_channel, mariana.pk)
    asked.listen()

    assert first(asked).status == "delivered"


def test_a_phone_that_is_always_on_confirms_without_a_page(phones_channel, mariana, asked):
    services.set_phone(mariana.pk, receives=True, reads=True, always_on=True)
    asked.send()
    asked.listen()

    assert [delivery.status for delivery in asked.deliveries()] == ["read", "read"]


def test_a_report_that_did_not_get_through_is_told_at_the_next_poll(phones_channel, mariana, asked, settings):
    asked.send()
    here, settings.INTERNAL_URL = settings.INTERNAL_URL, "http://127.0.0.1:9"
    services.confirm_all(phones_channel, None)
    settings.INTERNAL_URL = here
    services.confirm_all(phones_channel, None)
    asked.listen()

    assert first(asked).status == "delivered"


def test_24_hours_later_the_window_is_closed_until_the_customer_writes(phones_channel, mariana, asked):
    platform.move_clock(phones_channel.pk, platform.DAY)
    conversation = Conversation.objects.select_related("channel", "contact").get()
    assert can_send(conversation, human=True, now=database_now()).code == "window_closed"

    phones_channel.refresh_from_db()
    services.write(phones_channel, mariana.pk, Written(text="ainda estou aqui"))
    asked.listen()
    conversation = Conversation.objects.select_related("channel", "contact").get()
    assert can_send(conversation, human=True, now=database_now()).ok


def test_the_clock_goes_back_to_now(phone_channel):
    platform.move_clock(phone_channel.pk, platform.DAY)
    platform.move_clock(phone_channel.pk, platform.DAY)
    phone_channel.refresh_from_db()
    assert platform.offset(phone_channel) == 2 * platform.DAY

    platform.move_clock(phone_channel.pk, None)
    phone_channel.refresh_from_db()
    assert platform.offset(phone_channel) == timedelta(0)
