"""Accounts and the raw inbox: secrets stay hidden, events are kept once, a parser's crash loses nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django_scopes import scope
from django_scopes.exceptions import ScopeError

from channels_hub import inbox, lookup, registry
from channels_hub.contract import BadPayload, Kind
from channels_hub.contract import InboundEvent as Event
from channels_hub.models import ChannelAccount, InboundEvent
from channels_twilio.adapter import TwilioWhatsApp
from tests.channels_hub.conftest import unscoped
from tests.channels_twilio.recorded import changed, recorded
from tests.conftest import TWILIO_SID, new_channel


@pytest.fixture
def adapter(twilio_channel):
    return registry.adapter_for(twilio_channel)


def keep(account, adapter, *requests):
    return [pk for request in requests for pk in inbox.keep(account, adapter, request)]


# ------------------------------------------------------------------ accounts
def test_an_account_knows_its_urls(twilio_channel, phone_channel, settings):
    settings.PUBLIC_URL = "https://hooks.example.org/"
    root = f"https://hooks.example.org/webhooks/twilio/{twilio_channel.public_id}/"
    assert twilio_channel.webhook_base() == root
    assert twilio_channel.webhook_url() == f"{root}inbound"
    assert registry.adapter_for(twilio_channel).callback_url == root
    assert phone_channel.webhook_url().endswith(f"/webhooks/phone/{phone_channel.public_id}/")
    assert len(twilio_channel.public_id) == 32


def test_secrets_are_encrypted_and_only_their_names_are_told(twilio_channel):
    twilio_channel.secrets = {"auth_token": "very secret", "shared_key": ""}
    twilio_channel.save(update_fields=["secrets"])
    assert twilio_channel.has_secrets() == ["auth_token"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM channels_hub_channelaccount WHERE id = %s", [twilio_channel.pk])
        assert b"very secret" not in bytes(cursor.fetchone()[0])
    assert ChannelAccount.objects.get(pk=twilio_channel.pk).secrets["auth_token"] == "very secret"


def test_one_account_per_address_but_many_without_one(acme, twilio_channel):
    with pytest.raises(IntegrityError), transaction.atomic():
        new_channel(acme, "twilio_whatsapp")
    for _time in range(2):
        ChannelAccount.objects.create(organization=acme, kind="twilio_whatsapp", name="x")


def test_health_is_recorded_with_its_time(twilio_channel):
    twilio_channel.mark("attention", "x" * 400)
    found = ChannelAccount.objects.get(pk=twilio_channel.pk)
    assert (found.health, len(found.health_detail)) == ("attention", 300)
    assert found.health_at


def test_the_registry_refuses_what_is_no_adapter(settings):
    settings.CHANNEL_ADAPTERS = {"odd": "channels_hub.models.ChannelAccount"}
    with pytest.raises(Exception, match="not a channel adapter"):
        registry.adapter_class("odd")
    with pytest.raises(KeyError):
        registry.adapter_class("fax")


def test_kinds_share_a_path(settings):
    settings.CHANNEL_ADAPTERS = settings.CHANNEL_ADAPTERS | {
        "twilio_sms": settings.CHANNEL_ADAPTERS["twilio_whatsapp"]
    }
    assert registry.kinds_at("twilio") == ("twilio_whatsapp", "twilio_sms")
    assert registry.kinds_at("fax") == ()


# ------------------------------------------------------------------ lookup
def test_a_channel_is_found_by_its_url_without_a_scope(twilio_channel):
    with unscoped():
        assert lookup.by_public_id("twilio", twilio_channel.public_id) == twilio_channel
        assert lookup.by_public_id("phone", twilio_channel.public_id) is None
        assert lookup.by_public_id("twilio", "0" * 32) is None


def test_the_bare_url_finds_every_candidate_by_account_and_number(twilio_channel, rival):
    with scope(organization=rival):
        theirs = new_channel(rival, "twilio_whatsapp")
    with unscoped():
        for name in ("text", "status_read"):
            found = lookup.by_body("twilio", recorded(name))
            assert {one.pk for one in found} == {twilio_channel.pk, theirs.pk}
        assert lookup.by_body("twilio", changed("text", AccountSid="AC2")) == []
        assert lookup.by_body("twilio", changed("text", To="whatsapp:+551131111111")) == []


# ------------------------------------------------------------------ keeping
def test_an_event_is_kept_once(twilio_channel, adapter):
    keep(twilio_channel, adapter, recorded("text"), recorded("text"), recorded("status_read"))
    kinds = InboundEvent.objects.order_by("kind").values_list("kind", "state")
    assert list(kinds) == [("message", "new"), ("status", "new")]


def test_the_same_event_of_another_account_is_another_event(acme, twilio_channel, adapter, rival):
    with scope(organization=rival):
        theirs = new_channel(rival, "twilio_whatsapp")
        keep(theirs, adapter, recorded("text"))
        assert InboundEvent.objects.count() == 1
    keep(twilio_channel, adapter, recorded("text"))
    assert InboundEvent.objects.count() == 1


def test_a_row_gives_its_event_back(twilio_channel, adapter):
    [pk] = keep(twilio_channel, adapter, recorded("status_failed"))
    row = InboundEvent.objects.get(pk=pk)
    assert inbox.read(row, adapter) == next(iter(adapter.parse(recorded("status_failed"))))
    assert row.headers == {"content-type": "application/x-www-form-urlencoded"}
    row.part = 3
    with pytest.raises(BadPayload):
        inbox.read(row, adapter)


def test_nothing_personal_can_be_read_in_the_table(twilio_channel, adapter):
    keep(twilio_channel, adapter, recorded("text"))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT row_to_json(channels_hub_inboundevent)::text, body FROM channels_hub_inboundevent"
        )
        shown, body = cursor.fetchone()
    for word in ("5511987654321", "Ana", "ajuda"):
        assert word not in shown
        assert word.encode() not in bytes(body)


def test_a_person_s_messages_and_statuses_share_a_key(twilio_channel, adapter):
    keep(twilio_channel, adapter, recorded("text"), recorded("image"), recorded("status_failed"))
    keep(twilio_channel, adapter, recorded("button_bsuid"))
    keys = [
        bytes(key)
        for key in InboundEvent.objects.order_by("received_at", "id").values_list("sender_key", flat=True)
    ]
    assert len(keys[0]) == 16
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_a_key_of_any_length_fits(twilio_channel):
    for dedup in ("", "x" * 9000, "\ud800"):
        assert len(InboundEvent.key_for(twilio_channel, dedup)) == 32


def test_keys_depend_on_the_secret_key(twilio_channel, settings):
    before = InboundEvent.key_for(twilio_channel, "SM1")
    settings.SECRET_KEY = "another"
    assert InboundEvent.key_for(twilio_channel, "SM1") != before


def test_a_notice_is_ignored_with_its_reason(twilio_channel, adapter):
    assert keep(twilio_channel, adapter, changed("text", AccountSid="AC9")) == []
    row = InboundEvent.objects.get()
    assert (row.state, row.reason) == ("ignored", "AccountSid of another account")
    assert row.processed_at


def test_a_broken_body_is_one_dead_row_with_its_reason(twilio_channel, adapter):
    broken = changed("text", MessageSid=None)
    assert keep(twilio_channel, adapter, broken, broken) == []
    row = InboundEvent.objects.get()
    assert (row.state, row.reason, row.kind) == ("dead", "no MessageSid", "unreadable")
    assert row.request().body == broken.body


class Crashing(TwilioWhatsApp):
    def parse(self, request):
        yield Event(Kind.MESSAGE, "first", request.received_at)
        raise RuntimeError("secret detail")


class Batching(TwilioWhatsApp):
    def parse(self, request):
        for number in range(3):
            yield Event(Kind.MESSAGE, f"e{number}", request.received_at, message_id=str(number))


def test_a_crash_of_the_parser_is_kept_for_a_replay(twilio_channel, adapter):
    assert keep(twilio_channel, Crashing({}, ""), recorded("text")) == []
    row = InboundEvent.objects.get()
    assert (row.state, row.reason) == ("dead", "parser: RuntimeError")
    assert inbox.replay(row, Crashing({}, "")) == []
    [pk] = inbox.replay(row, adapter)
    assert InboundEvent.objects.get(pk=pk).state == "new"
    row = InboundEvent.objects.get(pk=row.pk)
    assert (row.state, row.reason) == ("ignored", "split again into 1")


def test_a_dead_event_is_made_new_again(twilio_channel, adapter):
    [pk] = keep(twilio_channel, adapter, recorded("text"))
    InboundEvent.objects.filter(pk=pk).update(
        state="dead", attempts=5, next_attempt_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    assert inbox.replay(InboundEvent.objects.get(pk=pk), adapter) == [pk]
    row = InboundEvent.objects.get(pk=pk)
    assert (row.state, row.attempts) == ("new", 0)
    assert row.next_attempt_at < datetime.now(UTC) + timedelta(seconds=1)


def test_a_batch_with_one_known_event_adds_the_others(twilio_channel):
    adapter = Batching({"account_sid": TWILIO_SID}, "")
    assert len(keep(twilio_channel, adapter, recorded("text"))) == 3
    keep(twilio_channel, adapter, replace(recorded("text"), body=b"other"))
    assert [row.part for row in InboundEvent.objects.order_by("part")] == [0, 1, 2]


def test_the_inbox_refuses_to_be_read_without_a_scope(twilio_channel):
    with unscoped(), pytest.raises(ScopeError):
        InboundEvent.objects.count()
