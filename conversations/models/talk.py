"""What was said: messages, files, notes, and the bot runs that spoke."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount, MediaFile
from conversations.models.conversation import Conversation
from flows.models import FlowVersion


class FlowRun(TenantModel):
    """One run of a flow version in a conversation. The version is pinned until the run ends."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="runs")
    version = models.ForeignKey(FlowVersion, on_delete=models.PROTECT, related_name="+")
    state = models.JSONField(null=True)  # flows.engine.RunState as JSON
    trigger = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=20, blank=True)  # handoff, bot_done, expired, taken_over, failed

    class Meta:
        verbose_name = _("flow run")
        verbose_name_plural = _("flow runs")
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(ended_at__isnull=True), name="one_live_run"
            )
        ]


class Message(TenantModel):
    """What somebody said, in or out. Its seq is its place in the conversation's ledger."""

    class Direction(models.TextChoices):
        IN = "in"
        OUT = "out"

    class Sender(models.TextChoices):
        CONTACT = "contact", _("contact")
        BOT = "bot", _("bot")
        AGENT = "agent", _("agent")
        SYSTEM = "system", _("system")

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    channel = models.ForeignKey(ChannelAccount, on_delete=models.PROTECT, related_name="+")
    seq = models.PositiveIntegerField()
    direction = models.CharField(max_length=3, choices=Direction.choices)
    sender = models.CharField(max_length=8, choices=Sender.choices)
    agent = models.ForeignKey(Membership, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(
        max_length=12, default="text"
    )  # text image audio video file sticker location choice contacts
    text = models.TextField(blank=True)
    options = models.JSONField(default=list)  # [{"id","title"}] that went out with it
    choice = models.JSONField(null=True)  # {"id","title"} the contact pressed
    location = models.JSONField(null=True)  # {"latitude","longitude","label"}
    template = models.JSONField(null=True)  # {"ref", "language", "name", "body"} of one approved beforehand
    contacts = models.JSONField(default=list)  # contact cards as the platform gave them
    reply_to = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    provider_id = models.CharField(max_length=255, blank=True)
    client_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=12, default="received")
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)
    occurred_at = models.DateTimeField()  # the platform's clock for inbound, ours for outbound
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="message_seq_once"),
            models.UniqueConstraint(
                fields=["channel", "provider_id"],
                condition=Q(direction="in") & ~Q(provider_id=""),
                name="inbound_message_once",
            ),
            models.UniqueConstraint(
                fields=["conversation", "client_id"], condition=~Q(client_id=""), name="client_id_once"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class Attachment(TenantModel):
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="attachments")
    media = models.ForeignKey(MediaFile, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position"]


class Note(TenantModel):
    """What colleagues write to each other; the customer never sees it."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="notes", db_index=False
    )
    seq = models.PositiveIntegerField()
    author = models.ForeignKey(Membership, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        constraints = [models.UniqueConstraint(fields=["conversation", "seq"], name="note_seq_once")]
