"""The ledger in words: every line about routing and time says a sentence, none shows a code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import translation

from accounts.models import Membership
from conversations import repair, timeline
from conversations.models import Conversation, Event

pytestmark = pytest.mark.django_db

LINES = [
    ("offered", {"agent": "Ana"}, "Offered to Ana"),
    ("offer_declined", {"agent": "Ana"}, "Ana declined it"),
    ("offer_timed_out", {"agent": "Ana"}, "Ana did not answer the offer in time"),
    ("over_capacity", {"agent": "Ana", "load": 5, "capacity": 5}, "Above the limit of Ana: 5 of 5 taken"),
    ("snoozed", {"until": "2026-01-01"}, "Snoozed"),
    ("held", {}, "On hold"),
    ("unheld", {}, "Taken up again"),
    ("idle_warning", {"minutes": 5}, "The customer has been waiting for the agent's answer"),
    ("sla_warning", {"target": "first_response"}, "Promised time is near: first response"),
    ("sla_breach", {"target": "wait"}, "Promised time missed: wait in the queue"),
    ("priority", {"from": 50, "to": 100}, "Priority normal → urgent"),
    ("out_of_hours", {"queue": "Vip"}, "Vip is closed and takes nobody in meanwhile"),
    ("repaired", {"what": "no deadline"}, "Mended by the desk: nothing would have happened to it any more"),
]


def said(conversation: Conversation, kind: str, data: dict[str, Any], *, cause: str = "") -> str:
    event = Event(type=kind, data=data, cause=cause, seq=99)
    with translation.override("en"):
        line = timeline.line_of(event, timeline.Story(conversation, None))
    assert line is not None
    return line.text


@pytest.mark.parametrize("kind, data, sentence", LINES, ids=[line[0] for line in LINES])
def test_a_line_says_a_sentence(
    make_conversation: Callable[..., Conversation], kind: str, data: dict[str, Any], sentence: str
) -> None:
    assert said(make_conversation(), kind, data) == sentence


@pytest.mark.parametrize("cause", list(timeline.BACK))
def test_what_came_back_by_itself_says_why(
    make_conversation: Callable[..., Conversation], cause: str
) -> None:
    text = said(make_conversation(), "requeue", {"queue": "Vip"}, cause=cause)

    assert "Vip" in text
    assert "%" not in text


def test_the_router_is_named(make_conversation: Callable[..., Conversation], ana: Membership) -> None:
    given = {"agent": "Ana", "agent_id": str(ana.pk)}

    assert said(make_conversation(), "claim", given, cause="router") == "Given to Ana by the router"


def test_everything_that_is_mended_has_words() -> None:
    assert {fault.what for fault in repair.FAULTS} <= set(timeline.WHY)
