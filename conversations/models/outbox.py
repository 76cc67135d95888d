"""Platform calls still to make or made, each attempt at them, and what the platform told of them."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount, MediaFile
from conversations.models.conversation import Conversation
from conversations.models.talk import Message

DEAD = ("failed", "expired", "unknown")  # over, unless a person has it sent again


class Delivery(TenantModel):
    """One platform call still to make or made: the outbox row. Its id is our reference on the platform."""

    class Origin(models.TextChoices):
        AGENT = "agent"
        BOT = "bot"
        SYSTEM = "system"
        API = "api"
        BULK = "bulk"

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
    looked_up_at = models.DateTimeField(null=True)  # unconfirmed: when the platform was asked last
    look_ups = models.PositiveSmallIntegerField(default=0)
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
            # dead letters: the list and its badge; the wall: what failed in the last hour
            models.Index(
                fields=["organization", "settled_at", "id"], condition=Q(status__in=DEAD), name="dead_letters"
            ),
            # what waits for evidence
            models.Index(fields=["settled_at"], condition=Q(status="unknown"), name="outbox_unconfirmed"),
            models.Index(
                fields=["channel", "provider_id"], condition=~Q(provider_id=""), name="outbox_by_provider_id"
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return str(self.pk)


class DeadLetter(Delivery):
    """A delivery that reached nobody, or of which nobody knows. Lists narrow to DEAD themselves."""

    class Meta:
        proxy = True
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")


class Pace(TenantModel):
    """How a channel's sending stands: whose turn it is, whether it rests. Locked while rows are claimed."""

    channel = models.OneToOneField(ChannelAccount, on_delete=models.CASCADE, related_name="pace")
    served_at = models.DateTimeField(null=True)
    served = models.PositiveBigIntegerField(default=0)  # deliveries claimed so far
    failures = models.PositiveSmallIntegerField(default=0)  # connections in a row that reached nobody
    rests_until = models.DateTimeField(null=True)
    rests_because = models.CharField(max_length=40, blank=True)
    next_look_at = models.DateTimeField(null=True)  # when the platform is asked again what came in
    looked_until = models.DateTimeField(null=True)  # up to when its answers are known

    class Meta:
        verbose_name = _("pace")
        verbose_name_plural = _("paces")

    def __str__(self) -> str:
        return str(self.channel)


class Attempt(TenantModel):
    """One call of the platform: written with the claim, before the call; its end tells how it went.

    What was said and answered is kept without secrets and without what the message says.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries", db_index=False)
    channel = models.ForeignKey(ChannelAccount, on_delete=models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveSmallIntegerField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, blank=True)
    code = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField(null=True)
    request = models.JSONField(null=True)  # {"method", "url", "fields": [names]}
    response = models.JSONField(null=True)  # {"status", "fields": {...}} in the platform's words

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        indexes = [
            models.Index(fields=["delivery", "number"], name="attempts_of_delivery"),
            # the rate: calls under way, and those that ended within the last moments
            models.Index(fields=["channel", "-ended_at"], name="attempts_of_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.number}"


class Receipt(TenantModel):
    """A status report as it came; the delivery's own status is the highest of its last try's."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="receipts")
    provider_id = models.CharField(max_length=255, blank=True, default="")  # which of the tries it tells of
    state = models.CharField(max_length=12)
    code = models.CharField(max_length=40, blank=True)
    detail = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()  # by the platform's clock, where it tells
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("receipt")
        verbose_name_plural = _("receipts")
        ordering = ["received_at", "id"]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.state}"


class Later(TenantModel):
    """What an agent wrote to be sent at a time, or when the customer's window opens again."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")  # -> sent, cancelled, refused
        SENT = "sent", _("Sent")
        CANCELLED = "cancelled", _("Cancelled")
        REFUSED = "refused", _("Not sent")

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="laters")
    author = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="+")
    text = models.TextField(blank=True)
    template = models.JSONField(null=True)  # {"ref", "language", "name", "body": {"1": ...}, "text"}
    send_at = models.DateTimeField(null=True)  # None: when the window opens
    expires_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    reason = models.CharField(max_length=40, blank=True)
    message = models.ForeignKey(Message, null=True, on_delete=models.SET_NULL, related_name="+")
    client_id = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("message for later")
        verbose_name_plural = _("messages for later")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "client_id"], condition=~Q(client_id=""), name="later_once"
            )
        ]
        indexes = [
            models.Index(fields=["send_at"], condition=Q(state="waiting"), name="laters_due"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class LaterFile(TenantModel):
    """A file that goes out with a planned message."""

    later = models.ForeignKey(Later, on_delete=models.CASCADE, related_name="files")
    media = models.ForeignKey(MediaFile, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.later_id} {self.position}"
