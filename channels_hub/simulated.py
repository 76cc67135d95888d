"""What the simulator's phones remember. They stand for a platform of others: the desk never reads them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from accounts.vault import EncryptedBinaryField


class SimPhone(TenantModel):
    """A customer's phone on the simulated platform."""

    account = models.ForeignKey(
        "channels_hub.ChannelAccount", on_delete=models.CASCADE, related_name="phones", db_index=False
    )
    number = models.CharField(_("number"), max_length=20)  # as the platform writes it: +5511987654321
    name = models.CharField(_("profile name"), max_length=60)
    receives = models.BooleanField(_("receives messages"), default=True)
    reads = models.BooleanField(_("sends read receipts"), default=True)
    # Confirms without an open page, for tests and measurements.
    always_on = models.BooleanField(_("always on"), default=False)
    wrote_at = models.DateTimeField(null=True)  # platform clock; opens the 24 h window
    typing_until = models.DateTimeField(null=True)  # the desk shows "typing" until then
    revision = models.PositiveBigIntegerField(default=1)  # grows with everything a page shows
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("simulated phone")
        verbose_name_plural = _("simulated phones")
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["account", "number"], name="one_phone_per_number")]

    def __str__(self) -> str:
        return self.name


class SimMessage(TenantModel):
    """A bubble on a phone. Its id is the platform's message id."""

    class State(models.TextChoices):
        SENDING = "sending", _("sending")  # the customer's, on its way to the desk
        SENT = "sent", _("sent")
        DELIVERED = "delivered", _("delivered")
        READ = "read", _("read")
        FAILED = "failed", _("not delivered")

    phone = models.ForeignKey(SimPhone, on_delete=models.CASCADE, related_name="messages", db_index=False)
    is_mine = models.BooleanField()  # written on this phone, else by the desk
    place = models.PositiveBigIntegerField()  # in the chat, from the oldest
    text = models.TextField(blank=True)
    options = models.JSONField(default=list)  # [{"id", "title", "description"}]
    options_style = models.CharField(max_length=16, blank=True)
    choice = models.JSONField(null=True)  # {"id", "title", "kind"} that the customer tapped
    media = models.JSONField(default=list)  # [{"kind", "mime", "filename", "url"}] from the desk
    photo = EncryptedBinaryField(null=True)
    photo_type = models.CharField(max_length=20, blank=True)
    location = models.JSONField(null=True)  # {"latitude", "longitude", "label"}
    reply_to = models.CharField(max_length=64, blank=True)
    client_ref = models.CharField(
        max_length=64, blank=True
    )  # the desk's own reference: one message per reference
    state = models.CharField(max_length=10, choices=State)
    reported = models.CharField(max_length=10, blank=True)  # the state that the desk was told last
    trouble = models.CharField(max_length=40, blank=True)
    at = models.DateTimeField()  # platform clock
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("message on a simulated phone")
        verbose_name_plural = _("messages on simulated phones")
        ordering = ["place"]
        constraints = [
            models.UniqueConstraint(fields=["phone", "place"], name="sim_one_message_per_place"),
            models.UniqueConstraint(
                fields=["phone", "client_ref"],
                condition=~Q(client_ref=""),
                name="sim_one_message_per_reference",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
