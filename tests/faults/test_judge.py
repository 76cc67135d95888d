"""The judge of chaos runs sees what he looks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import Membership
from bench.chaos import kit
from conversations import outbox
from conversations.models import Conversation, Delivery, Message


def test_the_fullest_second_begins_anywhere_and_ends_before_the_next() -> None:
    assert kit.fullest_second([5.0, 5.5, 5.99, 6.0, 6.4]) == 4
    assert kit.fullest_second([1.0, 2.0, 3.0]) == 1
    assert kit.fullest_second([]) == 0


def handed(at: float, body: str, to: str = "+5511") -> dict[str, Any]:
    return {"at": at, "body": body, "to": to}


def test_an_overtaken_message_is_seen_within_its_conversation_only() -> None:
    assert list(kit.overtaken([handed(1, "a:000001"), handed(2, "b:000000"), handed(3, "a:000002")])) == []
    assert list(kit.overtaken([handed(2, "a:000001"), handed(1, "a:000002")])) == [
        "a: 000001 came after 000002"
    ]


@pytest.mark.django_db(transaction=True)
def test_what_came_twice_or_is_known_to_one_side_only_is_seen(
    make_conversation: Callable[..., Conversation], ana: Membership
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    for number in range(3):
        outbox.reply(talk.pk, agent=ana, text=f"{talk.pk}:{number}")
    told = Message.objects.filter(direction="out")
    for number, status in enumerate(("sent", "unknown", "sent")):
        told.filter(text=f"{talk.pk}:{number}").update(status=status)
    found = kit.judge([handed(n, f"{talk.pk}:{body}") for n, body in enumerate((0, 0, 1))])
    assert found[:3] == [
        f"taken twice: {talk.pk}:0",
        f"the provider has {talk.pk}:1, the desk says unknown",
        f"the provider never had {talk.pk}:2, the desk says sent",
    ]
    assert Delivery.objects.count() == kit.waiting() == 3
