"""By when things must have happened, and what the desk does when they have not."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from queues.models.calendar import Calendar
from queues.models.priority import Priority

TIMES = ("wait_minutes", "first_response_minutes", "next_response_minutes", "resolution_minutes")
LONGEST = 366 * 24 * 60  # minutes


class SlaPolicy(TenantModel):
    """By when things must have happened. Times are minutes; an empty target is not watched."""

    class Clock(models.TextChoices):
        BUSINESS = "business", _("opening hours only")
        CALENDAR = "calendar", _("around the clock")

    name = models.CharField(_("name"), max_length=80)
    clock = models.CharField(_("time counts"), max_length=8, choices=Clock.choices, default=Clock.BUSINESS)
    # Business time without a calendar here follows the calendar of the conversation's queue.
    calendar = models.ForeignKey(
        Calendar,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("calendar"),
    )
    wait_minutes = models.PositiveIntegerField(
        _("wait in the queue"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    first_response_minutes = models.PositiveIntegerField(
        _("first response"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    next_response_minutes = models.PositiveIntegerField(
        _("next response"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    resolution_minutes = models.PositiveIntegerField(
        _("resolution"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    warn_percent = models.PositiveSmallIntegerField(
        _("warn at percent of the time"),
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
    )
    revision = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("SLA policy")
        verbose_name_plural = _("SLA policies")
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="sla_policy_once")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        given = [getattr(self, name) for name in TIMES if getattr(self, name) is not None]
        if not given:
            raise ValidationError(_("Set a time for at least one target."))
        if max(given) > LONGEST:
            raise ValidationError(_("A time may be a year at most."))


class SlaTarget(models.TextChoices):
    """What a policy sets a time for. The values are deadline kinds of a conversation, too."""

    WAIT = "sla_wait", _("wait in the queue")
    FIRST_RESPONSE = "sla_first", _("first response")
    NEXT_RESPONSE = "sla_next", _("next response")
    RESOLUTION = "sla_resolution", _("resolution")


class SlaEscalation(TenantModel):
    """What the desk does by itself when a target is near or missed."""

    class Stage(models.TextChoices):
        WARNING = "warning", _("when it is near")
        BREACH = "breach", _("when it is missed")

    class Act(models.TextChoices):
        RAISE_PRIORITY = "raise_priority", _("raise the priority")
        MOVE = "move", _("move to another queue")
        NOTIFY = "notify", _("tell a supervisor")
        REASSIGN = "reassign", _("give it to another agent")

    policy = models.ForeignKey(SlaPolicy, on_delete=models.CASCADE, related_name="escalations")
    position = models.PositiveSmallIntegerField(_("order"), default=0)
    target = models.CharField(
        _("target"), max_length=14, choices=SlaTarget.choices, blank=True, help_text=_("Empty: any.")
    )
    stage = models.CharField(_("when"), max_length=8, choices=Stage.choices, default=Stage.BREACH)
    act = models.CharField(_("then"), max_length=14, choices=Act.choices)
    priority = models.PositiveSmallIntegerField(
        _("to priority"), choices=Priority.choices, null=True, blank=True
    )
    queue = models.ForeignKey(
        "queues.Queue",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("to queue"),
    )

    class Meta:
        verbose_name = _("escalation")
        verbose_name_plural = _("escalations")
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(act="raise_priority") | Q(priority__isnull=False), name="raise_names_priority"
            ),
            models.CheckConstraint(
                condition=~Q(act="move") | Q(queue__isnull=False), name="move_names_queue"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_stage_display()}: {self.get_act_display()}"

    def clean(self) -> None:
        if self.act == self.Act.RAISE_PRIORITY and self.priority is None:
            raise ValidationError({"priority": _("Say which priority it shall have.")})
        if self.act == self.Act.MOVE and self.queue_id is None:
            raise ValidationError({"queue": _("Say which queue it shall go to.")})
