"""The set-up page of a channel: each step, each thing that may be wrong, and what it never shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from channels_hub.fake_account import NUMBER, SERVICE
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount
from conversations import sending
from conversations.models import Conversation, Delivery, Message, Pace
from tests import twilio
from tests.admin.pages import page
from tests.conftest import TWILIO_SID, TWILIO_TOKEN, new_channel

Press = Callable[..., str]


@pytest.fixture
def account(ours: Any) -> ChannelAccount:
    return ours[ChannelAccount]


@pytest.fixture
def look(boss: Client, account: ChannelAccount) -> Callable[[], str]:
    return lambda: boss.get(page(ChannelAccount, "set_up", account.pk)).content.decode()


@pytest.fixture
def press(boss: Client, account: ChannelAccount) -> Press:
    """Answer one of the page's forms; the page that comes back."""

    def post(step: str, **data: str) -> str:
        response = boss.post(page(ChannelAccount, "set_up", account.pk), {"step": step, **data}, follow=True)
        assert response.status_code == 200
        return response.content.decode()

    return post


def kept(account: ChannelAccount) -> ChannelAccount:
    return ChannelAccount.objects.get(pk=account.pk)


# ------------------------------------------------------------------ who
@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("admin", 200), ("supervisor", 403), ("agent", 302), ("viewer", 302)]
)
def test_only_who_may_change_channels_sees_it(ours: Any, enter: Any, role: str, status: int) -> None:
    client, url = enter(ours.members[role]), page(ChannelAccount, "set_up", ours[ChannelAccount].pk)
    assert client.get(url).status_code == status
    assert client.post(url, {"step": "switch_on"}).status_code == status


def test_a_channel_of_another_organization_has_none(boss: Client, ours: Any, theirs: Any) -> None:
    url = page(ChannelAccount, "set_up", theirs[ChannelAccount].pk)
    assert (boss.get(url).status_code, boss.post(url, {"step": "look"}).status_code) == (404, 404)
    message = theirs[Message]
    own = page(ChannelAccount, "set_up", ours[ChannelAccount].pk)
    assert theirs.mark not in boss.get(own, {"test": message.pk}).content.decode()


def test_a_channel_without_set_up_has_no_page(boss: Client, ours: Any) -> None:
    phone = new_channel(ours.organization, "phone")
    assert boss.get(page(ChannelAccount, "set_up", phone.pk)).status_code == 403
    assert "set-up" not in boss.get(page(ChannelAccount, "change", phone.pk)).content.decode()


def test_opening_it_asks_nobody(look: Any, fake: FakeProvider, monkeypatch: Any) -> None:
    monkeypatch.setattr("conversations.admin_setup.Client", None)
    assert "was not tested yet" not in look()


# ------------------------------------------------------------------ steps
def test_a_new_channel_is_led_through_all_steps(
    boss: Client, ours: Any, settings: Any, monkeypatch: Any
) -> None:
    response = boss.get(page(ChannelAccount, "set_up_new"), follow=True)
    assert 'value="twilio_whatsapp" selected' in response.content.decode()
    form = {"kind": "twilio_sms", "name": "Filial", "address": ""}
    response = boss.post(response.redirect_chain[-1][0], form, follow=True)
    assert "Still to be entered: Account SID, Auth token" in response.content.decode()
    made = ChannelAccount.objects.get(name="Filial")
    assert made.is_active is False
    url = page(ChannelAccount, "set_up", made.pk)
    with FakeProvider() as fake:
        settings.PYTAKE_ALLOW_PRIVATE_HOSTS = [fake.url.removeprefix("http://")]
        monkeypatch.setattr("channels_twilio.base.Twilio.api_base", fake.url)
        monkeypatch.setattr("channels_twilio.base.Twilio._root", lambda _self, _service: fake.url)
        keys = {"config_account_sid": TWILIO_SID, "secret_auth_token": TWILIO_TOKEN}
        html = boss.post(url, {"step": "credentials", **keys}).content.decode()
        assert "accepts the credentials" in html
        assert "+12125550100" in html
        assert "+551140000000" not in html  # it takes no SMS
        html = boss.post(url, {"step": "sender", "address": "+12125550100"}).content.decode()
        assert "Messages go out from +12125550100." in html
        assert "Twilio does not call this desk yet." in html
        html = boss.post(url, {"step": "connect"}).content.decode()
        assert "Twilio calls the right addresses." in html
        html = boss.post(url, {"step": "switch_on"}).content.decode()
        assert "The channel is switched on." in html
        (number,) = [row for row in fake.account.rows("numbers") if row["sid"] == "PN1"]
    assert number["sms_url"] == made.webhook_url() + "#rc=3&rp=all"
    assert number["sms_fallback_url"] == made.webhook_url()
    made.refresh_from_db()
    assert (made.is_active, made.address, made.keys()["auth_token"]) == (True, "+12125550100", TWILIO_TOKEN)


def test_no_secret_is_ever_shown(press: Press, look: Any, fake: FakeProvider, account: Any) -> None:
    html = press("credentials", config_account_sid=TWILIO_SID, secret_auth_token="a-new-secret")
    assert kept(account).keys()["auth_token"] == "a-new-secret"
    html += look() + press("credentials", config_account_sid=TWILIO_SID)
    assert kept(account).keys()["auth_token"] == "a-new-secret"
    assert "a-new-secret" not in html
    assert TWILIO_TOKEN not in html


def test_the_whatsapp_sender_is_set_for_me(press: Press, fake: FakeProvider, account: Any) -> None:
    html = press("look")
    assert ">Not set.<" in html
    assert NUMBER in html
    press("connect")
    (sender,) = fake.account.rows("senders")
    assert sender["webhook"]["callback_url"] == account.webhook_url() + "#rc=3&rp=all"
    assert sender["webhook"]["status_callback_url"].endswith("/status")
    assert "Twilio calls the right addresses." in press("look")


def test_a_messaging_service_decides_for_its_senders(press: Press, fake: FakeProvider, account: Any) -> None:
    press("sender", service=SERVICE)
    assert (kept(account).address, kept(account).config["messaging_service_sid"]) == ("", SERVICE)
    press("connect")
    (service,) = fake.account.rows("services")
    assert service["inbound_request_url"].endswith("inbound#rc=3&rp=all")
    assert service["use_inbound_webhook_on_number"] is False
    press("sender", address=NUMBER, service=SERVICE)
    fake.account.change("services", SERVICE, {"use_inbound_webhook_on_number": True})
    assert "leaves incoming messages to its numbers" in press("look")


@pytest.mark.parametrize(
    ("found", "words"),
    [("https://other.example/hook", "Another address is set."), (None, "Set, but without the ending.")],
)
def test_what_is_set_there_is_compared(
    press: Press, fake: FakeProvider, account: Any, found: str | None, words: str
) -> None:
    hook = {"callback_url": found or account.webhook_url()}
    fake.account.change("senders", fake.account.rows("senders")[0]["sid"], {"webhook": hook})
    html = press("look")
    assert words in html
    assert "other.example" not in html


def test_the_sandbox_is_set_by_hand(press: Press, fake: FakeProvider) -> None:
    html = press("sender", address="whatsapp:+14155238886")
    assert "The sandbox is set by hand" in html
    assert "Set it for me" not in html.partition('id="step-3"')[2]
    assert "Paste the addresses" in press("connect")


def test_a_sender_belongs_to_one_channel(press: Press, fake: FakeProvider, ours: Any, account: Any) -> None:
    other = new_channel(ours.organization, "phone")
    ChannelAccount.objects.filter(pk=other.pk).update(kind=account.kind, address="+5511900000000")
    assert "Another channel has this sender" in press("sender", address="+5511900000000")
    assert kept(account).address == NUMBER


@pytest.mark.django_db(transaction=True)
def test_the_test_message_is_followed(
    press: Press, boss: Client, fake: FakeProvider, account: Any, ours: Any
) -> None:
    assert "no phone number" in press("test", phone="ten")
    html = press("test", phone="+5511987650000")
    assert "waiting to be sent" in html
    assert 'hx-trigger="every 2s"' in html
    message = Message.objects.latest("created_at")
    Conversation.objects.filter(pk=message.conversation_id).update(last_inbound_at=timezone.now())
    sending.drain()
    url = page(ChannelAccount, "set_up", account.pk)
    part = boss.get(url, {"test": message.pk, "part": "1"}).content.decode()
    assert "accepted by the platform" in part
    assert "<html" not in part
    Message.objects.filter(pk=message.pk).update(status="failed", error_code="63015")
    part = boss.get(url, {"test": message.pk, "part": "1"}).content.decode()
    assert "The sandbox writes only to people who joined it." in part
    assert "hx-get" not in part


# ------------------------------------------------------------------ what is wrong
def test_a_wrong_token_is_said_plainly(press: Press, fake: FakeProvider, account: Any) -> None:
    ChannelAccount.objects.filter(pk=account.pk).update(secrets={"auth_token": ""})
    assert "Still to be entered: Auth token" in press("look")
    html = press("credentials", config_account_sid=TWILIO_SID, config_api_key_sid="SK1")
    assert "Still to be entered: Auth token" in html


def test_refused_credentials_are_explained(press: Press, account: Any, monkeypatch: Any) -> None:
    from_twilio = {"code": 20003, "message": "Authenticate"}
    monkeypatch.setattr(
        "channels_twilio.base.Twilio.check", lambda self, _http, _keys: self.classify(401, {}, from_twilio)
    )
    html = press("look")
    assert "Twilio says: 20003 Authenticate" in html
    assert "Check the Account SID and the auth token." in html
    assert kept(account).health == "attention"


def test_a_call_with_a_wrong_signature_is_told(look: Any, account: Any, fake: FakeProvider) -> None:
    assert "No call with a wrong signature lately." in look()
    assert twilio.post(account, twilio.form("oi"), header="forged").status_code == 403
    seen = kept(account).refused_at
    assert twilio.post(account, twilio.form("oi"), header="forged").status_code == 403
    assert kept(account).refused_at == seen, "at most one write a minute"
    html = look()
    assert "A call with a wrong signature came on" in html
    assert "PUBLIC_URL is not exactly what is called" in html
    ChannelAccount.objects.filter(pk=account.pk).update(last_inbound_at=timezone.now())
    assert "No call with a wrong signature lately." in look()


@pytest.mark.parametrize(
    ("public", "words"),
    [
        ("http://127.0.0.1:8000", "of this machine or network"),
        ("https://10.0.0.7", "of this machine or network"),
        ("http://desk.example.com", "is not encrypted"),
        ("https://desk.example.com", "You opened this page at testserver"),
        ("https://testserver.example", "You opened this page at testserver"),
    ],
)
def test_an_address_that_cannot_work_is_told(look: Any, settings: Any, public: str, words: str) -> None:
    settings.PUBLIC_URL = public
    assert words in look()


def test_a_right_address_is_green(boss: Client, account: Any, settings: Any) -> None:
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://desk.example.com", ["desk.example.com"]
    url = page(ChannelAccount, "set_up", account.pk)
    html = boss.get(url, headers={"host": "desk.example.com"}).content.decode()
    assert "can reach this desk at https://desk.example.com." in html


@pytest.mark.parametrize(
    ("code", "words"),
    [("63015", "people who joined it"), ("21610", "wrote STOP"), ("63016", "Send an approved template")],
)
def test_failures_of_the_last_days_are_explained(look: Any, ours: Any, code: str, words: str) -> None:
    Delivery.objects.filter(status="failed").update(settled_at=timezone.now() - timedelta(days=8))
    assert "Nothing failed in the last 7 days." in look()
    rows = Delivery.objects.filter(pk=ours[Delivery].pk)
    rows.update(status="failed", error_code=code, settled_at=timezone.now())
    html = look()
    assert f"1 message failed in the last 7 days: {code}" in html
    assert words in html
    rows.update(settled_at=timezone.now() - timedelta(days=8))
    assert "Nothing failed in the last 7 days." in look()


def test_rest_and_silence_are_told(look: Any, ours: Any, account: Any) -> None:
    assert "No message came in yet." in look()
    Pace.objects.create(
        organization=ours.organization, channel=account, rests_because="unreachable",
        rests_until=timezone.now() + timedelta(minutes=3),
    )  # fmt: skip
    html = look()
    assert "Sending rests until" in html
    assert "could not be reached several times in a row" in html


def test_with_nobody_there_it_says_so(press: Press, account: Any, settings: Any) -> None:
    settings.PYTAKE_ALLOW_PRIVATE_HOSTS = ["127.0.0.1:1"]
    account.config = {**account.config, "api_base": "http://127.0.0.1:1"}
    account.save(update_fields=["config"])
    assert "could not be reached" in press("look")
