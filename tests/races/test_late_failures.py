"""Reports of one failure that come at once: one new try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.contract import Delivery as Report
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from conversations import outbox, receipts, sending
from conversations.models import Conversation, Delivery, Event

Race = Callable[[int, Callable[[int], Any]], list[Any]]


@pytest.mark.parametrize("states", [("failed",) * 4, ("failed", "delivered", "sent", "failed")])
def test_one_failure_told_by_several_at_once(
    race: Race,
    fake: FakeProvider,
    make_conversation: Callable[..., Conversation],
    ana: Membership,
    states: tuple[str, ...],
) -> None:
    talk = make_conversation("human_handoff", agent=ana)
    outbox.reply(talk.pk, agent=ana, text="Oi?")
    sending.drain(threads=1)
    first = Delivery.objects.get()

    def tell(index: int) -> None:
        code = "30017" if states[index] == "failed" else ""
        report = Report(first.provider_id, State(states[index]), timezone.now(), str(first.pk), code)
        receipts.apply_report(first.channel, report)

    assert race(4, tell) == [None] * 4
    Delivery.objects.update(due_at=timezone.now())
    sending.drain(threads=1)
    after, delivered = Delivery.objects.get(), "delivered" in states
    assert Event.objects.filter(type="message_retried").count() <= 1
    assert after.status == ("delivered" if delivered else "queued")
    assert len(fake.requests()) == (1 if delivered else 2)
