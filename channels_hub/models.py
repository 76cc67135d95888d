"""Channel accounts, the raw inbox and files: what the platforms gave us and how to reach them."""

from __future__ import annotations

import hashlib
import secrets as random
from datetime import datetime, timedelta
from typing import cast

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from accounts.vault import EncryptedBinaryField, EncryptedJSONField
from channels_hub import registry
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.vocabulary import InboundEvent as Event
from channels_hub.vocabulary import MediaRef, RawRequest

__all__ = [
    "ChannelAccount", "InboundEvent", "MediaFile", "MessageTemplate", "SimMessage", "SimPhone", "hashed",
    "random_public_id",
]  # fmt: skip


REFUSED_EVERY = timedelta(minutes=1)


def random_public_id() -> str:
    """128 random bits: the part of a webhook URL that nobody can guess."""
    return random.token_hex(16)


class ChannelAccount(TenantModel):  # type: ignore[django-manager-missing]
    """One sender of the organization on one platform."""

    class Health(models.TextChoices):
        OK = "ok", _("Working")
        ATTENTION = "attention", _("Needs attention")
        UNKNOWN = "unknown", _("Not tested yet")

    kind = models.SlugField(_("kind"), max_length=32)
    name = models.CharField(_("name"), max_length=120)
    address = models.CharField(_("address"), max_length=200, blank=True)
    public_id = models.CharField(max_length=32, unique=True, default=random_public_id, editable=False)
    config = models.JSONField(_("settings"), default=dict, blank=True)
    secrets = EncryptedJSONField(_("secrets"), blank=True)
    is_active = models.BooleanField(_("active"), default=True)
    rate_per_second = models.FloatField(_("messages per second"), null=True, blank=True)  # None: the kind's
    health = models.CharField(_("health"), max_length=16, choices=Health, default=Health.UNKNOWN)
    health_detail = models.CharField(max_length=300, blank=True)
    health_at = models.DateTimeField(null=True, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    refused_at = models.DateTimeField(null=True, editable=False)  # a call with a wrong signature, lately
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "address"],
                condition=~models.Q(address=""),
                name="one_account_per_address",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def has_secrets(self) -> list[str]:
        """Names of the secrets that are set; their values are never shown again."""
        return sorted(name for name, value in self.keys().items() if value)

    def keys(self) -> dict[str, str]:
        """The decrypted secrets, as adapters take them."""
        return cast(dict[str, str], self.secrets or {})

    def webhook_base(self) -> str:
        """Public root of this channel's webhooks, ends with a slash."""
        public = settings.PUBLIC_URL.rstrip("/")
        return f"{public}/webhooks/{registry.url_kind(self.kind)}/{self.public_id}/"

    def webhook_url(self) -> str:
        """What an admin enters at the platform."""
        return self.webhook_base() + registry.adapter_class(self.kind).inbound_part

    def note_refused(self, now: datetime) -> None:
        """A call for this channel was not rightly signed. Written once a minute, however many come."""
        rows = ChannelAccount.objects.filter(pk=self.pk)
        rows.exclude(refused_at__gt=now - REFUSED_EVERY).update(refused_at=now)

    def mark(self, health: str, detail: str = "", *, at: datetime | None = None) -> None:
        """Record how the channel is doing."""
        self.health, self.health_detail, self.health_at = health, detail[:300], at or timezone.now()
        self.save(update_fields=["health", "health_detail", "health_at"])


def hashed(purpose: str, *parts: str) -> bytes:
    """32 bytes that reveal nothing of the parts and fit a unique index however long those are."""
    value = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return salted_hmac(f"channels_hub.{purpose}", value, algorithm="sha256").digest()


class InboundEvent(TenantModel):
    """One event of a webhook call, kept as it came until it has been dealt with."""

    class State(models.TextChoices):
        NEW = "new", _("Waiting")  # -> done, ignored, dead
        DONE = "done", _("Done")
        IGNORED = "ignored", _("Nothing to do")
        DEAD = "dead", _("Could not be processed")  # -> new by replay

    account = models.ForeignKey(
        ChannelAccount, on_delete=models.CASCADE, related_name="inbox", db_index=False
    )
    key = models.BinaryField(max_length=32, editable=False)
    sender_key = models.BinaryField(max_length=16, editable=False)
    method = models.CharField(max_length=8)
    url = models.CharField(max_length=2000)
    headers = models.JSONField(default=dict)
    body = EncryptedBinaryField()
    part = models.PositiveIntegerField(default=0)
    kind = models.CharField(max_length=16)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=8, choices=State, default=State.NEW)
    attempts = models.PositiveSmallIntegerField(default=0)
    reason = models.TextField(blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("inbound event")
        verbose_name_plural = _("inbound events")
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="one_row_per_event")]
        indexes = [
            # The drain asks "what is due?"; done rows, nearly all of the table, are not in this index.
            models.Index(fields=["next_attempt_at"], name="inbox_due", condition=models.Q(state="new")),
            # "Has this person something older waiting?" keeps the order per sender.
            models.Index(
                fields=["account", "sender_key", "received_at", "part"],
                name="inbox_by_sender",
                condition=models.Q(state="new"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @staticmethod
    def key_for(account: ChannelAccount, dedup_key: str) -> bytes:
        """Unique per event of an account, whatever its id at the platform looks like."""
        return hashed("inbox", account.kind, account.public_id, dedup_key)

    @staticmethod
    def sender_key_for(account: ChannelAccount, event: Event) -> bytes:
        """Equal for everything that concerns one person on one account."""
        if event.thread:
            about = event.thread.key
        elif event.sender:
            about = event.sender.addresses[0].value
        else:
            about = event.message_id or event.dedup_key
        return hashed("sender", str(account.pk), about)[:16]

    def request(self) -> RawRequest:
        """The call again, as the adapter's `parse` wants to see it."""
        return RawRequest(self.method, self.url, self.headers, bytes(self.body), received_at=self.received_at)


def media_path(media: MediaFile, filename: str) -> str:
    """A name that tells nothing; the sender's file name stays in the row."""
    return f"{media.organization_id}/{random.token_hex(16)}"


class MediaFile(TenantModel):
    """A file a customer sent us, or one of ours."""

    class State(models.TextChoices):
        PENDING = "pending", _("Being fetched")  # -> ok, unavailable
        OK = "ok", _("Stored")
        UNAVAILABLE = "unavailable", _("No longer available")

    account = models.ForeignKey(ChannelAccount, on_delete=models.CASCADE, related_name="media")
    kind = models.CharField(max_length=16)
    mime = models.CharField(max_length=120, blank=True)
    filename = models.CharField(max_length=255, blank=True)
    size = models.PositiveBigIntegerField(null=True, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    thumbnail = models.FileField(upload_to=media_path, blank=True, max_length=200)
    uploader = models.ForeignKey(
        "accounts.Membership", null=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    reason = models.CharField(max_length=200, blank=True)
    source = models.JSONField(default=dict, blank=True)
    file = models.FileField(upload_to=media_path, blank=True, max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("file")
        verbose_name_plural = _("files")
        ordering = ["-created_at"]
        indexes = [
            # The fetcher asks "what is due?".
            models.Index(fields=["next_attempt_at"], name="media_due", condition=models.Q(state="pending"))
        ]

    def __str__(self) -> str:
        return self.filename or f"{self.kind} {self.id}"

    def ref(self) -> MediaRef:
        """Where the platform keeps it."""
        return MediaRef(
            kind=self.kind, mime=self.mime, filename=self.filename, size=self.size, sha256=self.sha256,
            url=self.source.get("url", ""), media_id=self.source.get("media_id", ""),
        )  # fmt: skip


class MessageTemplate(TenantModel):
    """A message that the platform keeps and approves; it may go out while the window is closed."""

    class Approval(models.TextChoices):
        DRAFT = "draft", _("Not submitted")
        PENDING = "pending", _("Being reviewed")
        APPROVED = "approved", _("Approved")
        REJECTED = "rejected", _("Rejected")
        PAUSED = "paused", _("Paused")

    account = models.ForeignKey(
        ChannelAccount, on_delete=models.CASCADE, related_name="templates", db_index=False
    )
    ref = models.CharField(max_length=120, editable=False)  # HX… at Twilio
    name = models.CharField(_("name"), max_length=120)
    language = models.CharField(_("language"), max_length=16)
    category = models.CharField(_("category"), max_length=32, blank=True)
    body = models.TextField(_("text"))  # with {{1}} or {{name}}
    variables = models.JSONField(default=dict, blank=True)  # name -> sample
    buttons = models.JSONField(default=list, blank=True)
    media = models.JSONField(default=list, blank=True)
    approval = models.CharField(
        _("approval"), max_length=10, choices=Approval.choices, default=Approval.DRAFT
    )
    reason = models.CharField(max_length=300, blank=True)
    is_active = models.BooleanField(_("offered to agents"), default=True)
    synced_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("platform template")
        verbose_name_plural = _("platform templates")
        ordering = ["name", "language"]
        constraints = [models.UniqueConstraint(fields=["account", "ref"], name="template_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.language})"
