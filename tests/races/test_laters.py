"""Many sweeps at once: a planned message goes out once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from conversations import handoff, laters
from conversations.models import Conversation, Later, Message

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Race = Callable[..., list[Any]]


@pytest.fixture
def due(ana: Membership, make_conversation: Callable[..., Conversation]) -> Conversation:
    conversation = make_conversation("human_handoff", agent=ana)
    laters.plan(conversation.pk, agent=ana, text="Até já", send_at=timezone.now() + timedelta(hours=1))
    Later.objects.update(send_at=timezone.now() - timedelta(seconds=1))
    return conversation


def test_sixteen_sweeps_send_it_once(race: Race, due: Conversation) -> None:
    assert sum(race(16, lambda n: laters.release_due())) == 1
    assert (Message.objects.filter(direction="out").count(), Later.objects.get().state) == (1, "sent")


def test_either_it_is_sent_or_it_is_withdrawn(race: Race, ana: Membership, due: Conversation) -> None:
    later = Later.objects.get()
    acts = [lambda: laters.cancel(later.pk, actor=ana), laters.release_due]
    race(8, lambda n: acts[n % 2]())

    sent = Message.objects.filter(direction="out").count()
    assert (sent, Later.objects.get().state) in ((1, "sent"), (0, "cancelled"))


def test_closing_and_sending_end_it_one_way(race: Race, ana: Membership, due: Conversation) -> None:
    acts = [lambda: handoff.close(due.pk, actor=ana), laters.release_due]
    race(2, lambda n: acts[n]())

    sent = Message.objects.filter(direction="out").count()
    assert (sent, Later.objects.get().state) in ((1, "sent"), (0, "cancelled"))
