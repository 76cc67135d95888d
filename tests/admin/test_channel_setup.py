"""Setting a Twilio channel up: the address to paste, what is wrong, a test message, templates."""

from __future__ import annotations

import pytest

from channels_hub.models import ChannelAccount, MessageTemplate
from conversations.models import Delivery, Message
from tests.admin.pages import act, page


@pytest.fixture
def press(boss, ours):
    return lambda model, name, **data: " ".join(act(boss, ours[model], name, **data))


def test_the_address_to_paste_has_the_options_for_repeated_tries(boss, ours):
    html = boss.get(page(ChannelAccount, "change", ours[ChannelAccount].pk)).content.decode()
    assert "inbound#rc=3&amp;rp=all" in html


def test_what_is_wrong_is_said_in_plain_words(press, ours, fake):
    ours[ChannelAccount].secrets = {}
    ours[ChannelAccount].save(update_fields=["secrets"])
    assert "Check the Account SID and the auth token" in press(ChannelAccount, "check_connection")


def test_a_test_message_goes_by_the_outbox(press, ours, fake):
    name = "send_test"
    before = Delivery.objects.count()
    assert "no phone number" in press(ChannelAccount, name, phone="ten")
    assert Delivery.objects.count() == before
    assert "on its way" in press(ChannelAccount, name, phone="+5511987650000")
    assert Delivery.objects.count() == before + 1
    assert Message.objects.latest("created_at").conversation.channel_id == ours[ChannelAccount].pk


def test_templates_are_fetched_and_submitted(press, ours, fake):
    sid = fake.add_content(
        {"friendly_name": "ola", "language": "pt_BR", "types": {"twilio/text": {"body": "Olá"}}}
    )
    assert "Templates at the platform: 1" in press(ChannelAccount, "fetch_templates")
    row = MessageTemplate.objects.get()
    assert (row.ref, row.approval) == (sid, "draft")
    ours.objects[MessageTemplate] = row
    assert "Submitted" in press(MessageTemplate, "ask_for_approval")
    row.refresh_from_db()
    assert row.approval == "pending"
