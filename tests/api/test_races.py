"""Many equal calls at the same moment: one effect, one child, one winner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections
from django.test import Client
from django_scopes import scope

from accounts import tokens
from accounts.models import AuditEntry, IdempotencyKey, Membership, Organization, RefreshFamily
from channels_hub.models import ChannelAccount
from contacts.models import Contact
from conversations.models import Conversation, Delivery, Message
from queues.models import AgentProfile, Queue
from tests.api.caller import Caller, Calls
from tests.conftest import new_member

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]
MANY = 32


def at_once(call: Callable[[int], Any], many: int = MANY) -> list[Any]:
    """All threads wait for each other, then call."""
    barrier = Barrier(many)

    def run(number: int) -> Any:
        try:
            barrier.wait(timeout=30)
            return call(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(many) as pool:
        return list(pool.map(run, range(many)))


def test_32_equal_posts_under_one_key_have_one_effect(ana: Membership, by: Calls) -> None:
    caller = by(ana)

    answers = at_once(lambda _: caller.post("contacts", {"name": "Maria"}, Idempotency_Key="k"))

    assert Contact.objects.count() == 1
    assert IdempotencyKey.objects.count() == 1
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer for answer in answers) == 1


def test_32_equal_messages_under_one_key_are_sent_once(
    sofia: Membership, phone_channel: ChannelAccount, make_conversation: Any, make_contact: Any, by: Calls
) -> None:
    make_conversation(channel=phone_channel, contact=make_contact("Maria", "+5511987654321"))
    caller = by(sofia)
    body = {"channel_id": str(phone_channel.pk), "to": "+5511987654321", "text": "x"}

    answers = at_once(lambda _: caller.post("messages", body, Idempotency_Key="k"))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["message_id"] for answer in answers}) == 1
    assert (Message.objects.count(), Delivery.objects.count()) == (1, 1)


def test_32_refreshes_of_one_token_make_one_child(ana: Membership) -> None:
    refresh = tokens.open_family(ana).refresh

    answers = at_once(lambda _: Caller().post("auth/token/refresh", {"refresh": refresh}))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: MANY - 1}
    family = RefreshFamily.objects.get()
    assert (family.serial, family.revoked_reason) == (2, "reused")
    assert AuditEntry.objects.filter(action="token.reused").count() == 1


def test_32_claims_have_one_winner_whom_the_others_are_told(
    acme: Organization, support: Queue, make_conversation: Any
) -> None:
    conversation = make_conversation("queued", queue=support)
    members = [new_member(acme, f"agent{number}", "agent") for number in range(MANY)]
    callers = [Caller.of(member) for member in members]

    answers = at_once(lambda number: callers[number].post(f"conversations/{conversation.pk}/claim"))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: MANY - 1}
    winner = Conversation.objects.get().assigned_agent.name
    losers = [answer.json() for answer in answers if answer.status_code == 409]
    assert all(loser["code"] == "conflict" and winner in loser["detail"] for loser in losers)


def test_32_pulls_give_each_conversation_once(
    acme: Organization, support: Queue, make_conversation: Any
) -> None:
    waiting = {str(make_conversation("queued", queue=support).pk) for _ in range(8)}
    callers = [Caller.of(new_member(acme, f"agent{number}", "agent")) for number in range(MANY)]

    answers = at_once(lambda number: callers[number].post("queue/pull"))

    pulled = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    assert (len(pulled), set(pulled)) == (8, waiting)
    assert AgentProfile.objects.count() == MANY


def test_64_wrong_passwords_at_once_get_five_tries_at_most(ana: Membership, place: str) -> None:
    ana.user.email = f"ana.{uuid4().hex}@acme.test"
    ana.user.save(update_fields=["email"])
    body = {"email": ana.user.email, "password": "wrong"}

    def attempt(_: int) -> int:
        caller = Caller()
        caller.client = Client(REMOTE_ADDR=place)
        return caller.post("auth/token", body).status_code

    counted = Counter(at_once(attempt, many=64))

    # Never more than five; a count whose answer got lost under load may be repeated and cost a try.
    assert 1 <= counted[401] <= 5
    assert counted[401] + counted[429] == 64


def test_two_owners_cannot_retire_each_other(acme: Organization, by: Calls) -> None:
    owners = [new_member(acme, name, "owner") for name in ("olga", "otto")]
    callers = [by(owner) for owner in owners]

    at_once(lambda number: callers[number].delete(f"members/{owners[1 - number].pk}"), many=2)

    with scope(organization=acme):
        assert Membership.objects.filter(role="owner", is_active=True).count() == 1


def test_two_editors_under_one_etag_save_once(sofia: Membership, support: Queue, by: Calls) -> None:
    caller = by(sofia)

    answers = at_once(
        lambda number: caller.patch(f"queues/{support.pk}", {"sla_minutes": number + 1}, If_Match='"1"'),
        many=8,
    )

    assert Counter(answer.status_code for answer in answers) == {200: 1, 412: 7}
    assert Queue.objects.get().revision == 2
