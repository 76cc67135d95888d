"""Channels: secrets that never come back, who receives, whether they work."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection

from accounts.models import AuditEntry, Membership
from channels_hub.contract import Outcome, SendResult
from channels_hub.models import ChannelAccount
from channels_twilio.adapter import TwilioWhatsApp
from conversations.models import Reception
from flows.models import Flow
from queues.models import Queue
from tests.api.caller import Calls
from tests.conftest import TWILIO_SID, TWILIO_TOKEN

SHAPE = {
    "id", "kind", "name", "address", "config", "has_secrets", "default_flow", "default_queue", "is_active",
    "webhook_url", "health", "health_detail", "health_at", "revision", "created_at",
}  # fmt: skip
TWILIO = {
    "kind": "twilio_whatsapp",
    "name": "WhatsApp",
    "address": "+5511300000009",
    "config": {"account_sid": TWILIO_SID, "api_base": "http://127.0.0.1:9999"},
    "secrets": {"auth_token": TWILIO_TOKEN},
}


def test_a_channel_is_made_with_who_receives(
    olivia: Membership, flow: Flow, support: Queue, by: Calls
) -> None:
    targets = {"default_flow": str(flow.pk), "default_queue": str(support.pk)}
    made = by(olivia).post("channels", {**TWILIO, **targets})

    assert made.status_code == 201, made.content
    body = made.json()
    assert set(body) == SHAPE
    assert body["default_flow"] == {"id": str(flow.pk), "name": "Atendimento"}
    assert body["default_queue"] == {"id": str(support.pk), "name": "Suporte"}
    assert body["has_secrets"] == ["auth_token"]
    assert body["health"] == "unknown"
    channel = ChannelAccount.objects.get()
    assert body["webhook_url"].endswith(f"/webhooks/twilio/{channel.public_id}/inbound")
    assert channel.secrets == {"auth_token": TWILIO_TOKEN}
    assert Reception.objects.get().default_queue == support


def test_secrets_never_come_back(olivia: Membership, by: Calls) -> None:
    made = by(olivia).post("channels", TWILIO, Idempotency_Key="k")
    address = f"channels/{made.json()['id']}"
    answers = [
        made,
        by(olivia).get(address),
        by(olivia).get("channels"),
        by(olivia).patch(address, {"secrets": {"auth_token": TWILIO_TOKEN}}, If_Match="*"),
        by(olivia).patch(address, {"secrets": {"auth_token": [TWILIO_TOKEN]}}, If_Match="*"),
        by(olivia).get(f"{address}/health"),
    ]

    assert all(TWILIO_TOKEN not in answer.content.decode() for answer in answers)
    assert TWILIO_TOKEN not in json.dumps(list(AuditEntry.objects.values_list("data", flat=True)))
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM channels_hub_channelaccount")
        assert TWILIO_TOKEN.encode() not in bytes(cursor.fetchone()[0])
        cursor.execute("SELECT body::text FROM accounts_idempotencykey")
        assert TWILIO_TOKEN not in cursor.fetchone()[0]


def test_secrets_that_are_not_given_keep_their_value(
    olivia: Membership, twilio_channel: ChannelAccount, by: Calls
) -> None:
    address = f"channels/{twilio_channel.pk}"
    both = by(olivia).patch(address, {"secrets": {"auth_token_previous": "old"}}, If_Match="*")
    one = by(olivia).patch(address, {"secrets": {"auth_token_previous": None}}, If_Match="*")

    assert both.json()["has_secrets"] == ["auth_token", "auth_token_previous"]
    assert one.json()["has_secrets"] == ["auth_token"]
    assert ChannelAccount.objects.get().secrets == {"auth_token": TWILIO_TOKEN}


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"kind": "pigeon"}, "kind"),
        ({"secrets": {}}, "secrets"),
        ({"config": {}}, "config"),
        ({"config": {"account_sid": "AC1", "api_base": "ftp://x"}}, "config"),
        ({"config": {"account_sid": "AC1", "api_base": 7}}, "config"),
        ({"config": []}, "config"),
        ({"address": "+551130000000"}, "address"),
        ({"default_queue": "01932c3b-0000-7000-8000-000000000000"}, "default_queue"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(
    olivia: Membership, twilio_channel: ChannelAccount, by: Calls, wrong: Any, field: str
) -> None:
    answer = by(olivia).post("channels", {**TWILIO, **wrong})

    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]


def test_a_kind_stays_as_it_is(olivia: Membership, twilio_channel: ChannelAccount, by: Calls) -> None:
    assert (
        by(olivia).patch(f"channels/{twilio_channel.pk}", {"kind": "phone"}, If_Match="*").status_code == 400
    )


def test_a_channel_changes_under_its_etag(
    olivia: Membership, twilio_channel: ChannelAccount, support: Queue, by: Calls
) -> None:
    address = f"channels/{twilio_channel.pk}"

    assert by(olivia).patch(address, {"name": "X"}).status_code == 428
    changed = by(olivia).patch(address, {"default_queue": str(support.pk)}, If_Match='"1"')
    assert (changed.status_code, changed["ETag"]) == (200, '"2"')
    assert by(olivia).patch(address, {"name": "X"}, If_Match='"1"').status_code == 412


def test_a_supervisor_reads_but_does_not_change_channels(
    sofia: Membership, ana: Membership, twilio_channel: ChannelAccount, by: Calls
) -> None:
    assert by(sofia).get(f"channels/{twilio_channel.pk}").status_code == 200
    assert by(sofia).post("channels", TWILIO).status_code == 403
    assert by(sofia).post(f"channels/{twilio_channel.pk}/test").status_code == 403
    assert by(ana).get("channels").status_code == 403


@pytest.mark.parametrize(
    "result, ok, health",
    [
        (SendResult(Outcome.ACCEPTED), True, "ok"),
        (SendResult(Outcome.AUTH, code="20003", detail="Authenticate"), False, "attention"),
        (SendResult(Outcome.RETRYABLE, code="not_sent", detail="no connection"), False, "attention"),
    ],
)
def test_a_test_asks_the_platform_and_is_remembered(
    olivia: Membership, twilio_channel: ChannelAccount, by: Calls, result: SendResult, ok: bool, health: str
) -> None:
    with patch.object(TwilioWhatsApp, "check", return_value=result):
        answer = by(olivia).post(f"channels/{twilio_channel.pk}/test", Idempotency_Key="k")

    assert answer.json() == {
        "ok": ok, "outcome": result.outcome.value, "code": result.code, "detail": result.detail,
    }  # fmt: skip
    shown = by(olivia).get(f"channels/{twilio_channel.pk}/health").json()
    assert set(shown) == {"health", "detail", "at", "last_inbound_at"}
    assert shown["health"] == health


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_platform_is_asked(
    olivia: Membership, twilio_channel: ChannelAccount, by: Calls
) -> None:
    def check(*args: Any) -> SendResult:
        assert not connection.in_atomic_block
        return SendResult(Outcome.ACCEPTED)

    with patch.object(TwilioWhatsApp, "check", side_effect=check):
        answer = by(olivia).post(f"channels/{twilio_channel.pk}/test", Idempotency_Key="k")

    assert answer.json()["ok"] is True


def test_a_list_of_channels_costs_the_same_for_many(
    olivia: Membership, support: Queue, by: Calls, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        made = by(olivia).post(
            "channels", {**TWILIO, "address": f"+55113000000{number}", "default_queue": str(support.pk)}
        )
        assert made.status_code == 201
    caller = by(olivia)

    with django_assert_max_num_queries(2):
        assert len(caller.get("channels").json()["results"]) == 6
