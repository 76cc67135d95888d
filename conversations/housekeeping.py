"""Retention: raw webhook bodies are personal data and go after the organization's limit."""

from __future__ import annotations

from datetime import timedelta

from django_scopes import scope

from accounts.models import IdempotencyKey, Organization
from channels_hub import media
from channels_hub.models import InboundEvent
from conversations.moves import database_now

ANSWERS_KEPT = timedelta(hours=24)
KEYS_KEPT = timedelta(days=9)  # Meta repeats for 7 days; a body may go earlier, its key may not


def drop_old_raw_bodies() -> int:
    """Drop raw rows past the limit (never before 9 days) and idempotent answers; tidy the media store."""
    now, dropped = database_now(), 0
    for organization in Organization.objects.all():
        kept = max(timedelta(days=organization.raw_retention_days), KEYS_KEPT)
        with scope(organization=organization):
            old = InboundEvent.objects.filter(received_at__lt=now - kept).exclude(
                state=InboundEvent.State.NEW
            )
            dropped += old.delete()[0]
            IdempotencyKey.objects.filter(created_at__lt=now - ANSWERS_KEPT).delete()
    media.sweep_orphans()
    return dropped
