"""Retention: raw webhook bodies are personal data and go after the organization's limit."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from django_scopes import scope

from accounts.models import IdempotencyKey, Organization
from channels_hub import media
from channels_hub.models import InboundEvent, MediaFile
from conversations import laters
from conversations.models import Attachment, LaterFile, WebhookMessage
from conversations.moves import database_now

ANSWERS_KEPT = timedelta(hours=24)
UNSENT_KEPT = timedelta(days=2)
KEYS_KEPT = timedelta(days=9)  # Meta repeats for 7 days; a body may go earlier, its key may not


def drop_old_raw_bodies() -> int:
    """Drop raw rows and what we told others past the limit (never before 9 days); tidy up besides."""
    now, dropped = database_now(), 0
    for organization in Organization.objects.all():
        kept = max(timedelta(days=organization.raw_retention_days), KEYS_KEPT)
        with scope(organization=organization):
            old = InboundEvent.objects.filter(received_at__lt=now - kept).exclude(
                state=InboundEvent.State.NEW
            )
            dropped += old.delete()[0]
            WebhookMessage.objects.filter(occurred_at__lt=now - kept).delete()
            IdempotencyKey.objects.filter(created_at__lt=now - ANSWERS_KEPT).delete()
            _drop_unsent(now)
    media.sweep_orphans()
    return dropped


def _drop_unsent(now: datetime) -> None:
    """Files that somebody uploaded and no message took; their bytes go with the next sweep of orphans."""
    old = MediaFile.objects.filter(uploader__isnull=False, created_at__lt=now - UNSENT_KEPT)
    sent = Attachment.objects.filter(media=OuterRef("pk"))
    planned = LaterFile.objects.filter(media=OuterRef("pk"), later__state__in=laters.SHOWN)
    old.filter(~Exists(sent), ~Exists(planned)).delete()
