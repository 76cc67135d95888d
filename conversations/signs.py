"""Signs of life: that a page of an agent is open, and that they touched it. Facts only; `attendance` judges.

Every tab, socket and request may tell them as often as it likes: each process writes an agent's row at most
once in twenty seconds.
"""

from __future__ import annotations

import time
from uuid import UUID

from django.db.models.functions import Now
from django_scopes import scopes_disabled

from queues.models import AgentProfile

EVERY = 20.0  # seconds between two equal signs of one agent
MOST = 10_000  # agents remembered by a process

_told: dict[tuple[UUID, bool], float] = {}


def due(member_id: UUID, *, touched: bool) -> bool:
    """Whether a sign is worth writing; input implies that somebody is there."""
    last = max(_told.get((member_id, True), 0.0), 0.0 if touched else _told.get((member_id, False), 0.0))
    return time.monotonic() - last >= EVERY or not last


def of_life(member_id: UUID, *, touched: bool) -> None:
    """Note that an agent was seen, or even typed or clicked. One statement, or none."""
    if not due(member_id, touched=touched):
        return
    if len(_told) >= MOST:
        _told.clear()
    _told[member_id, touched] = time.monotonic()
    fields = ("last_seen_at", "last_input_at") if touched else ("last_seen_at",)
    with scopes_disabled():
        AgentProfile.objects.filter(member_id=member_id).update(**dict.fromkeys(fields, Now()))
