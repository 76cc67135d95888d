"""Admin pages of members, API keys and the audit log."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_scopes import scopes_disabled
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin_base import TenantAdmin, TenantForm, asks, col, log_in, refused, told
from accounts.models import ApiKey, AuditEntry, Membership, Organization, RefreshFamily, User
from accounts.roles import Action, Role

# One log-in page for the whole desk.
admin.site.login = log_in  # type: ignore[method-assign]
admin.site.index_title = gettext_lazy("Overview")

# These belong to the installation, not to an organization: no role of a tenant may see or change them.
for _model in (Group, PeriodicTask, IntervalSchedule, CrontabSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(_model)

JOINED = col("created_at", gettext_lazy("Member since"))
ROLES = [
    (Role.OWNER.value, gettext_lazy("owner")),
    (Role.ADMIN.value, gettext_lazy("administrator")),
    (Role.SUPERVISOR.value, gettext_lazy("supervisor")),
    (Role.AGENT.value, gettext_lazy("agent")),
    (Role.VIEWER.value, gettext_lazy("viewer")),
]


class PasswordDialog(BaseDialogForm):
    password = forms.CharField(
        label=gettext_lazy("New password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    def clean_password(self) -> str:
        validate_password(self.cleaned_data["password"])
        return self.cleaned_data["password"]


class MemberForm(TenantForm):
    """Role and access of a member. Nobody locks the organization out, and only owners make owners."""

    role = forms.ChoiceField(
        label=gettext_lazy("Role"), choices=ROLES, initial=Role.AGENT.value, widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields and self.member.role != Role.OWNER:
            self.fields["role"].choices = [pair for pair in ROLES if pair[0] != Role.OWNER]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.instance.pk == self.member.pk and self.changed_data:
            raise ValidationError(_("Nobody changes their own role or access."))
        keeps = data.get("role") == Role.OWNER and data.get("is_active")
        if "role" in self.initial and self.initial["role"] == Role.OWNER and not keeps:
            self._refuse_last_owner()
        return data

    def _refuse_last_owner(self) -> None:
        # Two owners who demote each other at the same moment wait for each other here.
        Organization.objects.select_for_update(no_key=True).get(pk=self.member.organization_id)
        owners = Membership.objects.filter(role=Role.OWNER, is_active=True).exclude(pk=self.instance.pk)
        if not owners.exists():
            raise ValidationError(_("An organization keeps at least one owner."))


class NewMemberForm(MemberForm):
    """A new person with a log-in of their own."""

    email = forms.EmailField(label=gettext_lazy("E-mail"), widget=UnfoldAdminEmailInputWidget)
    name = forms.CharField(label=gettext_lazy("Name"), max_length=120, widget=UnfoldAdminTextInputWidget)
    password = forms.CharField(
        label=gettext_lazy("First password"),
        strip=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=gettext_lazy(
            "At least 12 characters. Hand it over in person; they change it after logging in."
        ),
    )

    def clean_email(self) -> str:
        email = self.cleaned_data["email"].lower()
        if User.objects.filter(email=email).exists():
            # Also somebody else's colleague: their log-in is theirs, so it is not taken over here.
            raise ValidationError(_("This e-mail cannot be added here."))
        return email

    def clean_password(self) -> str:
        validate_password(self.cleaned_data["password"])
        return self.cleaned_data["password"]


class MemberAdmin(TenantAdmin):
    """Members and their roles. `queues.admin` registers it, so that a new member can work as an agent."""

    view_action = Action.READ_PEOPLE
    change_action = Action.EDIT_PEOPLE
    addable = True
    form = MemberForm
    list_display = ("name", "email", "role_name", "is_active", JOINED)
    list_filter = ("role", "is_active")
    list_select_related = ("user",)
    search_fields = ("user__name", "user__email")
    ordering = ("user__name", "id")
    readonly_fields = ("email", JOINED)
    actions_detail = ("set_password",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        return super().get_queryset(request).select_related("user")

    def get_fieldsets(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("name", "email", "role", "password")})]
        return [(None, {"fields": ("email", "role", "is_active", JOINED)})]

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewMemberForm
        return super().get_form(request, obj, change, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An owner's row is for owners."""
        allowed = super().has_change_permission(request, obj)
        if allowed and isinstance(obj, Membership) and obj.role == Role.OWNER:
            return request.member.role == Role.OWNER
        return allowed

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if not change:
            data = form.cleaned_data
            obj.user = User.objects.create_user(data["email"], data["password"], name=data["name"])
        super().save_model(request, obj, form, change)

    @asks(
        gettext_lazy("Set a password"),
        permission="change",
        form=PasswordDialog,
        icon="password",
        description=gettext_lazy("Their open sessions end."),
    )
    def set_password(self, request: HttpRequest, form: PasswordDialog, member: Membership) -> None:
        if why := self._hands_off(request.member, member):
            refused(request, why)
            return
        member.user.set_password(form.cleaned_data["password"])
        member.user.save(update_fields=["password"])
        RefreshFamily.objects.filter(member=member, revoked_at__isnull=True).update(
            revoked_at=Now(), revoked_reason="password set by an administrator"
        )
        self.note(request, "password_set", member)
        told(request, _("The password was set."))

    def _hands_off(self, actor: Membership, member: Membership) -> str:
        """Why this log-in is not the actor's to change; empty when it is."""
        if member.role == Role.OWNER and actor.role != Role.OWNER:
            return _("Only an owner sets an owner's password.")
        with scopes_disabled():
            elsewhere = Membership.objects.filter(user_id=member.user_id).exclude(pk=member.pk)
            if elsewhere.exists():
                return _("This person also works elsewhere: only they change their password.")
        return ""

    @display(description=gettext_lazy("Name"), ordering="user__name")
    def name(self, member: Membership) -> str:
        return member.name

    @display(description=gettext_lazy("E-mail"), ordering="user__email")
    def email(self, member: Membership) -> str:
        return member.user.email

    @display(description=gettext_lazy("Role"), ordering="role")
    def role_name(self, member: Membership) -> Any:
        return dict(ROLES)[member.role]


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    """API keys: shown and revoked here, made through the API, where the secret is shown once."""

    view_action = Action.EDIT_API_KEYS
    creator = col("creator", gettext_lazy("Made by"))
    used = col("last_used_at", gettext_lazy("Last used"))
    until = col("expires_at", gettext_lazy("Expires"))
    start = col("prefix", gettext_lazy("Begins with"))
    list_display = ("name", start, creator, used, until, "state")
    list_select_related = ("creator__user",)
    fields = (
        "name", start, creator, col("scopes", gettext_lazy("Scopes")),
        col("created_at", gettext_lazy("Made on")), used, until,
        col("revoked_at", gettext_lazy("Revoked on")),
    )  # fmt: skip
    readonly_fields = fields
    ordering = ("-created_at",)
    actions_row = ("revoke",)
    actions_detail = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    @asks(
        gettext_lazy("Revoke"),
        permission="revoke",
        icon="key_off",
        variant=ActionVariant.DANGER,
        description=gettext_lazy("Programs that use this key are refused from now on."),
    )
    def revoke(self, request: HttpRequest, form: Any, key: ApiKey) -> None:
        if not ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=Now()):
            refused(request, _("This key was revoked before."))
            return
        self.note(request, "revoked", key)
        told(request, _("The key was revoked."))

    @display(
        description=gettext_lazy("State"),
        label={"active": "success", "revoked": "danger"},
    )
    def state(self, key: ApiKey) -> tuple[str, Any]:
        return ("revoked", _("revoked")) if key.revoked_at else ("active", _("active"))


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantAdmin):
    """Who did what. Written once, never changed."""

    view_action = Action.READ_AUDIT
    list_display = (
        col("at", gettext_lazy("When")),
        col("actor", gettext_lazy("Who")),
        col("action", gettext_lazy("What")),
        col("object_type", gettext_lazy("Kind of object")),
        col("object_id", gettext_lazy("Object id")),
        "details",
    )
    list_select_related = ("actor__user",)
    search_fields = ("=action", "=object_id")
    search_help_text = gettext_lazy("A whole action or object id")
    fields = list_display
    readonly_fields = fields
    ordering = ("-at", "-id")
    sortable_by = ()

    @display(description=gettext_lazy("Details"))
    def details(self, entry: AuditEntry) -> str:
        return ", ".join(f"{name}: {value}" for name, value in entry.data.items())
