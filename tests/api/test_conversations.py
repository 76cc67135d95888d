"""Reading conversations: the shapes of the contract, who sees what, search, lookup."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from accounts.models import Membership
from channels_hub.models import ChannelAccount
from contacts.models import Contact
from conversations import handoff, outbox
from conversations.models import Conversation, Message
from conversations.moves import writing
from flows.models import Flow
from queues.models import Queue
from tests.api.caller import Calls

Make = Callable[..., Conversation]
SHAPE = {
    "id", "contact", "channel", "state", "legacy_status", "is_bot_active", "flow", "queue", "queue_priority",
    "queued_at", "assigned_agent", "assigned_at", "handoff_at", "first_response_at", "closed_at",
    "close_reason", "snoozed_until", "held_at", "offer", "last_message_at", "seq", "unread", "window",
    "waiting_since", "sla", "sla_breached_at", "extra_data", "created_at",
}  # fmt: skip
MESSAGE = {
    "id", "seq", "direction", "sender", "agent", "text", "kind", "media", "options", "choice", "location",
    "reply_to", "status", "error", "provider_id", "client_id", "created_at",
}  # fmt: skip


def test_a_conversation_with_an_agent(
    ana: Membership, support: Queue, twilio_channel: ChannelAccount, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support, priority=80)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    body = by(ana).get(f"conversations/{conversation.pk}").json()

    assert set(body) == SHAPE
    assert body["contact"] == {"id": str(conversation.contact_id), "name": "Mariana"}
    assert body["channel"] == {"id": str(twilio_channel.pk), "kind": "twilio_whatsapp", "name": "WhatsApp"}
    assert (body["state"], body["legacy_status"], body["is_bot_active"]) == ("human_handoff", "active", False)
    assert body["queue"] == {"id": str(support.pk), "name": "Suporte"}
    assert (body["queue_priority"], body["queued_at"], body["flow"]) == (80, None, None)
    assert body["assigned_agent"] == {"id": str(ana.pk), "name": "Ana"}
    assert body["window"]["mode"] == "open"
    assert datetime.fromisoformat(body["window"]["closes_at"]).tzinfo is not None
    assert (body["closed_at"], body["close_reason"], body["extra_data"]) == (None, "", {})


@pytest.mark.parametrize(
    "state, legacy, bot",
    [
        ("pending", "active", False),
        ("bot", "active", True),
        ("queued", "queued", False),
        ("closed", "closed", False),
    ],
)
def test_states_have_their_older_names_too(
    sofia: Membership,
    support: Queue,
    flow: Flow,
    make_conversation: Make,
    by: Calls,
    state: str,
    legacy: str,
    bot: bool,
) -> None:
    conversation = make_conversation(state, queue=support, flow=flow)
    body = by(sofia).get(f"conversations/{conversation.pk}").json()

    assert (body["state"], body["legacy_status"], body["is_bot_active"]) == (state, legacy, bot)


def test_an_agent_sees_their_own_and_who_waits_in_their_queues(
    ana: Membership, bia: Membership, make_queue: Callable[..., Queue], make_conversation: Make, by: Calls
) -> None:
    mine = make_queue("mine")
    others = make_queue("others", settings={"allowed_agent_ids": [str(bia.pk)], "skills_required": []})
    own = make_conversation("human_handoff", agent=ana)
    waiting = make_conversation("queued", queue=mine)
    hidden = [
        make_conversation("human_handoff", agent=bia),
        make_conversation("queued", queue=others),
        make_conversation("pending"),
    ]

    rows = by(ana).get("conversations").json()["results"]
    assert {row["id"] for row in rows} == {str(own.pk), str(waiting.pk)}
    for conversation in hidden:
        for part in ("", "/messages", "/notes", "/events", "/routing"):
            assert by(ana).get(f"conversations/{conversation.pk}{part}").status_code == 404


def test_conversations_are_filtered(
    sofia: Membership, ana: Membership, support: Queue, make_conversation: Make, make_contact: Any, by: Calls
) -> None:
    queued = make_conversation("queued", queue=support)
    held = make_conversation("human_handoff", agent=ana, contact=make_contact("Josefina", "+5511955554444"))
    with writing(held.pk) as conversation:
        conversation.unread = 2

    def ids(query: str) -> set[str]:
        return {row["id"] for row in by(sofia).get(f"conversations?{query}").json()["results"]}

    assert ids("state=queued") == {str(queued.pk)}
    assert ids(f"queue={support.pk}") == {str(queued.pk)}
    assert ids(f"department={support.department_id}") == {str(queued.pk)}
    assert ids(f"agent={ana.pk}") == {str(held.pk)}
    assert ids(f"channel={held.channel_id}") == {str(queued.pk), str(held.pk)}
    assert ids("unread=true") == {str(held.pk)}
    assert ids("q=josef") == ids("q=95555") == {str(held.pk)}
    assert by(sofia).get("conversations?state=asleep").status_code == 400


def test_search_finds_what_was_said(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    outbox.reply(conversation.pk, agent=ana, text="A nota fiscal vai amanhã")

    assert len(by(ana).get("conversations?q=nota fiscal").json()["results"]) == 1


def test_a_list_of_conversations_costs_the_same_for_many(
    sofia: Membership, ana: Membership, support: Queue, make_conversation: Make, by: Calls,
    django_assert_max_num_queries: Any,
) -> None:  # fmt: skip
    for _ in range(6):
        make_conversation("queued", queue=support)
    caller = by(sofia)
    caller.get("me")  # the first call also writes that they were seen

    with django_assert_max_num_queries(4):  # the promised times stand in the deadlines
        assert len(caller.get("conversations").json()["results"]) == 6


def test_lookup_finds_the_open_one_by_any_spelling(
    sofia: Membership,
    ana: Membership,
    make_contact: Callable[..., Contact],
    make_conversation: Make,
    by: Calls,
) -> None:
    contact = make_contact("Maria", "+5511987654321")
    make_conversation("closed", contact=contact)
    opened = make_conversation("human_handoff", agent=ana, contact=contact)

    for address in ("%2B5511987654321", "5511987654321", "551187654321", "(11) 98765-4321"):
        found = by(sofia).get(f"conversations/lookup?channel={opened.channel_id}&address={address}")
        assert (found.status_code, found.json()["id"]) == (200, str(opened.pk))


def test_lookup_gives_the_latest_when_none_is_open(
    sofia: Membership, make_contact: Callable[..., Contact], make_conversation: Make, by: Calls
) -> None:
    contact = make_contact("Maria", "+5511987654321")
    make_conversation("closed", contact=contact)
    latest = make_conversation("closed", contact=contact)

    found = by(sofia).get(f"conversations/lookup?channel={latest.channel_id}&address=5511987654321")
    assert found.json()["id"] == str(latest.pk)


def test_lookup_of_a_stranger(sofia: Membership, twilio_channel: ChannelAccount, by: Calls) -> None:
    unknown = by(sofia).get(f"conversations/lookup?channel={twilio_channel.pk}&address=5511900000000")
    no_channel = by(sofia).get(f"conversations/lookup?channel={sofia.pk}&address=5511900000000")

    assert unknown.status_code == no_channel.status_code == 404
    assert by(sofia).get("conversations/lookup").status_code == 400


def test_messages_are_given_oldest_first(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    for text in ("um", "dois", "três"):
        outbox.reply(conversation.pk, agent=ana, text=text)

    page = by(ana).get(f"conversations/{conversation.pk}/messages?limit=2").json()
    assert [message["text"] for message in page["results"]] == ["um", "dois"]
    assert set(page["results"][0]) == MESSAGE
    assert (page["results"][0]["direction"], page["results"][0]["sender"]) == ("out", "agent")
    assert page["results"][0]["agent"] == {"id": str(ana.pk), "name": "Ana"}
    assert page["results"][0]["error"] is None


def test_a_broken_message_says_what_broke(ana: Membership, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    outbox.reply(conversation.pk, agent=ana, text="um")
    Message.objects.update(status="failed", error_code="63016", error_detail="outside the window")

    message = by(ana).get(f"conversations/{conversation.pk}/messages").json()["results"][0]
    assert message["error"] == {"code": "63016", "detail": "outside the window"}


def test_messages_cost_the_same_for_many(
    ana: Membership, make_conversation: Make, by: Calls, django_assert_max_num_queries: Any
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    for number in range(6):
        outbox.reply(conversation.pk, agent=ana, text=str(number))
    caller = by(ana)

    with django_assert_max_num_queries(7):
        assert len(caller.get(f"conversations/{conversation.pk}/messages").json()["results"]) == 6


def test_the_ledger_has_no_gaps(ana: Membership, support: Queue, make_conversation: Make, by: Calls) -> None:
    conversation = make_conversation("queued", queue=support)
    by(ana).post(f"conversations/{conversation.pk}/claim")

    events = by(ana).get(f"conversations/{conversation.pk}/events").json()["results"]
    assert set(events[0]) == {"seq", "type", "actor", "cause", "data", "at"}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["type"], events[-1]["actor"]) == ("claim", {"id": str(ana.pk), "name": "Ana"})


def test_routing_says_why_this_agent(
    ana: Membership, support: Queue, make_conversation: Make, by: Calls
) -> None:
    conversation = make_conversation("queued", queue=support)
    by(ana).post("queue/pull")

    decision = by(ana).get(f"conversations/{conversation.pk}/routing").json()["results"][0]
    assert set(decision) == {"at", "mode", "candidates", "chosen", "reason"}
    assert (decision["mode"], decision["chosen"]) == ("pull", {"id": str(ana.pk), "name": "Ana"})
    candidate = decision["candidates"][0]
    assert set(candidate) == {"agent", "verdicts", "keys"}
    assert [verdict["filter"] for verdict in candidate["verdicts"]] == [
        "allowed_agents", "skills_required", "business_hours", "agent_capacity",
    ]  # fmt: skip
