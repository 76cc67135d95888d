"""Channels in the admin: secrets go in and never come out."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from accounts.models import AuditEntry
from channels_hub.models import ChannelAccount
from channels_hub.vocabulary import Outcome, SendResult
from channels_twilio.adapter import TwilioWhatsApp
from conversations.models import Reception
from flows.models import Flow
from tests.admin.pages import act, form_data, page, said
from tests.admin.world import World
from tests.conftest import TWILIO_TOKEN

PLANTED = "planted-secret-0123456789"


def address(world: World) -> str:
    return page(ChannelAccount, "change", world[ChannelAccount].pk)


def stored(world: World) -> ChannelAccount:
    return ChannelAccount.objects.get(pk=world[ChannelAccount].pk)


def test_a_secret_is_stored_and_never_shown_again(boss: Client, ours: World) -> None:
    data = form_data(boss.get(address(ours))) | {"secret_auth_token": PLANTED}

    response = boss.post(address(ours), data, follow=True)
    pages = (
        response.content + boss.get(address(ours)).content + boss.get(page(AuditEntry, "changelist")).content
    )

    assert stored(ours).secrets == {"auth_token": PLANTED}
    assert PLANTED.encode() not in pages
    assert TWILIO_TOKEN.encode() not in pages


def test_a_form_that_comes_back_with_an_error_shows_no_secret(boss: Client, ours: World) -> None:
    other = f'{{"api_key_secret": "{PLANTED}"}}'
    data = form_data(boss.get(address(ours)))
    data |= {"secret_auth_token": PLANTED, "other_secrets": other, "other_config": "not json", "name": ""}

    response = boss.post(address(ours), data)

    assert response.status_code == 200
    assert response.context["adminform"].form.errors.keys() == {"name", "other_config"}
    assert PLANTED.encode() not in response.content


def test_an_empty_field_keeps_the_secret_and_null_removes_another(boss: Client, ours: World) -> None:
    data = form_data(boss.get(address(ours))) | {"other_secrets": '{"api_key_secret": "x"}'}
    boss.post(address(ours), data)
    assert stored(ours).secrets == {"auth_token": TWILIO_TOKEN, "api_key_secret": "x"}

    data = form_data(boss.get(address(ours))) | {"other_secrets": '{"api_key_secret": null}'}
    boss.post(address(ours), data)
    assert stored(ours).secrets == {"auth_token": TWILIO_TOKEN}


def test_the_audit_names_the_fields_and_not_their_values(boss: Client, ours: World) -> None:
    data = form_data(boss.get(address(ours))) | {"secret_auth_token": PLANTED}
    boss.post(address(ours), data)

    entry = AuditEntry.objects.get(action="channelaccount.changed")
    assert entry.data == {"fields": ["secret_auth_token"]}


def test_a_change_raises_the_revision_and_touches_only_what_changed(boss: Client, ours: World) -> None:
    before = stored(ours)
    data = form_data(boss.get(address(ours))) | {"name": "Renamed"}
    ChannelAccount.objects.filter(pk=before.pk).update(health="ok")  # a worker, meanwhile

    boss.post(address(ours), data)

    after = stored(ours)
    assert (after.name, after.revision, after.health) == ("Renamed", before.revision + 1, "ok")


@pytest.mark.parametrize("bad", ["[1]", "{", '{"a": 1}'])
def test_other_secrets_are_texts_in_an_object(boss: Client, ours: World, bad: str) -> None:
    response = boss.post(address(ours), form_data(boss.get(address(ours))) | {"other_secrets": bad})

    assert "other_secrets" in response.context["adminform"].form.errors
    assert stored(ours).secrets == {"auth_token": TWILIO_TOKEN}


def test_a_supervisor_sees_which_secrets_are_set_and_can_enter_none(lead: Client, ours: World) -> None:
    html = lead.get(address(ours)).content.decode()

    assert "auth_token" in html
    assert TWILIO_TOKEN not in html
    assert 'type="password"' not in html
    assert lead.post(address(ours), {"secret_auth_token": PLANTED}).status_code == 403


def test_the_webhook_address_is_there_to_copy(boss: Client, ours: World) -> None:
    assert stored(ours).webhook_url() in boss.get(address(ours)).content.decode()


def test_a_new_channel_is_off_until_its_secrets_are_there(boss: Client, ours: World) -> None:
    response = boss.post(
        page(ChannelAccount, "add"), {"kind": "twilio_whatsapp", "name": "New", "address": "+551130000009"}
    )
    made = ChannelAccount.objects.get(name="New")
    url = page(ChannelAccount, "change", made.pk)
    assert (response.url, made.is_active) == (url, False)

    refused = boss.post(url, form_data(boss.get(url)) | {"is_active": "on"})
    assert "account_sid" in str(refused.context["adminform"].form.errors)
    boss.post(
        url,
        form_data(boss.get(url)) | {"is_active": "on", "config_account_sid": "AC1", "secret_auth_token": "x"},
    )
    made = ChannelAccount.objects.get(pk=made.pk)
    assert (made.is_active, made.config, made.secrets) == (True, {"account_sid": "AC1"}, {"auth_token": "x"})


def test_an_address_that_is_taken_is_a_form_error(boss: Client, ours: World) -> None:
    response = boss.post(
        page(ChannelAccount, "add"),
        {"kind": "twilio_whatsapp", "name": "Twin", "address": ours[ChannelAccount].address},
    )

    assert response.status_code == 200
    assert response.context["adminform"].form.errors


@pytest.mark.parametrize(("outcome", "health"), [(Outcome.ACCEPTED, "ok"), (Outcome.PERMANENT, "attention")])
def test_testing_the_connection_asks_the_platform_outside_a_transaction(
    boss: Client, ours: World, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, health: str
) -> None:
    depths: list[int] = []
    around = len(connection.savepoint_ids)

    def check(self: Any, http: Any, secrets: Any) -> SendResult:
        depths.append(len(connection.savepoint_ids) - around)
        return SendResult(outcome, code="20003", detail="Authenticate")

    monkeypatch.setattr(TwilioWhatsApp, "check", check)
    told = act(boss, ours[ChannelAccount], "check_connection")

    assert depths == [0]
    assert stored(ours).health == health
    assert ("20003 Authenticate" in told[0]) == (health == "attention")


def test_a_supervisor_may_not_test_the_connection(lead: Client, ours: World) -> None:
    url = page(ChannelAccount, "check_connection", ours[ChannelAccount].pk)

    assert lead.get(url).status_code == 403
    assert lead.post(url, {"_form_submitted": "on"}).status_code == 403


def test_who_receives_a_first_message_is_set_on_the_channel(boss: Client, ours: World) -> None:
    data = form_data(boss.get(address(ours)))
    data |= {"reception-TOTAL_FORMS": "1", "reception-0-default_flow": str(ours[Flow].pk)}

    response = boss.post(address(ours), data)

    assert response.status_code == 302, said(response)
    reception = Reception.objects.get(channel=ours[ChannelAccount])
    assert (reception.default_flow_id, reception.organization_id) == (ours[Flow].pk, ours.organization.pk)


def test_a_channel_whose_adapter_is_gone_can_still_be_opened(boss: Client, ours: World) -> None:
    ChannelAccount.objects.filter(pk=ours[ChannelAccount].pk).update(kind="retired")

    assert boss.get(address(ours)).status_code == 200
    assert boss.get(page(ChannelAccount, "changelist")).status_code == 200
