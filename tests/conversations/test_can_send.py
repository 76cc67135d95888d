"""The gate: a table of everything that may stand against a message, and the shell that gathers the facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.capabilities import CAPS
from channels_hub.contract import WindowMode
from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations import outbox, sending
from conversations.can_send import can_send
from conversations.gate import TEMPLATE, TEXT, Content, Facts, Window, judge
from conversations.models import Conversation, Delivery

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGO, SOON = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
WEEK = NOW + timedelta(days=6)
OPEN = Window(WindowMode.OPEN, SOON, WEEK)
SHUT, NEVER = Window(WindowMode.TEMPLATE_ONLY, AGO), Window(WindowMode.CLOSED, AGO)
PEOPLE = Window(WindowMode.HUMAN_ONLY, AGO, WEEK)
WHATSAPP, SMS, MESSENGER = CAPS["twilio_whatsapp"], CAPS["twilio_sms"], CAPS["messenger"]
IMAGE, VIDEO = Content(frozenset({"image"})), Content(frozenset({"video"}))


@pytest.mark.parametrize(
    "given, content, answer, code, until, caution",
    [
        ({}, TEXT, "ok", "", SOON, ""),
        ({"human": True}, TEXT, "ok", "", WEEK, ""),
        ({}, TEMPLATE, "ok", "", None, ""),
        ({}, IMAGE, "ok", "", SOON, ""),
        ({"blocked_at": AGO}, TEMPLATE, "blocked", "blocked", None, ""),
        ({"opted_out_at": AGO}, TEMPLATE, "blocked", "opted_out", None, ""),
        ({"blocked_at": AGO, "opted_out_at": AGO, "window": SHUT}, TEXT, "blocked", "blocked", None, ""),
        ({"channel_active": False}, TEMPLATE, "blocked", "channel_inactive", None, ""),
        ({"channel_ails": True}, TEXT, "ok", "", SOON, "channel_ails"),
        ({"has_address": False}, TEXT, "blocked", "no_address", None, ""),
        ({"unreachable_at": AGO}, TEXT, "blocked", "unreachable", AGO + timedelta(hours=24), ""),
        ({"unreachable_at": NOW - timedelta(hours=24)}, TEXT, "ok", "", SOON, "unreachable"),
        ({"unreachable_at": AGO, "human": True}, TEXT, "ok", "", WEEK, "unreachable"),
        ({"caps": SMS}, VIDEO, "blocked", "media_unsupported", None, ""),
        ({"caps": SMS}, TEMPLATE, "blocked", "template_unsupported", None, ""),
        ({"window": SHUT}, TEXT, "needs_template", "window_closed", None, ""),
        ({"window": SHUT, "human": True}, IMAGE, "needs_template", "window_closed", None, ""),
        ({"window": SHUT}, TEMPLATE, "ok", "", None, ""),
        ({"window": PEOPLE, "caps": MESSENGER, "human": True}, TEXT, "ok", "", WEEK, ""),
        ({"window": PEOPLE, "caps": MESSENGER}, TEXT, "blocked", "window_closed", None, ""),
        ({"window": NEVER, "caps": MESSENGER, "human": True}, TEXT, "blocked", "window_closed", None, ""),
        ({"window": Window(WindowMode.OPEN), "caps": SMS}, TEXT, "ok", "", None, ""),
    ],
)  # fmt: skip
def test_the_table(
    given: dict[str, Any], content: Content, answer: str, code: str, until: datetime | None, caution: str
) -> None:
    verdict = judge(Facts(**{"window": OPEN, "caps": WHATSAPP, **given}), content, NOW)

    assert (verdict.answer, verdict.code, verdict.until, verdict.caution) == (answer, code, until, caution)
    assert verdict.ok is (answer == "ok")


def test_a_refusal_says_since_when() -> None:
    verdict = judge(Facts(window=OPEN, caps=WHATSAPP, opted_out_at=AGO), TEXT, NOW)
    assert verdict.since == AGO


# ---------------------------------------------------------------- the shell
@pytest.fixture
def mine(db: None, ana: Membership, make_conversation: Callable[..., Conversation]) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


def asked(pk: Any, **more: Any) -> Any:
    return can_send(Conversation.objects.get(pk=pk), now=timezone.now(), **more)


@pytest.mark.parametrize(
    "model, fields, code",
    [
        (Contact, {"blocked_at": AGO}, "blocked"),
        (Contact, {"opted_out_at": AGO}, "opted_out"),
        (ChannelAccount, {"is_active": False}, "channel_inactive"),
        (Conversation, {"identity": None}, "no_address"),
        (Conversation, {"last_inbound_at": AGO}, "window_closed"),
        (Conversation, {"last_inbound_at": None}, "window_closed"),
    ],
)
def test_each_fact_is_gathered(mine: Conversation, model: Any, fields: dict[str, Any], code: str) -> None:
    assert asked(mine.pk, human=True).ok
    model.objects.update(**fields)
    assert asked(mine.pk, human=True).code == code


def test_who_wrote_again_is_reachable_again(mine: Conversation) -> None:
    Identity.objects.update(unreachable_at=timezone.now())
    assert asked(mine.pk).code == "unreachable"
    assert asked(mine.pk, human=True).caution == "unreachable"

    Conversation.objects.update(last_inbound_at=timezone.now() + timedelta(seconds=1))
    assert asked(mine.pk).ok


def test_refused_credentials_are_a_warning_and_the_message_waits(mine: Conversation) -> None:
    mine.channel.mark(ChannelAccount.Health.ATTENTION, "20003")
    verdict = asked(mine.pk, human=True)
    assert (verdict.ok, verdict.caution) == (True, "channel_ails")


def test_the_claim_asks_again_and_lets_only_the_template_pass(ana: Membership, mine: Conversation) -> None:
    template = {"ref": "HX1", "language": "pt_BR", "name": "oi", "body": {}}
    text, _new = outbox.reply(mine.pk, agent=ana, text="Oi")
    words, _new = outbox.reply(mine.pk, agent=ana, text="Oi de novo", template=template)
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(hours=25))
    Delivery.objects.update(due_at=timezone.now() - timedelta(minutes=1))

    first, second = sending.claim(), sending.claim()

    refused = Delivery.objects.get(message=text)
    assert (first.rows, refused.status, refused.error_code) == ([], "failed", "window_closed")
    assert second.rows[0].part.template.ref == "HX1"
    assert second.rows[0].delivery_id == words.deliveries.get().pk
