"""Deliveries and calls of any age and outcome."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.ids import first_id_at
from channels_hub.models import ChannelAccount
from conversations.models import Attempt, Conversation, Delivery, Message
from tests.admin.world import World

_numbers = itertools.count(1000)


def sending(world: World, status: str = "sent", *, ago: timedelta = timedelta(0), **more: Any) -> Delivery:
    """A message of ours that was written a while ago; `at` instead of `ago` names the moment."""
    at: datetime = more.pop("at", timezone.now() - ago)
    n = next(_numbers)
    conversation = world[Conversation]
    message = Message.objects.create(
        organization=world.organization, conversation=conversation, channel=world[ChannelAccount], seq=n,
        direction="out", sender="agent", text=f"{world.mark} {n}", status=status, occurred_at=at,
        created_at=at,
    )  # fmt: skip
    settled = at if status not in ("pending", "retrying", "processing") else None
    fields = {"origin": "agent", "channel": world[ChannelAccount], "settled_at": settled, **more}
    return Delivery.objects.create(
        id=UUID(int=first_id_at(at).int + n), organization=world.organization, message=message, seq=n,
        conversation=conversation, status=status, due_at=at, created_at=at, **fields,
    )  # fmt: skip


def call(delivery: Delivery, outcome: str = "accepted", *, ago: timedelta, **more: Any) -> Attempt:
    ended = timezone.now() - ago
    return Attempt.objects.create(
        organization_id=delivery.organization_id, delivery=delivery, channel_id=delivery.channel_id, number=1,
        **{"started_at": ended, "ended_at": ended, "outcome": outcome, "milliseconds": 100, **more},
    )  # fmt: skip
