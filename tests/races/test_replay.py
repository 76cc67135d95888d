"""Two supervisors send the same dead letters again at the same moment: each goes once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from conversations import outbox
from conversations.admin_replay import REPLAY, Run
from conversations.models import Conversation, DeadLetter, Delivery, Event
from conversations.moves import database_now, writing

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_each_goes_once(
    race: Callable[..., list[Any]],
    sofia: Membership,
    ana: Membership,
    make_conversation: Callable[..., Conversation],
) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    for n in range(10):
        message, _new = outbox.reply(conversation.pk, agent=ana, text=str(n))
        message.deliveries.update(status="failed", error_code="30008", settled_at=timezone.now())
        with writing(conversation.pk) as locked:
            outbox.refresh_status(locked, message)
    until = database_now()

    def replay(_n: int) -> Run:
        run = Run(until)
        rows = run.next_rows(REPLAY.rows(DeadLetter.objects.select_related("conversation__contact")))
        run.go(rows, REPLAY, sofia)
        return run

    runs = race(4, replay)

    assert sum(run.done for run in runs) == 10
    assert Event.objects.filter(type="message_retried").count() == 10
    assert set(Delivery.objects.values_list("status", flat=True)) == {"pending"}
