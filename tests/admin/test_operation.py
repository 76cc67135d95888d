"""Raw inbox, outbox, keys: replay, retry, cancel, revoke."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from accounts.models import ApiKey, AuditEntry
from channels_hub.models import InboundEvent
from conversations import intake
from conversations.admin_inbox import masked, readable
from conversations.models import Delivery, Message
from tests.admin.pages import act, page
from tests.admin.world import World, dead_event
from tests.conftest import TWILIO_SID


def inbound(sid: str = "SM00000000000000000000000000000077") -> bytes:
    return urlencode(
        {
            "MessageSid": sid, "AccountSid": TWILIO_SID, "From": "whatsapp:+5511987654321",
            "To": "whatsapp:+551130000000", "Body": "after the fix", "NumMedia": "0",
        }
    ).encode()  # fmt: skip


def test_replaying_a_dead_event_takes_the_message_in(lead: Client, ours: World) -> None:
    row = dead_event(ours, inbound())

    act(lead, row, "replay")
    intake.drain()

    assert Message.objects.filter(direction="in", text="after the fix").count() == 1
    assert InboundEvent.objects.get(pk=row.pk).state == "done"
    assert AuditEntry.objects.filter(action="inboundevent.replayed", object_id=str(row.pk)).exists()


def test_replaying_what_was_never_split_makes_its_events(lead: Client, ours: World) -> None:
    row = dead_event(ours, inbound(), kind="unreadable")

    act(lead, row, "replay")
    intake.drain()

    assert InboundEvent.objects.get(pk=row.pk).state == "ignored"
    assert Message.objects.filter(direction="in", text="after the fix").count() == 1


def test_what_still_cannot_be_read_stays_dead_and_it_is_said(lead: Client, ours: World) -> None:
    row = dead_event(ours, b"not a form of theirs", kind="unreadable")

    assert act(lead, row, "replay") == ["It still cannot be read."]
    assert InboundEvent.objects.get(pk=row.pk).state == "dead"


def test_what_was_done_is_not_done_again(lead: Client, ours: World) -> None:
    row = dead_event(ours, inbound(), state="done")

    assert act(lead, row, "replay") == ["Only what is dead or was ignored is processed again."]
    assert InboundEvent.objects.get(pk=row.pk).state == "done"


def test_the_body_is_readable_and_its_numbers_are_masked(lead: Client, ours: World) -> None:
    html = lead.get(page(InboundEvent, "change", dead_event(ours, inbound()).pk)).content.decode()

    assert "Body: after the fix" in html
    assert "From: whatsapp:+•••••••••4321" in html
    assert "987654321" not in html


def test_lists_never_decrypt_a_body(lead: Client, ours: World, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(40) as queries:
        lead.get(page(InboundEvent, "changelist"))

    asked = [q["sql"] for q in queries.captured_queries if 'FROM "channels_hub_inboundevent"' in q["sql"]]
    assert asked
    assert not any('"channels_hub_inboundevent"."body"' in sql for sql in asked)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("+5511987654321", "+•••••••••4321"),
        ("SM00000000000000000000000000000077", "SM00000000000000000000000000000077"),
        ("AC1234567890abcdef", "AC1234567890abcdef"),
        ("order 12345", "order 12345"),
    ],
)
def test_numbers_are_masked_and_ids_are_not(text: str, seen: str) -> None:
    assert masked(text) == seen


def test_json_bodies_are_indented_and_broken_ones_shown_as_they_are() -> None:
    assert json.loads(readable(b'{"a": [1]}', "application/json")) == {"a": [1]}
    assert readable(b"{", "application/json") == "{"
    assert readable(b"\xff", "text/plain") == "�"


def settle(delivery: Delivery, status: str) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(status=status)
    Message.objects.filter(pk=delivery.message_id).update(status=status)


@pytest.mark.parametrize("status", ["failed", "expired", "cancelled", "unknown"])
def test_what_went_wrong_can_be_sent_again(lead: Client, ours: World, status: str) -> None:
    settle(ours[Delivery], status)

    act(lead, ours[Delivery], "retry")

    assert Delivery.objects.get(pk=ours[Delivery].pk).status == "pending"
    assert Message.objects.get(pk=ours[Delivery].message_id).status == "pending"


def test_what_was_delivered_is_not_sent_again(lead: Client, ours: World) -> None:
    settle(ours[Delivery], "delivered")

    told = act(lead, ours[Delivery], "retry")

    assert told[0].startswith("Only what failed")
    assert Delivery.objects.get(pk=ours[Delivery].pk).status == "delivered"


def test_what_waits_can_be_cancelled_and_what_left_cannot(lead: Client, ours: World) -> None:
    act(lead, ours[Delivery], "cancel")
    assert Delivery.objects.get(pk=ours[Delivery].pk).status == "cancelled"

    settle(ours[Delivery], "sent")
    assert act(lead, ours[Delivery], "cancel")[-1] == "It is too late: the message is with the platform."


def test_a_key_is_revoked_once(boss: Client, ours: World) -> None:
    assert act(boss, ours[ApiKey], "revoke") == ["The key was revoked."]
    assert ApiKey.objects.get(pk=ours[ApiKey].pk).revoked_at is not None

    assert act(boss, ours[ApiKey], "revoke")[-1] == "This key was revoked before."


def test_the_overview_counts_what_needs_somebody(lead: Client, ours: World) -> None:
    settle(ours[Delivery], "unknown")
    figures = {card["title"]: card["figure"] for card in lead.get("/admin/").context["cards"]}

    assert figures["Waiting"] == 1
    assert figures["With an agent"] == 1
    assert figures["Dead events"] == 1
    assert figures["Not confirmed"] == 1
