"""Flows as they are stored: a draft to work on, versions that never change, triggers that start them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from channels_hub.models import ChannelAccount


class Immutable(Exception):
    """A published version was about to be changed or deleted."""


class Flow(TenantModel):
    """One conversation the bot can have. People edit the draft; runs use the published version."""

    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("slug"))
    description = models.CharField(_("description"), max_length=300, blank=True)
    draft = models.JSONField(_("draft"), default=dict, blank=True)
    # Rises with every saved draft: two editors cannot overwrite each other unseen (ETag, If-Match).
    revision = models.PositiveIntegerField(default=0, editable=False)
    published = models.ForeignKey(
        "FlowVersion",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("published version"),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("flow")
        verbose_name_plural = _("flows")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="flow_slug")]

    def __str__(self) -> str:
        return self.name


class FlowVersion(TenantModel):
    """What was published, for good: a run that began with it ends with it."""

    flow = models.ForeignKey(
        Flow, on_delete=models.PROTECT, related_name="versions", db_index=False, verbose_name=_("flow")
    )
    number = models.PositiveIntegerField(_("number"))
    document = models.JSONField(_("document"))
    note = models.CharField(_("note"), max_length=300, blank=True)
    author = models.ForeignKey(
        Membership,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("author"),
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ["flow", "-number"]
        constraints = [models.UniqueConstraint(fields=["flow", "number"], name="flow_version_number")]

    def __str__(self) -> str:
        return f"{self.flow_id} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Immutable("a published version never changes")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise Immutable("a published version is never deleted")


class Trigger(TenantModel):
    """What a first message must say to start a flow."""

    class Kind(models.TextChoices):
        KEYWORD = "keyword", _("keyword")

    flow = models.ForeignKey(Flow, on_delete=models.CASCADE, related_name="triggers", verbose_name=_("flow"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices, default=Kind.KEYWORD)
    phrases = models.JSONField(_("phrases"), default=list)  # ["segunda via", "boleto", ...]
    account = models.ForeignKey(
        ChannelAccount,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("channel"),
        help_text=_("Empty: every channel."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("trigger")
        verbose_name_plural = _("triggers")
        # Triggers compete in the order of their creation (flows.triggers.choose).
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return ", ".join(self.words())[:80]

    def words(self) -> tuple[str, ...]:
        """The phrases as far as they are texts."""
        listed = self.phrases if isinstance(self.phrases, list) else ()
        return tuple(phrase for phrase in listed if isinstance(phrase, str) and phrase.strip())

    def clean(self) -> None:
        if not self.words() or len(self.words()) != len(self.phrases):
            raise ValidationError({"phrases": _("A list of one or more phrases.")})
