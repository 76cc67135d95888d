"""Templates of the Content API: fetched, kept apart from our own buttons, submitted for approval."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from channels_hub import templates
from channels_hub.contract import Address, MaybeSent, NotSent, Option, Outcome, OutMessage, Template
from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount, MessageTemplate
from channels_hub.registry import adapter_for
from channels_twilio.contents import following, plain_name

WELCOME = {
    "friendly_name": "boas_vindas",
    "language": "pt_BR",
    "variables": {"1": "Ana", "2": "123"},
    "types": {
        "twilio/quick-reply": {
            "body": "Olá {{1}}, sobre o pedido {{2}}:",
            "actions": [{"type": "QUICK_REPLY", "title": "Falar agora", "id": "now"}],
        }
    },
}
ANA = Address("phone", "+5511987654321")


@pytest.fixture
def account(fake: FakeProvider, twilio_channel: ChannelAccount) -> Iterator[ChannelAccount]:
    twilio_channel.config = {**twilio_channel.config, "api_base": fake.url}
    twilio_channel.save(update_fields=["config"])
    return twilio_channel


@pytest.mark.django_db
def test_what_the_platform_lists_is_what_we_have(account, fake):
    sid = fake.add_content(WELCOME)
    fake.approve(sid, "approved")
    assert templates.sync(account) == 1
    row = MessageTemplate.objects.get()
    assert (row.ref, row.name, row.language, row.approval) == (sid, "boas_vindas", "pt_BR", "approved")
    assert (row.body, row.variables) == ("Olá {{1}}, sobre o pedido {{2}}:", {"1": "Ana", "2": "123"})
    assert row.buttons == [{"type": "QUICK_REPLY", "title": "Falar agora"}]
    assert row.synced_at


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("status", "approval"),
    [
        ("unsubmitted", "draft"), ("received", "pending"), ("pending", "pending"), ("approved", "approved"),
        ("rejected", "rejected"), ("paused", "paused"), ("disabled", "paused"), ("novel", "draft"),
    ],
)  # fmt: skip
def test_every_state_of_approval(account, fake, status, approval):
    fake.approve(fake.add_content(WELCOME), status, reason="why")
    templates.sync(account)
    row = MessageTemplate.objects.get()
    assert (row.approval, row.reason) == (approval, "why")


@pytest.mark.django_db
def test_a_second_reading_changes_what_changed_and_keeps_what_an_admin_chose(account, fake):
    sid, gone = fake.add_content(WELCOME), fake.add_content({**WELCOME, "friendly_name": "velha"})
    templates.sync(account)
    MessageTemplate.objects.filter(ref=sid).update(is_active=False)
    fake.approve(sid, "approved")
    del fake._contents[gone]
    templates.sync(account)
    row = MessageTemplate.objects.get()
    assert (row.ref, row.approval, row.is_active) == (sid, "approved", False)


@pytest.mark.django_db
def test_templates_made_for_buttons_are_nobodys_to_choose(account, fake, http):
    options = tuple(Option(str(n), f"Opção {n}") for n in range(3))
    adapter = adapter_for(account)
    adapter.send(
        OutMessage("r", ANA, text="?", options=options, options_style="buttons"), http, account.keys()
    )
    assert fake.report()["contents"] == 1
    assert templates.sync(account) == 0


@pytest.mark.django_db
def test_a_list_that_cannot_be_read_takes_nothing_away(account, fake):
    fake.add_content(WELCOME)
    templates.sync(account)
    fake.stop()
    with pytest.raises((NotSent, MaybeSent)):
        templates.sync(account)
    assert templates.sync_all() == 0
    assert MessageTemplate.objects.count() == 1


@pytest.mark.django_db
def test_credentials_that_are_refused_take_nothing_away(account, fake):
    fake.add_content(WELCOME)
    templates.sync(account)
    account.secrets = {}
    with pytest.raises(NotSent):
        templates.sync(account)
    assert MessageTemplate.objects.count() == 1


@pytest.mark.django_db
def test_approval_is_asked_for_by_a_plain_name(account, fake):
    fake.add_content({**WELCOME, "friendly_name": "Cobrança – 2ª via"})
    templates.sync(account)
    row = MessageTemplate.objects.get()
    assert templates.submit(row).outcome is Outcome.ACCEPTED
    assert fake._approvals[row.ref]["name"] == "cobranca_2a_via"
    templates.sync(account)
    assert MessageTemplate.objects.get().approval == "pending"


@pytest.mark.django_db
def test_a_refused_submission_changes_nothing(account, fake):
    fake.add_content(WELCOME)
    templates.sync(account)
    fake._contents.clear()
    row = MessageTemplate.objects.get()
    assert templates.submit(row).outcome is Outcome.PERMANENT
    assert MessageTemplate.objects.get().approval == "draft"


def test_a_sent_template_has_its_variables_in_one_line(twilio, http, fake):
    sid = fake.add_content(WELCOME)
    part = OutMessage("r", ANA, template=Template(sid, body={"1": "Ana\nMaria", "2": "7"}))
    assert twilio.send(part, http, {"auth_token": "x"}).outcome is Outcome.ACCEPTED
    assert fake.requests()[-1]["body"] == "Olá Ana Maria, sobre o pedido 7:"


def test_the_next_page_is_asked_of_the_host_that_we_asked():
    listed = {"meta": {"next_page_url": "https://evil.example/v1/ContentAndApprovals?Page=1"}}
    root = "https://content.twilio.com"
    assert following(listed, root) == f"{root}/v1/ContentAndApprovals?Page=1"
    assert following({"meta": {}}, root) == ""


def test_a_name_without_letters_is_still_a_name():
    assert plain_name("👋") == "template"
