"""Departments and their waiting lines."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import Membership
from accounts.tenancy import TenantModel
from queues import notices, overflow
from queues.models.calendar import Calendar
from queues.models.sla import SlaPolicy
from queues.models.team import Skill
from queues.who_serves import WhoServes


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

    class ClosedAction(models.TextChoices):
        WAIT = "wait", _("wait until it opens")
        OVERFLOW = "overflow", _("go where the overflow rules say")
        REFUSE = "refuse", _("say so and end the conversation")

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
    # Who may serve, as `queues.who_serves` reads it; empty: everybody
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
    abandoned_notice = models.CharField(_("notice when the wait is given up"), max_length=500, blank=True)
    closed_action = models.CharField(
        _("outside opening hours"), max_length=10, choices=ClosedAction.choices, default=ClosedAction.WAIT
    )
    closed_notice = models.CharField(_("notice outside opening hours"), max_length=500, blank=True)
    offer_seconds = models.PositiveSmallIntegerField(
        _("seconds to accept an offer"),
        null=True,
        blank=True,
        validators=[MinValueValidator(5), MaxValueValidator(600)],
        help_text=_("Empty: conversations are assigned without asking."),
    )
    sticky_minutes = models.PositiveIntegerField(
        _("same agent within minutes"),
        null=True,
        blank=True,
        help_text=_("A customer who returns within this time meets the same agent, if available."),
    )
    sla_policy = models.ForeignKey(
        SlaPolicy,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="queues",
        verbose_name=_("SLA policy"),
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
        if self.overflow_queue is not None:
            refuse_circle(self, self.overflow_queue, field="overflow_queue")
        self._check_settings()
        self._check_notices()

    def _check_notices(self) -> None:
        for name in ("handoff_notice", "closed_notice", "abandoned_notice"):
            if unknown := notices.unknown(getattr(self, name)):
                raise ValidationError({name: _("Unknown: %(these)s. Known are %(known)s.") % {
                    "these": ", ".join(f"{{{one}}}" for one in unknown),
                    "known": ", ".join(f"{{{one}}}" for one in notices.KNOWN),
                }})  # fmt: skip

    def _check_settings(self) -> None:
        try:
            wanted = WhoServes.read(self.settings)
        except ValueError as error:
            raise ValidationError({"settings": str(error)}) from error
        ids, skills = wanted.allowed_agent_ids, wanted.skills
        known = {str(pk) for pk in Membership.objects.values_list("pk", flat=True)} if ids else set()
        if unknown := {str(pk) for pk in ids} - known:
            raise ValidationError({"settings": _("Unknown agents: %s") % ", ".join(sorted(unknown))})
        slugs = set(Skill.objects.values_list("slug", flat=True)) if skills else set()
        if unknown := skills - slugs:
            raise ValidationError({"settings": _("Unknown skills: %s") % ", ".join(sorted(unknown))})

    @property
    def routes_itself(self) -> bool:
        """Whether the desk gives its conversations to agents; otherwise they take them."""
        return self.auto_assign_conversations and self.routing_mode != self.Routing.MANUAL

    @property
    def allowed_agent_ids(self) -> frozenset[UUID]:
        return self.who_serves.allowed_agent_ids

    @property
    def skills_required(self) -> dict[str, int]:
        """The skills an agent must have, each with the lowest level that will do."""
        return dict(self.who_serves.required)

    @property
    def who_serves(self) -> WhoServes:
        return WhoServes.read(self.settings)


class OverflowRule(TenantModel):
    """When a condition holds, new conversations (or, after waiting, old ones) go to another queue.

    The rules of a queue are asked in their order; the first that holds and leads to a place wins. The plain
    rule `Queue.overflow_queue` (when full) is asked after them.
    """

    class Condition(models.TextChoices):
        FULL = "full", _("the queue is full")
        WAITED = "waited", _("waited too long")
        CLOSED = "closed", _("outside opening hours")
        NOBODY = "nobody", _("no agent can take it")

    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="overflow_rules")
    position = models.PositiveSmallIntegerField(_("order"), default=0)
    condition = models.CharField(_("when"), max_length=8, choices=Condition.choices)
    after_minutes = models.PositiveIntegerField(
        _("after minutes"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    target = models.ForeignKey(
        Queue, on_delete=models.CASCADE, related_name="+", verbose_name=_("overflow to")
    )

    class Meta:
        verbose_name = _("overflow rule")
        verbose_name_plural = _("overflow rules")
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=~Q(queue=models.F("target")), name="rule_leads_elsewhere"),
            models.CheckConstraint(
                condition=Q(condition="waited") & Q(after_minutes__isnull=False)
                | ~Q(condition="waited") & Q(after_minutes__isnull=True),
                name="only_waiting_has_minutes",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_condition_display()} → {self.target}"

    def clean(self) -> None:
        """Outside a form the fields may be missing still; forms have said so by then."""
        waits = self.condition == self.Condition.WAITED
        if waits and self.after_minutes is None:
            raise ValidationError({"after_minutes": _("Say after how many minutes of waiting.")})
        if not waits and self.after_minutes is not None:
            raise ValidationError({"after_minutes": _("Only the rule about waiting has minutes.")})
        if self.target_id and self.queue_id:
            refuse_circle(self.queue, self.target, field="target")

    @property
    def label(self) -> str:
        """The condition as people say it, with its minutes."""
        if self.condition == self.Condition.WAITED:
            return ngettext("waited %(n)d minute", "waited %(n)d minutes", self.after_minutes) % {
                "n": self.after_minutes
            }
        return self.get_condition_display()

    @property
    def short_label(self) -> str:
        """The condition in a word or two, for a picture."""
        words = {"full": _("full"), "closed": _("closed"), "nobody": _("no agent")}
        if self.condition == self.Condition.WAITED:
            return str(_("after %(n)d min") % {"n": self.after_minutes})
        return str(words[self.condition])


# ---------------------------------------------------------------- circles
def hold_overflow_still(organization_id: UUID) -> None:
    """Until this transaction ends nobody else changes where queues overflow to.

    Two changes that are fine alone could close a circle together. Take it before locking any queue's row:
    whoever has the row could wait for us otherwise, while we wait for the row.
    """
    with connection.cursor() as cursor:
        key = [f"overflow {organization_id}"]
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", key)


def refuse_circle(queue: Queue, target: Queue, *, field: str) -> None:
    """Refuse an overflow that leads back to its own queue, by whatever rules; names the circle."""
    hold_overflow_still(queue.organization_id)
    edges: dict[UUID, list[UUID]] = {}
    for source, there in _overflows():
        edges.setdefault(source, []).append(there)
    if circle := overflow.way(target.pk, queue.pk, edges):
        names = dict(Queue.objects.filter(pk__in=circle).values_list("pk", "name"))
        walked = " → ".join([queue.name, *(names.get(pk, queue.name) for pk in circle)])
        raise ValidationError({field: _("The overflow would run in a circle: %s.") % walked})


def _overflows() -> Iterator[tuple[UUID, UUID]]:
    """Every pair of queues where one overflows into the other."""
    yield from Queue.objects.filter(overflow_queue__isnull=False).values_list("pk", "overflow_queue")
    yield from OverflowRule.objects.values_list("queue", "target")
