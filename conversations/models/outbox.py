"""Platform calls still to make or made."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount
from conversations.models.conversation import Conversation
from conversations.models.talk import Message


class Delivery(TenantModel):
    """One platform call still to make or made: the outbox row. Its id is our reference on the platform."""

    class Origin(models.TextChoices):
        AGENT = "agent"
        BOT = "bot"
        SYSTEM = "system"
        API = "api"

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(ChannelAccount, on_delete=models.PROTECT, related_name="+")
    seq = models.PositiveIntegerField()  # of the message: the order within the conversation
    part = models.PositiveSmallIntegerField(default=0)  # of a message split into several calls
    priority = models.PositiveSmallIntegerField(default=0)
    origin = models.CharField(max_length=8, choices=Origin.choices)
    status = models.CharField(max_length=12, default="pending")
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    max_retries = models.PositiveSmallIntegerField(default=3)
    retry_delay = models.FloatField(default=5.0)
    attempt_id = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    provider_id = models.CharField(max_length=255, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("outbox")
        constraints = [
            models.UniqueConstraint(fields=["message", "part"], name="one_delivery_per_part"),
        ]
        indexes = [
            models.Index(
                F("channel"), F("priority").desc(), F("due_at"), F("id"),
                condition=Q(status__in=["pending", "retrying"]), name="outbox_due",
            ),
            models.Index(
                fields=["lease_until"], condition=Q(status="processing"), name="outbox_leases"
            ),
            models.Index(
                fields=["conversation", "seq", "part"],
                condition=Q(status__in=["pending", "retrying", "processing", "unknown"]),
                name="outbox_in_order",
            ),
            # the wall: what failed in the last hour
            models.Index(
                fields=["organization", "settled_at"], condition=Q(status="failed"), name="failed_lately"
            ),
            models.Index(
                fields=["channel", "provider_id"], condition=~Q(provider_id=""), name="outbox_by_provider_id"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.pk)
