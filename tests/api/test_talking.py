"""Answering, notes, and the outbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.models import ChannelAccount
from conversations import handoff, outbox
from conversations.models import Conversation, Delivery, Message, Note
from queues.models import Queue
from tests.api.caller import Calls

Make = Callable[..., Conversation]


@pytest.fixture
def mine(ana: Membership, make_conversation: Make) -> str:
    """The address of a conversation that ana has."""
    return f"conversations/{make_conversation('human_handoff', agent=ana).pk}"


def test_an_answer_is_written_and_queued(ana: Membership, mine: str, by: Calls) -> None:
    answer = by(ana).post(f"{mine}/messages", {"text": "  Olá!\n"})

    assert answer.status_code == 201
    assert (answer.json()["text"], answer.json()["status"]) == ("  Olá!\n", "pending")
    assert Delivery.objects.get().message_id == Message.objects.get().pk
    assert by(ana).get(mine).json()["first_response_at"] is not None


def test_the_same_client_id_writes_once(ana: Membership, mine: str, by: Calls) -> None:
    first = by(ana).post(f"{mine}/messages", {"text": "Olá", "client_id": "c1"})
    second = by(ana).post(f"{mine}/messages", {"text": "Olá", "client_id": "c1"})

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert Message.objects.count() == 1


def test_only_who_has_it_answers(
    ana: Membership, sofia: Membership, support: Queue, make_conversation: Make, mine: str, by: Calls
) -> None:
    waiting = make_conversation("queued", queue=support)
    for caller, address in ((by(sofia), mine), (by(ana), f"conversations/{waiting.pk}")):
        answer = caller.post(f"{address}/messages", {"text": "Olá"})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_yours")


def test_an_answer_to_an_old_view_shows_what_was_missed(
    ana: Membership, bia: Membership, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("human_handoff", agent=bia)
    outbox.reply(conversation.pk, agent=bia, text="Já resolvi")
    handoff.assign_agent(conversation.pk, ana.pk)
    given = {"text": "Olá", "last_seen_seq": 1}

    stale = by(ana).post(f"conversations/{conversation.pk}/messages", given)

    assert (stale.status_code, stale.json()["code"]) == (409, "stale_view")
    assert [message["text"] for message in stale.json()["missed"]] == ["Já resolvi"]
    forced = by(ana).post(f"conversations/{conversation.pk}/messages", {**given, "force": True})
    assert forced.status_code == 201


def test_a_closed_window_offers_templates(ana: Membership, mine: str, by: Calls) -> None:
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))

    answer = by(ana).post(f"{mine}/messages", {"text": "Olá"})

    assert (answer.status_code, answer.json()["code"]) == (422, "window_closed")
    assert answer.json()["templates"] == []
    assert by(ana).get(mine).json()["window"]["mode"] == "template_only"


def test_nothing_goes_to_somebody_who_is_blocked(ana: Membership, mine: str, by: Calls) -> None:
    contact = Conversation.objects.get().contact_id
    by(ana).post(f"contacts/{contact}/block")

    answer = by(ana).post(f"{mine}/messages", {"text": "Olá"})
    assert (answer.status_code, answer.json()["code"]) == (422, "blocked")


@pytest.mark.parametrize(
    "body, status",
    [
        ({}, 400), ({"text": " \n"}, 400), ({"text": "x" * 10_001}, 400), ({"text": ["x"]}, 400),
        ({"text": "x", "media": [{"id": "1"}]}, 422), ({"text": "x", "template": {"key": "k"}}, 422),
        ({"text": "x", "reply_to": "01932c3b-0000-7000-8000-000000000000"}, 404),
        ({"text": "x", "last_seen_seq": -1}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_refused(
    ana: Membership, mine: str, by: Calls, body: Any, status: int
) -> None:
    assert by(ana).post(f"{mine}/messages", body).status_code == status
    assert not Message.objects.exists()


def test_an_answer_may_quote(ana: Membership, mine: str, by: Calls) -> None:
    first = by(ana).post(f"{mine}/messages", {"text": "Olá"}).json()
    second = by(ana).post(f"{mine}/messages", {"text": "Isto", "reply_to": first["id"]}).json()

    assert second["reply_to"] == first["id"]


def test_notes_stay_between_colleagues(
    ana: Membership, bia: Membership, vic: Membership, mine: str, by: Calls
) -> None:
    made = by(ana).post(f"{mine}/notes", {"text": "Cliente antigo"})

    assert made.status_code == 201
    assert set(made.json()) == {"id", "seq", "author", "text", "created_at"}
    assert made.json()["author"] == {"id": str(ana.pk), "name": "Ana"}
    assert by(vic).get(f"{mine}/notes").json()["results"] == [made.json()]
    assert by(vic).post(f"{mine}/notes", {"text": "x"}).status_code == 403
    assert by(bia).post(f"{mine}/notes", {"text": "x"}).status_code == 404
    assert Note.objects.count() == 1
    assert not Delivery.objects.exists()


# ---------------------------------------------------------------- outbox
@pytest.fixture
def send(phone_channel: ChannelAccount, make_conversation: Make, make_contact: Any) -> dict[str, Any]:
    """A message to somebody who wrote a moment ago: the window is open."""
    make_conversation(channel=phone_channel, contact=make_contact("Maria", "+5511987654321"))
    return {"channel_id": str(phone_channel.pk), "to": "+5511987654321", "text": "Seu pedido saiu"}


def test_a_message_is_accepted_into_the_outbox(sofia: Membership, send: dict[str, Any], by: Calls) -> None:
    answer = by(sofia).post("messages", {**send, "priority": 5, "max_retries": 1, "retry_delay": 2.5})

    assert answer.status_code == 202
    message = Message.objects.get()
    assert answer.json() == {"success": True, "via_queue": True, "message_id": str(message.pk)}
    row = Delivery.objects.get()
    assert (row.priority, row.max_retries, row.retry_delay, row.origin) == (5, 1, 2.5, "api")


def test_a_message_is_followed(sofia: Membership, send: dict[str, Any], by: Calls) -> None:
    pk = by(sofia).post("messages", send).json()["message_id"]
    shown = by(sofia).get(f"messages/{pk}").json()

    assert (shown["id"], shown["status"], shown["text"]) == (pk, "pending", "Seu pedido saiu")
    assert shown["conversation_id"] == str(Conversation.objects.get().pk)


def test_a_message_is_withdrawn_and_sent_again(sofia: Membership, send: dict[str, Any], by: Calls) -> None:
    address = f"messages/{by(sofia).post('messages', send).json()['message_id']}"

    assert by(sofia).post(f"{address}/retry").json()["code"] == "conflict"
    assert by(sofia).post(f"{address}/cancel").json()["status"] == "cancelled"
    assert by(sofia).post(f"{address}/cancel").status_code == 409
    assert by(sofia).post(f"{address}/retry").json()["status"] == "pending"


@pytest.mark.parametrize(
    "wrong, status",
    [
        ({"to": "abc"}, 400), ({"to": ""}, 400), ({"text": ""}, 400), ({"priority": -1}, 400),
        ({"priority": "high"}, 400), ({"retry_delay": "nan"}, 400), ({"max_retries": 21}, 400),
        ({"channel_id": "01932c3b-0000-7000-8000-000000000000"}, 404), ({"channel_id": "x"}, 400),
    ],
)  # fmt: skip
def test_a_wrong_message_is_refused(
    sofia: Membership, send: dict[str, Any], by: Calls, wrong: Any, status: int
) -> None:
    assert by(sofia).post("messages", {**send, **wrong}).status_code == status
    assert not Message.objects.exists()


def test_a_channel_that_is_off_sends_nothing(
    sofia: Membership, send: dict[str, Any], phone_channel: ChannelAccount, by: Calls
) -> None:
    ChannelAccount.objects.update(is_active=False)

    answer = by(sofia).post("messages", send)
    assert (answer.status_code, answer.json()["code"]) == (422, "channel_inactive")
    assert by(sofia).post("messages", {**send, "channel_id": None}).status_code == 400


def test_the_same_key_sends_once(sofia: Membership, send: dict[str, Any], by: Calls) -> None:
    first = by(sofia).post("messages", send, Idempotency_Key="k")
    second = by(sofia).post("messages", send, Idempotency_Key="k")

    assert first.json() == second.json()
    assert Message.objects.count() == 1


def test_the_outbox_counts(
    sofia: Membership, send: dict[str, Any], phone_channel: ChannelAccount, by: Calls
) -> None:
    by(sofia).post("messages", send)
    figures = by(sofia).get("outbox/stats").json()

    assert set(figures) == {
        "queue_size", "processing", "processed", "sent", "failed", "retrying", "unknown",
        "oldest_pending_seconds", "by_channel",
    }  # fmt: skip
    assert (figures["queue_size"], figures["processed"]) == (1, 0)
    assert figures["by_channel"] == [
        {"channel": {"id": str(phone_channel.pk), "name": "Simulador"}, "queue_size": 1, "failed": 0}
    ]


def test_a_contacts_message_is_not_in_the_outbox(
    sofia: Membership, ana: Membership, mine: str, by: Calls
) -> None:
    by(ana).post(f"{mine}/messages", {"text": "Olá"})
    Message.objects.update(direction="in")

    assert by(sofia).get(f"messages/{Message.objects.get().pk}").status_code == 404
