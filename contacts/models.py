"""The people a company talks to, and the addresses they are known by."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel


class Contact(TenantModel):
    name = models.CharField(_("name"), max_length=200, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    language = models.CharField(_("language"), max_length=10, blank=True)
    fields = models.JSONField(_("own fields"), default=dict, blank=True)
    blocked_at = models.DateTimeField(_("blocked"), null=True, blank=True)
    opted_out_at = models.DateTimeField(_("opted out"), null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")
        indexes = [models.Index(fields=["organization", "name"], name="contact_by_name")]

    def __str__(self) -> str:
        return self.name or str(_("Unknown"))


class Identity(TenantModel):
    """One address of a contact. `value` is canonical; `raw` goes back on the wire untouched."""

    contact = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="identities")
    scheme = models.CharField(max_length=12)
    value = models.CharField(max_length=200)
    raw = models.CharField(max_length=200, blank=True)
    # Spellings of one address share it: a Brazilian mobile with and without the ninth digit.
    equivalence = models.CharField(max_length=200, editable=False)
    unreachable_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("address")
        verbose_name_plural = _("addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "scheme", "equivalence"], name="one_contact_per_address"
            )
        ]

    def __str__(self) -> str:
        return self.value
