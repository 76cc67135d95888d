"""Admin pages of departments, queues, agents and skills."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts.admin import ROLES, MemberAdmin
from accounts.admin_base import RevisedAdmin, RevisedForm, TenantAdmin, TenantForm, TenantInline, col
from accounts.models import Membership
from accounts.roles import Action, Role
from queues import admin_calendar, admin_sla
from queues.admin_overflow import OverflowRuleInline
from queues.models import AgentProfile, AgentSkill, BreakReason, Department, Queue, Skill
from queues.models.line import hold_overflow_still
from queues.services import call_router, set_capacity

__all__ = ["AgentAdmin", "QueueAdmin", "admin_calendar", "admin_sla"]


class SlugOnce(TenantAdmin):
    """Flows and settings name these objects by their slug: it is chosen once."""

    prepopulated_fields = {"slug": ("name",)}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*super().get_readonly_fields(request, obj), *(() if obj is None else ("slug",)))

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None and self.has_add_permission(request) else {}


@admin.register(Membership)
class AgentMemberAdmin(MemberAdmin):
    """Members; a new one who is to do anything but look on can work as an agent from the start."""

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change and obj.role != Role.VIEWER:
            AgentProfile.objects.create(organization_id=obj.organization_id, member=obj)


@admin.register(Department)
class DepartmentAdmin(SlugOnce):
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    list_display = ("name", "slug", "is_active")
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    fields = ("name", "slug", "is_active")


class QueueForm(RevisedForm):
    """The queue with "who may serve" as two lists instead of JSON."""

    agents = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Only these agents"),
        queryset=None,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("None: everybody."),
    )
    skills = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Only with these skills"),
        queryset=None,
        required=False,
        to_field_name="slug",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy("An agent needs all of them. None: everybody."),
    )
    stored_in = {"agents": "settings", "skills": "settings"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "agents" not in self.fields:
            return
        agents = Membership.objects.filter(is_active=True, agent__isnull=False)
        self.fields["agents"].queryset = agents.select_related("user").order_by("user__name")
        self.fields["skills"].queryset = Skill.objects.order_by("name")
        self.initial["agents"] = sorted(self.instance.allowed_agent_ids)
        self.initial["skills"] = sorted(self.instance.skills_required)

    def clean(self) -> dict[str, Any]:
        hold_overflow_still(self.member.organization_id)  # before the queue's row, as everywhere
        data = super().clean() or self.cleaned_data
        skills = sorted(skill.slug for skill in data.get("skills") or ())
        stored = self.instance.settings
        levels = {slug: level for slug, level in stored.get("skill_levels", {}).items() if slug in skills}
        self.instance.settings = {
            **{key: value for key, value in stored.items() if key != "skill_levels"},
            "allowed_agent_ids": sorted(str(member.pk) for member in data.get("agents") or ()),
            "skills_required": skills,
            **({"skill_levels": levels} if levels else {}),
        }
        return data


class QueueAdmin(RevisedAdmin, SlugOnce):
    """A waiting line. `conversations.admin_overflow` registers it, with what only conversations can tell."""

    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    form = QueueForm
    list_display = (
        "name", "department", "priority", "max_queue_size", "overflow_queue", "routing_mode", "calendar",
        "is_active",
    )  # fmt: skip
    list_filter = ("is_active", "department", "routing_mode")
    list_select_related = ("department", "overflow_queue", "calendar")
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    fieldsets = (
        (None, {"fields": ("name", "slug", "department", "is_active", "priority")}),
        (
            gettext_lazy("Places and overflow"),
            {
                "fields": ("max_queue_size", "overflow_queue", "closed_action"),
                "description": gettext_lazy(
                    "When all places are taken, new conversations wait in the overflow queue; when that is"
                    " full too, they stay here and are flagged for a supervisor. The overflow rules below are"
                    " asked first."
                ),
            },
        ),
        (
            gettext_lazy("Who serves"),
            {
                "fields": (
                    "agents",
                    "skills",
                    "max_conversations_per_agent",
                    "routing_mode",
                    "auto_assign_conversations",
                    "offer_seconds",
                    "sticky_minutes",
                )
            },
        ),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    "calendar",
                    "sla_policy",
                    "sla_minutes",
                    "wait_limit_minutes",
                    "agent_idle_minutes",
                    "agent_idle_action",
                )
            },
        ),
        (
            gettext_lazy("What the customer reads"),
            {
                "fields": ("handoff_notice", "closed_notice", "abandoned_notice"),
                "description": gettext_lazy(
                    "Empty: the general sentence of the desk. {position}, {expected_wait}, {next_open} and"
                    " {queue} are filled in; a sentence whose value is not known is left out."
                ),
            },
        ),
    )
    view_fieldsets = (
        *fieldsets[:2],
        (
            gettext_lazy("Who serves"),
            {
                "fields": (
                    "settings",
                    "max_conversations_per_agent",
                    "routing_mode",
                    "auto_assign_conversations",
                    "offer_seconds",
                    "sticky_minutes",
                )
            },
        ),
        *fieldsets[3:],
    )
    inlines = (OverflowRuleInline,)

    def get_fieldsets(self, request: HttpRequest, obj: Queue | None = None) -> Any:
        return self.fieldsets if self.has_change_permission(request, obj) else self.view_fieldsets

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Who could take what may have changed: the router looks again."""
        super().save_related(request, form, formsets, change)
        call_router(form.instance.organization_id, "queue changed")

    def delete_model(self, request: HttpRequest, obj: Queue) -> None:
        super().delete_model(request, obj)
        call_router(obj.organization_id, "queue deleted")


class AgentSkillInline(TenantInline):
    model = AgentSkill
    view_action = Action.READ_PEOPLE
    change_action = Action.EDIT_CAPACITY
    addable = deletable = True
    fields = ("skill", "level")
    hide_title = True


class AgentForm(TenantForm):
    """Which member works as an agent; asked once, when the profile is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "member" in self.fields:
            without = Membership.objects.filter(agent__isnull=True, is_active=True)
            self.fields["member"].queryset = without.select_related("user").order_by("user__name")


class RoleFilter(admin.SimpleListFilter):
    title = gettext_lazy("role")
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return ROLES

    def queryset(self, request: HttpRequest, queryset: QuerySet[AgentProfile]) -> QuerySet[AgentProfile]:
        return queryset.filter(member__role=self.value()) if self.value() else queryset


class AgentAdmin(TenantAdmin):
    """Agents. Registered by `conversations.admin_agents`, which knows what a presence has to do with."""

    view_action = Action.READ_PEOPLE
    change_action = Action.EDIT_CAPACITY
    addable = True
    form = AgentForm
    list_display = ("name", "email", "role", "presence_label", "capacity", "skill_names", "works_here")
    list_filter = ("presence", RoleFilter)
    list_select_related = ("member__user",)
    search_fields = ("member__user__name", "member__user__email")
    ordering = ("member__user__name", "id")
    worked = (
        col("presence_since", gettext_lazy("Present like this since")),
        col("last_assigned_at", gettext_lazy("Last conversation taken")),
    )
    readonly_fields = ("name", "email", "role", *worked)
    inlines = (AgentSkillInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentProfile]:
        return super().get_queryset(request).select_related("member__user").prefetch_related("skills__skill")

    def save_model(self, request: HttpRequest, obj: AgentProfile, form: Any, change: bool) -> None:
        if change and "capacity" in form.changed_data:
            set_capacity(obj.pk, obj.capacity)
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """More room or another skill may let them take what waits."""
        super().save_related(request, form, formsets, change)
        call_router(form.instance.organization_id, "agent changed")

    def get_fieldsets(self, request: HttpRequest, obj: AgentProfile | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("member", "capacity")})]
        return [(None, {"fields": ("name", "email", "role", "capacity", "presence", *self.worked)})]

    def get_readonly_fields(self, request: HttpRequest, obj: AgentProfile | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    @display(description=gettext_lazy("Name"), ordering="member__user__name")
    def name(self, agent: AgentProfile) -> str:
        return agent.member.name

    @display(description=gettext_lazy("E-mail"))
    def email(self, agent: AgentProfile) -> str:
        return agent.member.user.email

    @display(description=gettext_lazy("Role"), ordering="member__role")
    def role(self, agent: AgentProfile) -> Any:
        return dict(ROLES)[agent.member.role]

    @display(
        description=gettext_lazy("Presence"),
        ordering="presence",
        label={"online": "success", "busy": "warning", "away": "warning", "offline": "info"},
    )
    def presence_label(self, agent: AgentProfile) -> tuple[str, str]:
        return agent.presence, agent.get_presence_display()

    @display(description=gettext_lazy("Skills"))
    def skill_names(self, agent: AgentProfile) -> str:
        return ", ".join(sorted(f"{one.skill.name} {one.level}" for one in agent.skills.all()))

    @display(description=gettext_lazy("Active"), boolean=True)
    def works_here(self, agent: AgentProfile) -> bool:
        return agent.member.is_active


@admin.register(BreakReason)
class BreakReasonAdmin(TenantAdmin):
    """Why agents are on a break. One that is used no more is switched off: the history keeps its name."""

    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    list_display = ("name", "is_active")
    list_filter = ("is_active",)
    search_fields = ("name",)
    ordering = ("name", "id")
    fields = ("name", "is_active")


@admin.register(Skill)
class SkillAdmin(SlugOnce):
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    list_display = ("name", "slug")
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    fields = ("name", "slug")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A skill that a queue asks for stays: without it nobody could serve that queue."""
        allowed = super().has_delete_permission(request, obj)
        if allowed and isinstance(obj, Skill):
            return not Queue.objects.filter(settings__skills_required__contains=[obj.slug]).exists()
        return allowed
