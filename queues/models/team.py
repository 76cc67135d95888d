"""The people who serve: skills, capacity, presence."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel


class Skill(TenantModel):
    name = models.CharField(_("name"), max_length=60)
    slug = models.SlugField(_("slug"))

    class Meta:
        verbose_name = _("skill")
        verbose_name_plural = _("skills")
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="skill_slug")]

    def __str__(self) -> str:
        return self.name


class AgentProfile(TenantModel):
    """How a member works as an agent. Its row is the lock of everything that counts their load."""

    class Presence(models.TextChoices):
        ONLINE = "online", _("available")
        BUSY = "busy", _("busy")
        AWAY = "away", _("away")
        OFFLINE = "offline", _("offline")

    member = models.OneToOneField(Membership, on_delete=models.CASCADE, related_name="agent")
    capacity = models.PositiveSmallIntegerField(_("capacity"), default=5)
    # Who is given less room keeps what they have: what was in order before it was lowered still is.
    capacity_lowered_at = models.DateTimeField(null=True, editable=False)
    capacity_before = models.PositiveSmallIntegerField(null=True, editable=False)  # the most it was
    presence = models.CharField(
        _("presence"), max_length=10, choices=Presence.choices, default=Presence.OFFLINE
    )
    presence_since = models.DateTimeField(db_default=Now(), editable=False)
    break_reason = models.ForeignKey(
        "BreakReason", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    is_automatic = models.BooleanField(default=False, editable=False)  # the desk set this presence
    last_seen_at = models.DateTimeField(null=True, editable=False)  # some page of theirs was open
    last_input_at = models.DateTimeField(null=True, editable=False)  # they typed, clicked or called the API
    # Since then they leave and pass on what they have, to a colleague or to the queues; null: all is done
    passes_on_since = models.DateTimeField(null=True, editable=False)
    passes_on_to = models.ForeignKey(
        Membership, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    last_assigned_at = models.DateTimeField(null=True, editable=False)  # their turn in the rotation

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")

    def __str__(self) -> str:
        return str(self.member)


class AgentSkill(TenantModel):
    agent = models.ForeignKey(AgentProfile, on_delete=models.CASCADE, related_name="skills", db_index=False)
    skill = models.ForeignKey(Skill, on_delete=models.CASCADE, related_name="+")
    level = models.PositiveSmallIntegerField(
        _("level"), default=1, validators=[MinValueValidator(1), MaxValueValidator(5)]
    )

    class Meta:
        verbose_name = _("skill of an agent")
        verbose_name_plural = _("skills of agents")
        constraints = [models.UniqueConstraint(fields=["agent", "skill"], name="one_level_per_skill")]

    def __str__(self) -> str:
        return f"{self.skill} {self.level}"


class BreakReason(TenantModel):
    """Why an agent is away: lunch, training ... chosen when going on a break."""

    name = models.CharField(_("name"), max_length=60)
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("break reason")
        verbose_name_plural = _("break reasons")
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="break_reason_once")]

    def __str__(self) -> str:
        return self.name


class PresenceSpan(TenantModel):
    """One stretch of time in one presence; the open one (no end) equals the profile's."""

    agent = models.ForeignKey(AgentProfile, on_delete=models.CASCADE, related_name="spans", db_index=False)
    presence = models.CharField(max_length=10, choices=AgentProfile.Presence.choices)
    break_reason = models.ForeignKey(BreakReason, null=True, on_delete=models.SET_NULL, related_name="+")
    is_automatic = models.BooleanField(default=False)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("presence")
        verbose_name_plural = _("presences")
        constraints = [
            models.UniqueConstraint(
                fields=["agent"], condition=Q(ended_at__isnull=True), name="one_open_presence_span"
            )
        ]
        indexes = [models.Index(fields=["agent", "-began_at"], name="presence_history")]


class DeskSettings(TenantModel):
    """How an organization treats presence and time-outs. One row, or none for the defaults."""

    gone_after_minutes = models.PositiveSmallIntegerField(
        _("away when no page is open for minutes"), default=2, validators=[MinValueValidator(1)]
    )
    away_after_minutes = models.PositiveSmallIntegerField(
        _("away without any input for minutes"), default=15, validators=[MinValueValidator(1)]
    )
    return_after_minutes = models.PositiveSmallIntegerField(
        _("conversations of a vanished agent go back after minutes"),
        default=10,
        validators=[MinValueValidator(1)],
    )
    bot_silence_minutes = models.PositiveIntegerField(
        _("the bot gives up on a silent customer after minutes"),
        default=24 * 60,
        validators=[MinValueValidator(1)],
    )
    bot_expired_notice = models.CharField(_("notice when the bot gives up"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("desk settings")
        verbose_name_plural = _("desk settings")
        constraints = [models.UniqueConstraint(fields=["organization"], name="one_settings_row")]

    def __str__(self) -> str:
        return str(_("desk settings"))


class RoutingCall(TenantModel):
    """Look at this desk again: written wherever something changes who can take what.

    The router eats these rows, so that a change in a lower floor reaches it without Redis and without a
    signal; its sweep makes up for a lost one.
    """

    reason = models.CharField(max_length=40)
    called_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("call to the router")
        verbose_name_plural = _("calls to the router")
