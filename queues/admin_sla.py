"""Admin pages of SLA policies and of the desk's own settings."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from accounts.admin_base import RevisedAdmin, TenantAdmin, TenantForm, TenantInline
from accounts.roles import Action
from queues.models import DeskSettings, Queue, SlaEscalation, SlaPolicy, SlaTarget
from queues.models.sla import TIMES

TARGETS = tuple(zip(TIMES, SlaTarget, strict=True))


class EscalationForm(TenantForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "queue" in self.fields:
            self.fields["queue"].queryset = Queue.objects.order_by("name")


class EscalationInline(TenantInline):
    model = SlaEscalation
    form = EscalationForm
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    fields = ("position", "target", "stage", "act", "priority", "queue")
    ordering = ("position", "id")
    max_num = 20
    verbose_name_plural = gettext_lazy("Escalations, each done once, in this order")


@admin.register(SlaPolicy)
class SlaPolicyAdmin(RevisedAdmin):
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    list_display = ("name", "wait", "first_response", "next_response", "resolution", "time_counts", "used_by")
    search_fields = ("name",)
    ordering = ("name", "id")
    inlines = (EscalationInline,)
    readonly_fields = ("summary",)
    fieldsets = (
        (None, {"fields": ("name", "summary")}),
        (
            gettext_lazy("Targets, in minutes"),
            {
                "fields": (*TIMES, "warn_percent"),
                "description": gettext_lazy("An empty target is not watched."),
            },
        ),
        (
            gettext_lazy("Which time counts"),
            {
                "fields": ("clock", "calendar"),
                "description": gettext_lazy("Without a calendar here, the calendar of the queue counts."),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("queues", "escalations__queue")

    def get_fieldsets(self, request: HttpRequest, obj: SlaPolicy | None = None) -> Any:
        return self.fieldsets if obj else [(None, {"fields": ("name",)}), *self.fieldsets[1:]]

    @display(description=gettext_lazy("Wait"), ordering="wait_minutes")
    def wait(self, policy: SlaPolicy) -> str:
        return span(policy.wait_minutes)

    @display(description=gettext_lazy("First response"), ordering="first_response_minutes")
    def first_response(self, policy: SlaPolicy) -> str:
        return span(policy.first_response_minutes)

    @display(description=gettext_lazy("Next response"), ordering="next_response_minutes")
    def next_response(self, policy: SlaPolicy) -> str:
        return span(policy.next_response_minutes)

    @display(description=gettext_lazy("Resolution"), ordering="resolution_minutes")
    def resolution(self, policy: SlaPolicy) -> str:
        return span(policy.resolution_minutes)

    @display(description=gettext_lazy("Time counts"), ordering="clock")
    def time_counts(self, policy: SlaPolicy) -> str:
        return policy.get_clock_display()

    @display(description=gettext_lazy("Queues"))
    def used_by(self, policy: SlaPolicy) -> str:
        return ", ".join(sorted(queue.name for queue in policy.queues.all())) or "-"

    @display(description=gettext_lazy("In words"))
    def summary(self, policy: SlaPolicy) -> str:
        return format_html_join("", "<p>{}</p>", ((line,) for line in in_words(policy)))


def span(minutes: int | None) -> str:
    """Minutes as people say them: 45 min, 2 h, 2 h 30 min, 3 d."""
    if minutes is None:
        return "-"
    days, rest = divmod(minutes, 24 * 60)
    hours, left = divmod(rest, 60)
    parts = ((days, _("d")), (hours, _("h")), (left, _("min")))
    return " ".join(f"{n} {unit}" for n, unit in parts if n)


def in_words(policy: SlaPolicy) -> list[str]:
    """What a policy promises and does, a sentence each."""
    promised = [
        _("%(target)s within %(time)s") % {"target": target.label, "time": span(getattr(policy, name))}
        for name, target in TARGETS
        if getattr(policy, name)
    ]
    values = {"targets": "; ".join(promised), "clock": policy.get_clock_display()}
    lines = [_("Promised (%(clock)s): %(targets)s.") % values]
    lines.append(_("A warning comes at %(percent)d %% of each time.") % {"percent": policy.warn_percent})
    return lines + [_step_in_words(step) for step in policy.escalations.all()]


def _step_in_words(step: SlaEscalation) -> str:
    detail = step.get_priority_display() if step.act == SlaEscalation.Act.RAISE_PRIORITY else ""
    if step.act == SlaEscalation.Act.MOVE:
        detail = step.queue.name
    return _("%(target)s, %(stage)s: %(act)s") % {
        "target": step.get_target_display() or _("any target"),
        "stage": step.get_stage_display(),
        "act": f"{step.get_act_display()} ({detail})" if detail else step.get_act_display(),
    }


@admin.register(DeskSettings)
class DeskSettingsAdmin(TenantAdmin):
    """One row of each organization; until it is made the defaults hold."""

    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = True
    list_display = ("__str__", "away_after_minutes", "return_after_minutes", "bot_silence_minutes")
    fieldsets = (
        (
            gettext_lazy("Presence"),
            {"fields": ("gone_after_minutes", "away_after_minutes", "return_after_minutes")},
        ),
        (gettext_lazy("Silence"), {"fields": ("bot_silence_minutes", "bot_expired_notice")}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not DeskSettings.objects.exists()
