"""A webhook comes in: verified, stored once, answered; processed after with all its effects."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Organization
from channels_hub.models import ChannelAccount, InboundEvent
from contacts.models import Contact
from conversations import handoff, intake
from conversations.models import Conversation, Event, Message
from tests import twilio
from tests.conftest import another_session

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_signed_message_becomes_a_row_and_then_a_conversation(twilio_channel: ChannelAccount) -> None:
    answer = twilio.post(twilio_channel, twilio.form("Olá, preciso de ajuda"))

    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "text/xml", b"<Response/>")
    assert InboundEvent.objects.get().state == "new"
    intake.drain()
    message = Message.objects.get()
    assert (message.text, message.sender, message.seq) == ("Olá, preciso de ajuda", "contact", 1)
    conversation = message.conversation
    assert (conversation.state, conversation.unread, conversation.contact.name) == ("pending", 1, "Ana Souza")
    assert InboundEvent.objects.get().state == "done"


def test_a_bad_signature_is_refused_and_leaves_no_row(twilio_channel: ChannelAccount) -> None:
    fields = twilio.form()
    for header in ["", "wrong", twilio.signature("http://elsewhere/", fields), "é", "a" * 5000]:
        assert twilio.post(twilio_channel, fields, header=header).status_code == 403
    fields["Body"] += "x"
    good_for_another_body = twilio.signature("http://127.0.0.1:8000/", twilio.form())
    assert twilio.post(twilio_channel, fields, header=good_for_another_body).status_code == 403
    assert not InboundEvent.objects.exists()


def test_a_channel_without_a_secret_accepts_nobody(twilio_channel: ChannelAccount) -> None:
    twilio_channel.secrets = {"auth_token": ""}
    twilio_channel.save(update_fields=["secrets"])
    fields = twilio.form()
    path = f"http://127.0.0.1:8000/webhooks/twilio/{twilio_channel.public_id}/inbound"
    answer = twilio.post(twilio_channel, fields, header=twilio.signature(path, fields, token=""))
    assert answer.status_code == 403
    assert not InboundEvent.objects.exists()


def test_an_unknown_channel_says_no_more_than_a_wrong_signature(twilio_channel: ChannelAccount) -> None:
    twilio_channel.public_id = "0" * 32
    assert twilio.post(twilio_channel, twilio.form()).status_code == 403


def test_a_signed_but_unreadable_body_is_kept_as_dead_with_its_reason(twilio_channel: ChannelAccount) -> None:
    fields = twilio.form()
    del fields["MessageSid"]
    assert twilio.post(twilio_channel, fields).status_code == 200
    row = InboundEvent.objects.get()
    assert row.state == "dead"
    assert "MessageSid" in row.reason


def test_another_account_in_a_signed_body_is_ignored_with_the_reason(twilio_channel: ChannelAccount) -> None:
    assert twilio.post(twilio_channel, twilio.form(AccountSid="AC" + "9" * 32)).status_code == 200
    row = InboundEvent.objects.get()
    assert (row.state, bool(row.reason)) == ("ignored", True)
    intake.drain()
    assert not Conversation.objects.exists()


def test_the_same_event_twice_is_one_message(twilio_channel: ChannelAccount) -> None:
    fields = twilio.form()
    for _ in range(3):
        assert twilio.post(twilio_channel, fields).status_code == 200
    intake.drain()
    assert twilio.post(twilio_channel, fields).status_code == 200
    intake.drain()
    assert (InboundEvent.objects.count(), Message.objects.count()) == (1, 1)


def test_the_bare_twilio_address_finds_the_channel_by_what_the_body_says(
    twilio_channel: ChannelAccount,
) -> None:
    fields = twilio.form()
    header = twilio.signature("http://127.0.0.1:8000/webhooks/twilio", fields)
    form_type = "application/x-www-form-urlencoded"
    answer = Client().post(
        "/webhooks/twilio", _encoded(fields), form_type, headers={"X-Twilio-Signature": header}
    )
    assert answer.status_code == 200
    intake.drain()
    assert Message.objects.get().channel_id == twilio_channel.pk


def _encoded(fields: dict[str, str]) -> str:
    return "&".join(f"{name}={value.replace('+', '%2B').replace(' ', '+')}" for name, value in fields.items())


def test_only_get_and_post_are_answered_and_a_huge_body_is_refused(twilio_channel: ChannelAccount) -> None:
    path = f"/webhooks/twilio/{twilio_channel.public_id}/inbound"
    assert Client().put(path).status_code == 405
    assert Client().post(path, b"x" * (4 * 1024 * 1024 + 1), "text/plain").status_code == 413
    assert not InboundEvent.objects.exists()


def test_a_poisoned_event_never_blocks_the_others(
    twilio_channel: ChannelAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = intake.receive

    def poisoned(account: ChannelAccount, told: object) -> str:
        if told.text == "veneno":
            raise RuntimeError("boom")
        return receive(account, told)

    monkeypatch.setattr(intake, "receive", poisoned)
    for text in ("um", "veneno", "dois"):
        twilio.post(twilio_channel, twilio.form(text))
    intake.drain()
    assert list(Message.objects.order_by("seq").values_list("text", flat=True)) == ["um", "dois"]
    for _ in range(5):
        InboundEvent.objects.filter(state="new").update(next_attempt_at=timezone.now())
        intake.drain()
    row = InboundEvent.objects.get(state="dead")
    assert row.attempts == 5
    monkeypatch.undo()
    intake.replay(row.pk)
    intake.drain()
    assert Message.objects.filter(text="veneno").count() == 1


def test_a_message_on_a_closed_conversation_opens_a_new_one(twilio_channel: ChannelAccount) -> None:
    twilio.post(twilio_channel, twilio.form("um"))
    intake.drain()
    from_first = Conversation.objects.get()
    handoff.close(from_first.pk, actor=None)
    twilio.post(twilio_channel, twilio.form("dois"))
    intake.drain()
    assert sorted(Conversation.objects.values_list("state", flat=True)) == ["closed", "pending"]
    assert Contact.objects.count() == 1


def test_the_ninth_digit_is_one_person(twilio_channel: ChannelAccount) -> None:
    twilio.post(twilio_channel, twilio.form(sender="+5511987654321"))
    twilio.post(twilio_channel, twilio.form(sender="+551187654321"))
    intake.drain()
    assert Contact.objects.count() == 1
    assert Conversation.objects.count() == 1


def test_text_with_nul_and_lone_surrogates_is_stored_safely(twilio_channel: ChannelAccount) -> None:
    assert twilio.post(twilio_channel, twilio.form("a\0b", ProfileName="x\0y")).status_code == 200
    intake.drain()
    message = Message.objects.get()
    assert "\0" not in message.text
    assert message.text.startswith("a")


def test_a_status_for_an_unknown_message_is_parked_and_then_dropped(twilio_channel: ChannelAccount) -> None:
    twilio.post_status(twilio_channel, "SM" + "7" * 32, "delivered", "")
    intake.drain()
    row = InboundEvent.objects.get()
    assert (row.state, "parked" in row.reason) == ("new", True)
    long_ago = timezone.now() - timedelta(minutes=11)
    InboundEvent.objects.update(received_at=long_ago, next_attempt_at=long_ago)
    intake.drain()
    assert InboundEvent.objects.get().state == "ignored"


def test_the_ledger_has_no_gap_and_says_where_each_message_stands(twilio_channel: ChannelAccount) -> None:
    for text in ("um", "dois", "três"):
        twilio.post(twilio_channel, twilio.form(text))
    intake.drain()
    conversation = Conversation.objects.get()
    assert list(conversation.events.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3]
    assert conversation.seq == 3
    messages = {str(m.pk): m.seq for m in Message.objects.all()}
    assert {e.data["message"]: e.seq for e in Event.objects.all()} == messages


def test_a_blocked_contact_is_not_taken_in(twilio_channel: ChannelAccount, acme: Organization) -> None:
    twilio.post(twilio_channel, twilio.form())
    intake.drain()
    Contact.objects.update(blocked_at=timezone.now())
    twilio.post(twilio_channel, twilio.form("de novo"))
    intake.drain()
    assert Message.objects.count() == 1
    assert InboundEvent.objects.filter(state="ignored", reason="the contact is blocked").exists()


def test_a_database_connection_that_died_costs_no_webhook(twilio_channel: ChannelAccount) -> None:
    assert twilio.post(twilio_channel, twilio.form("um")).status_code == 200
    connection.cursor().connection.pgconn.finish()  # as if the server had been restarted
    assert twilio.post(twilio_channel, twilio.form("dois")).status_code == 200
    assert InboundEvent.objects.count() == 2


def test_a_webhook_costs_one_statement(
    twilio_channel: ChannelAccount, settings: object, django_assert_num_queries: object
) -> None:
    settings.PYTAKE_CHANNEL_CACHE_SECONDS = 60.0
    twilio.post(twilio_channel, twilio.form("um"))
    with django_assert_num_queries(1):
        twilio.post(twilio_channel, twilio.form("dois"))


def test_what_was_closed_between_look_up_and_lock_gets_a_new_conversation(
    twilio_channel: ChannelAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    twilio.post(twilio_channel, twilio.form("um"))
    intake.drain()
    closed = Conversation.objects.get()
    handoff.close(closed.pk, actor=None)
    found = iter([closed.pk])
    truly = intake.open_conversation
    monkeypatch.setattr(intake, "open_conversation", lambda *a, **k: next(found, None) or truly(*a, **k))
    twilio.post(twilio_channel, twilio.form("dois"))
    intake.drain()
    assert Conversation.objects.open().get().messages.get().text == "dois"
    assert not InboundEvent.objects.exclude(state="done").exists()
    assert closed.messages.count() == 1


def test_the_channels_last_sign_is_kept_to_the_minute_and_never_waited_for(
    twilio_channel: ChannelAccount,
) -> None:
    heard = ChannelAccount.objects.filter(pk=twilio_channel.pk).values_list("last_inbound_at", flat=True)
    twilio.post(twilio_channel, twilio.form("um"))
    intake.drain()
    first = heard.get()
    twilio.post(twilio_channel, twilio.form("dois"))
    intake.drain()
    assert heard.get() == first
    ChannelAccount.objects.update(last_inbound_at=first - timedelta(minutes=2))
    with another_session() as other:
        other.execute("SELECT 1 FROM channels_hub_channelaccount FOR NO KEY UPDATE")
        twilio.post(twilio_channel, twilio.form("três"))
        intake.drain()
        assert Message.objects.count() == 3
    twilio.post(twilio_channel, twilio.form("quatro"))
    intake.drain()
    assert heard.get() > first
