"""Departments, queues and the people who serve them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from accounts.tenancy import TenantModel
from queues.hours import Hours, InvalidHours


class Priority(models.IntegerChoices):
    """Priority of a conversation in its queue."""

    LOW = 10, _("low")
    NORMAL = 50, _("normal")
    HIGH = 80, _("high")
    URGENT = 100, _("urgent")


PRIORITY_BY_NAME = {"low": 10, "normal": 50, "high": 80, "urgent": 100}


class Calendar(TenantModel):
    """When a team is at work. Intervals may pass midnight; closed dates win."""

    name = models.CharField(_("name"), max_length=80)
    timezone = models.CharField(_("time zone"), max_length=64, default="America/Sao_Paulo")
    # [{"weekday": "mon", "start": "09:00", "end": "18:00"}, ...]; an end before its start passes midnight
    intervals = models.JSONField(_("opening hours"), default=list)
    closed_dates = models.JSONField(_("closed dates"), default=list, blank=True)  # ["2026-12-25", ...]

    class Meta:
        verbose_name = _("calendar")
        verbose_name_plural = _("calendars")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            self.hours()
        except InvalidHours as error:
            raise ValidationError(str(error)) from error

    def hours(self) -> Hours:
        return Hours.parse(self.timezone, self.intervals, self.closed_dates)


class Department(TenantModel):
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("slug"))
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("department")
        verbose_name_plural = _("departments")
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="department_slug")]

    def __str__(self) -> str:
        return self.name


class Queue(TenantModel):
    """A waiting line. How many wait is never stored: it is counted under the queue's lock."""

    class Routing(models.TextChoices):
        ROUND_ROBIN = "round_robin", _("round robin")
        LOAD_BALANCE = "load_balance", _("load balance")
        MANUAL = "manual", _("manual")
        SKILLS_BASED = "skills_based", _("by skills")

    class IdleAction(models.TextChoices):
        QUEUE = "queue", _("back to the queue")
        BOT = "bot", _("back to the bot")
        SUPERVISOR = "supervisor", _("tell a supervisor")

    department = models.ForeignKey(Department, on_delete=models.PROTECT, related_name="queues")
    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(_("slug"))
    is_active = models.BooleanField(_("active"), default=True)
    priority = models.PositiveSmallIntegerField(
        _("priority"), default=50, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    max_queue_size = models.PositiveIntegerField(
        _("places"), null=True, blank=True, validators=[MinValueValidator(1)], help_text=_("Empty: no limit.")
    )
    overflow_queue = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("overflow to"),
    )
    max_conversations_per_agent = models.PositiveSmallIntegerField(
        _("conversations per agent"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    routing_mode = models.CharField(
        _("routing"), max_length=16, choices=Routing.choices, default=Routing.MANUAL
    )
    auto_assign_conversations = models.BooleanField(_("assign automatically"), default=False)
    sla_minutes = models.PositiveIntegerField(_("longest wait in minutes"), null=True, blank=True)
    calendar = models.ForeignKey(Calendar, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    # {"allowed_agent_ids": [member id, ...], "skills_required": [skill slug, ...]}; empty: everybody
    settings = models.JSONField(_("who may serve"), default=dict, blank=True)
    handoff_notice = models.CharField(_("notice to the customer"), max_length=500, blank=True)
    agent_idle_minutes = models.PositiveSmallIntegerField(
        _("agent idle after minutes"), null=True, blank=True
    )
    agent_idle_action = models.CharField(
        _("then"), max_length=10, choices=IdleAction.choices, default=IdleAction.QUEUE
    )
    wait_limit_minutes = models.PositiveIntegerField(
        _("give up waiting after minutes"), null=True, blank=True
    )
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="queue_slug"),
            models.CheckConstraint(condition=Q(priority__lte=100), name="queue_priority_0_to_100"),
            models.CheckConstraint(
                condition=Q(overflow_queue__isnull=True) | ~Q(overflow_queue=models.F("id")),
                name="queue_overflows_elsewhere",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self._refuse_overflow_cycle()
        self._check_settings()

    def _refuse_overflow_cycle(self) -> None:
        seen, here = {self.pk}, self.overflow_queue
        while here is not None:
            if here.pk in seen:
                raise ValidationError({"overflow_queue": _("The overflow queues point in a circle.")})
            seen.add(here.pk)
            here = here.overflow_queue

    def _check_settings(self) -> None:
        wanted = self.settings if isinstance(self.settings, dict) else None
        if wanted is None or set(wanted) - {"allowed_agent_ids", "skills_required"}:
            raise ValidationError({"settings": _("Only allowed_agent_ids and skills_required are known.")})
        ids, skills = wanted.get("allowed_agent_ids", []), wanted.get("skills_required", [])
        if not _texts(ids) or not _texts(skills):
            raise ValidationError({"settings": _("Both settings are lists of texts.")})
        known = {str(pk) for pk in Membership.objects.values_list("pk", flat=True)} if ids else set()
        if unknown := set(ids) - known:
            raise ValidationError({"settings": _("Unknown agents: %s") % ", ".join(sorted(unknown))})
        slugs = set(Skill.objects.values_list("slug", flat=True)) if skills else set()
        if unknown := set(skills) - slugs:
            raise ValidationError({"settings": _("Unknown skills: %s") % ", ".join(sorted(unknown))})

    @property
    def allowed_agent_ids(self) -> frozenset[UUID]:
        return frozenset(UUID(str(pk)) for pk in self.settings.get("allowed_agent_ids", []))

    @property
    def skills_required(self) -> frozenset[str]:
        return frozenset(self.settings.get("skills_required", []))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


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
    presence = models.CharField(
        _("presence"), max_length=10, choices=Presence.choices, default=Presence.OFFLINE
    )
    presence_since = models.DateTimeField(db_default=Now(), editable=False)
    last_assigned_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")

    def __str__(self) -> str:
        return str(self.member)


class AgentSkill(TenantModel):
    agent = models.ForeignKey(AgentProfile, on_delete=models.CASCADE, related_name="skills")
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
