"""Our own webhooks: who is told of what happens here, and every time somebody was told."""

from __future__ import annotations

from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from accounts.vault import EncryptedJSONField
from channels_hub import http


class HookEvent(models.TextChoices):
    """What an endpoint can be told of."""

    MESSAGE_STATUS = "message.status", _("A message of ours was sent, delivered, read or failed")
    MESSAGE_RECEIVED = "message.received", _("A customer wrote")
    CONVERSATION_MOVED = "conversation.moved", _("A conversation changed its state, queue or agent")


def check_address(url: str) -> None:
    """Refuse a URL that we would not call: no https, or a private address. Raises ValidationError.

    A name is looked up when it is called, each time: what it leads to today says nothing of tomorrow.
    """
    try:
        http.check_url(url)
    except http.ForbiddenAddress as error:
        raise ValidationError(_("Enter a plain https address.")) from error
    parts = urlsplit(url)
    host = parts.hostname or ""
    if http.is_allowed_private(host, parts.port or {"http": 80, "https": 443}[parts.scheme]):
        return
    if parts.scheme != "https":
        raise ValidationError(_("Enter a plain https address."))
    if host == "localhost" or (_is_ip(host) and not http.is_public(host)):
        raise ValidationError(_("This address is not on the public internet."))


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class WebhookEndpoint(TenantModel):
    """A URL of the customer's own systems that is told of what happens at the desk."""

    url = models.URLField(_("URL"), max_length=500)
    description = models.CharField(_("description"), max_length=200, blank=True)
    events = models.JSONField(_("events"), default=list)  # names; empty: all
    secrets = EncryptedJSONField(editable=False)  # {"current", "previous"}; both sign while there are two
    is_active = models.BooleanField(_("active"), default=True)
    failing_since = models.DateTimeField(null=True, editable=False)
    disabled_because = models.CharField(max_length=200, blank=True, editable=False)
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("outgoing webhook")
        verbose_name_plural = _("outgoing webhooks")
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.url

    def keys(self) -> dict[str, str]:
        """The secrets, decrypted."""
        return cast(dict[str, str], self.secrets or {})

    def clean(self) -> None:
        """Both doors, API and admin, check here."""
        try:
            check_address(self.url)
        except ValidationError as error:
            raise ValidationError({"url": error.messages}) from error
        if not isinstance(self.events, list) or not set(self.events) <= set(HookEvent.values):
            known = ", ".join(HookEvent.values)
            raise ValidationError({"events": _("Choose among: %(events)s.") % {"events": known}})


class WebhookMessage(TenantModel):
    """One event on its way to one endpoint. Its id is the `webhook-id`, the same in every attempt."""

    class State(models.TextChoices):
        PENDING = "pending", _("Waiting")  # -> delivered, failed; failed -> pending by resend
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Failed")

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    type = models.CharField(max_length=40)  # message.status
    data = models.JSONField()
    occurred_at = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("webhook message")
        verbose_name_plural = _("webhook messages")
        ordering = ["-occurred_at", "-id"]
        indexes = [
            # the drain asks each endpoint "what is due?"
            models.Index(fields=["endpoint", "next_at"], condition=Q(state="pending"), name="webhooks_due"),
            models.Index(fields=["endpoint", "-occurred_at"], name="webhooks_of_endpoint"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"


class WebhookAttempt(TenantModel):
    """One call of an endpoint, and what it answered."""

    message = models.ForeignKey(
        WebhookMessage, on_delete=models.CASCADE, related_name="calls", db_index=False
    )
    number = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    milliseconds = models.PositiveIntegerField(null=True)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.CharField(max_length=500, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["message", "number"], name="webhook_attempt_once")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.number}"
