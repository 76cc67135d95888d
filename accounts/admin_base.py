"""The base of every admin page: who may do what, whose rows are shown, what goes on record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial, wraps
from typing import Any

from django import forms
from django.apps import apps
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import F, Model
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from accounts import audit
from accounts.models import AuditEntry, Membership
from accounts.roles import Action

HISTORY_LINES = 200
STYLE = "admin_extra/admin.css"


def may(request: HttpRequest, act: Action | None) -> bool:
    """Whether the person behind a request may do an action; None is what nobody may do here."""
    member = getattr(request, "member", None)
    return act is not None and member is not None and member.may(act)


def shown(value: Any) -> Any:
    """A value as people read it: moments short and in their zone, JSON indented."""
    if isinstance(value, datetime):
        return date_format(localtime(value), "SHORT_DATETIME_FORMAT")
    if isinstance(value, dict | list) and value:
        return format_html('<pre class="code-view">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))
    return value


def col(name: str, title: Any) -> Callable[[Any], Any]:
    """A column or read-only field under a title of its own: many columns have a name for machines only."""

    def value(obj: Any) -> Any:
        named = getattr(obj, f"get_{name}_display", None)
        return named() if named else shown(getattr(obj, name))

    value.__name__ = name
    return display(description=title, ordering=name, empty_value="-")(value)


class CappedPaginator(Paginator):
    """Counts no further than anybody pages: COUNT(*) over a million rows costs more than the page."""

    most = 5000

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[: self.most].count()


class TenantForm(forms.ModelForm):
    """A form whose object belongs to the member's organization before it is checked.

    `member` is set per request by TenantAdmin. `stored_in` names, for a field that is no column, the column
    it ends up in.
    """

    member: Membership
    stored_in: dict[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance._state.adding:
            self.instance.organization = self.member.organization

    def _get_validation_exclusions(self) -> set[str]:
        """Uniqueness is per organization: without it in the check a taken slug would be a server error."""
        return super()._get_validation_exclusions() - {"organization"}

    @classmethod
    def columns(cls, changed: Iterable[str]) -> list[str]:
        """The columns that changed form fields are stored in."""
        known = {field.name for field in cls._meta.model._meta.concrete_fields}
        return sorted({cls.stored_in.get(name, name) for name in changed} & known)


class RevisedForm(TenantForm):
    """Refuses to write over what somebody else saved since the page was opened."""

    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = self.instance.revision

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not self.instance._state.adding:
            # Locked until the save that follows in this transaction: nobody can come in between.
            rows = type(self.instance).objects.select_for_update(no_key=True)
            if rows.values_list("revision", flat=True).get(pk=self.instance.pk) != data.get("seen"):
                raise ValidationError(
                    _("Somebody changed this in the meantime. Reload the page and change it again.")
                )
        return data


class ByRole:
    """Permissions of an admin or inline from accounts.roles; Django's own permissions are unused."""

    view_action: Action | None = None
    change_action: Action | None = None
    addable = False
    deletable = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.view_action)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.change_action)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.addable and may(request, self.change_action)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletable and may(request, self.change_action)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


class TenantInline(ByRole, TabularInline):
    """Rows below an object. Shown only unless `change_action` says otherwise."""

    form = TenantForm
    extra = 0

    def get_formset(self, request: HttpRequest, obj: Model | None = None, **kwargs: Any) -> Any:
        formset = super().get_formset(request, obj, **kwargs)
        formset.form.member = request.member
        return formset


class TenantAdmin(ByRole, ModelAdmin):
    """A page of a tenant model. Rows come from the scoped manager: other organizations' do not exist."""

    form = TenantForm
    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    show_facets = admin.ShowFacets.NEVER  # a count per choice of every filter, over the whole table
    list_filter_submit = True
    compressed_fields = True
    warn_unsaved_form = True
    # Tables that grow with the traffic set this to (): only their own order has an index.
    sortable_by: Any = None

    class Media:
        css = {"all": (STYLE,)}

    # ------------------------------------------------------------------ permissions
    def has_audit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.READ_AUDIT)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's bulk delete: rows are deleted one by one, with the consequences shown."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    # ------------------------------------------------------------------ saving, with a line in the audit log
    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.member = request.member
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write the changed columns only: another column may be changing under a lock right now."""
        if not change:
            obj.save(force_insert=True)
        elif fields := form.columns(form.changed_data):
            if hasattr(obj, "revision"):
                obj.revision = F("revision") + 1
                fields.append("revision")
            obj.save(update_fields=fields)
        self.note(request, "changed" if change else "created", obj, form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        for obj in formset.deleted_objects:
            self.note(request, "deleted", obj)
            obj.delete()
        for obj, changed in formset.changed_objects:
            obj.save(update_fields=formset.form.columns(changed))
            self.note(request, "changed", obj, changed)
        for obj in formset.new_objects:
            obj.save(force_insert=True)
            self.note(request, "created", obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.note(request, "deleted", obj)
        obj.delete()

    def note(self, request: HttpRequest, what: str, obj: Any, fields: Iterable[str] = ()) -> None:
        """Put an act on record: names of fields, never their values."""
        audit.record(
            f"{obj._meta.model_name}.{what}",
            organization=request.member.organization,
            actor=request.member,
            target=obj,
            data={"fields": sorted(fields)} if fields else {},
        )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """The audit log has it; Django's own log would keep names of customers and knows no organization."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """See log_addition."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """See log_addition."""

    # ------------------------------------------------------------------ pages
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        context = {"show_history": self.has_audit_permission(request), **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """What was done to the object, from the audit log."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not (self.has_view_permission(request, obj) and self.has_audit_permission(request)):
            raise PermissionDenied
        about = AuditEntry.objects.filter(object_type=self.opts.label_lower, object_id=str(obj.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": _("History of %s") % obj,
            "subtitle": None,
            "opts": self.opts,
            "object": obj,
            "module_name": str(self.opts.verbose_name_plural),
            "entries": about.select_related("actor__user").order_by("-at")[:HISTORY_LINES],
            "preserved_filters": self.get_preserved_filters(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/object_history.html", context)

    def back(self, request: HttpRequest, obj: Model) -> HttpResponse:
        """Where a dialog was opened; htmx needs to be told in a header."""
        here = request.headers.get("HX-Current-URL", "")
        host = {request.get_host()}
        if not url_has_allowed_host_and_scheme(here, host, require_https=request.is_secure()):
            here = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[obj.pk])
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": here})
        return redirect(here)


class RevisedAdmin(TenantAdmin):
    """A page of something with a revision: a stale page is refused, and rows below it count as part of it."""

    form = RevisedForm
    change_form_before_template = "admin/seen.html"

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change and not form.changed_data and any(one.has_changed() for one in formsets):
            self.model.objects.filter(pk=form.instance.pk).update(revision=F("revision") + 1)


Acting = Callable[[Any, HttpRequest, Any, Any], None]


def asks(
    title: Any,
    *,
    permission: str,
    submit: Any = None,
    description: Any = "",
    form: type[BaseDialogForm] = BaseDialogForm,
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Callable[[Acting], Callable[..., HttpResponse]]:
    """An act on one object, behind a dialog: only a POST with a token changes anything, never a link.

    The method gets (request, form, object). Somebody else's object is not found, before any dialog is shown.
    """

    def decorate(method: Acting) -> Callable[..., HttpResponse]:
        @wraps(method)
        def run(self: TenantAdmin, request: HttpRequest, filled: Any, *, object_id: str, subject: Any) -> Any:
            method(self, request, filled, subject)
            return self.back(request, subject)

        dialog = action(
            permissions=[permission],
            description=title,
            url_path=method.__name__.replace("_", "-"),
            icon=icon,
            variant=variant,
            dialog={
                "title": title,
                "description": description,
                "form_class": form,
                "form_submit_text": submit or title,
            },
        )(run)

        @wraps(dialog)
        def guarded(self: TenantAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
            if not getattr(self, f"has_{permission}_permission")(request, object_id):
                raise PermissionDenied
            subject = self.get_object(request, unquote(object_id))
            if subject is None:
                raise Http404
            return dialog(self, request, object_id=object_id, subject=subject)

        return guarded

    return decorate


def told(request: HttpRequest, done: Any) -> None:
    """Say that something was done."""
    messages.success(request, done)


def refused(request: HttpRequest, why: Any) -> None:
    """Say that something was not done, and why."""
    messages.error(request, why)


# ---------------------------------------------------------------------- the site
@never_cache
def log_in(request: HttpRequest, extra_context: Any = None) -> HttpResponse:
    """/admin/login/: the desk has one log-in page. Who is in but may not enter is refused, on record."""
    target = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        target = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(target, login_url=settings.LOGIN_URL)
    if admin.site.has_permission(request):
        return redirect(target)
    if (member := getattr(request, "member", None)) is not None:
        audit.record("admin.refused", organization=member.organization, actor=member)
    raise PermissionDenied


# group -> (title, icon, model or model:page, dotted path of what counts its badge); groups and entries show
# only for who may see the model's pages
SIDEBAR: tuple[tuple[Any, tuple[tuple[Any, ...], ...]], ...] = (
    (
        gettext_lazy("Service"),
        (
            (gettext_lazy("Conversations"), "forum", "conversations.conversation"),
            (gettext_lazy("Messages"), "chat", "conversations.message"),
            (gettext_lazy("Contacts"), "contacts", "contacts.contact"),
        ),
    ),
    (
        gettext_lazy("Team"),
        (
            (gettext_lazy("Queues"), "stacks", "queues.queue"),
            (gettext_lazy("Overflow"), "fork_right", "queues.queue:overflow"),
            (gettext_lazy("Departments"), "apartment", "queues.department"),
            (gettext_lazy("Agents"), "support_agent", "queues.agentprofile"),
            (gettext_lazy("Skills"), "school", "queues.skill"),
            (gettext_lazy("Break reasons"), "free_breakfast", "queues.breakreason"),
            (gettext_lazy("Calendars"), "calendar_month", "queues.calendar"),
            (gettext_lazy("SLA policies"), "timer", "queues.slapolicy"),
            (gettext_lazy("Desk settings"), "tune", "queues.desksettings"),
            (gettext_lazy("Members"), "group", "accounts.membership"),
        ),
    ),
    (
        gettext_lazy("Channels and bot"),
        (
            (gettext_lazy("Channels"), "cell_tower", "channels_hub.channelaccount"),
            (gettext_lazy("Flows"), "account_tree", "flows.flow"),
            (gettext_lazy("Flow versions"), "history", "flows.flowversion"),
            (gettext_lazy("Outgoing webhooks"), "webhook", "conversations.webhookendpoint"),
        ),
    ),
    (
        gettext_lazy("Operation"),
        (
            (gettext_lazy("Channel health"), "monitor_heart", "channels_hub.channelaccount:health"),
            (gettext_lazy("Sending in figures"), "bar_chart", "conversations.delivery:figures"),
            (
                gettext_lazy("Dead letters"),
                "sms_failed",
                "conversations.deadletter",
                "conversations.admin_dead.badge",
            ),
            (gettext_lazy("Outbox"), "outbox", "conversations.delivery"),
            (gettext_lazy("Attempts"), "outgoing_mail", "conversations.attempt"),
            (gettext_lazy("Raw inbox"), "move_to_inbox", "channels_hub.inboundevent"),
            (gettext_lazy("Ledger"), "receipt_long", "conversations.event"),
            (gettext_lazy("Deadlines"), "alarm", "conversations.deadline"),
            (gettext_lazy("Webhook log"), "published_with_changes", "conversations.webhookmessage"),
            (gettext_lazy("Routing decisions"), "alt_route", "conversations.routingdecision"),
        ),
    ),
    (
        gettext_lazy("Access"),
        (
            (gettext_lazy("API keys"), "key", "accounts.apikey"),
            (gettext_lazy("Audit log"), "policy", "accounts.auditentry"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The navigation (UNFOLD["SIDEBAR"]["navigation"] names this function)."""
    home = {"title": _("Overview"), "icon": "dashboard", "link": reverse("admin:index")}
    groups = [{"title": "", "items": [home]}]
    for title, entries in SIDEBAR:
        items = [item for entry in entries if (item := _item(request, *entry))]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    _mark(groups, request.path)
    return groups


def _mark(groups: list[dict[str, Any]], path: str) -> None:
    """The one entry where the person is: a page below another's address has an entry of its own."""
    home, *others = (item for group in groups for item in group["items"])
    around = [item["link"] for item in others if path.startswith(item["link"])]
    here = max(around, key=len, default=home["link"] if path == home["link"] else "")
    for item in (home, *others):
        item["active"] = partial(_is_here, item["link"] == here)


def _is_here(here: bool, _request: HttpRequest) -> bool:
    """Unfold asks a function; what is no function it takes for a path."""
    return here


def _item(request: HttpRequest, name: Any, icon: str, where: str, badge: str = "") -> dict[str, Any] | None:
    label, _colon, page = where.partition(":")
    if not admin.site._registry[apps.get_model(label)].has_view_permission(request):
        return None
    link = reverse(f"admin:{label.replace('.', '_')}_{page or 'changelist'}")
    counted = import_string(badge)(request) if badge else ""
    return {"title": name, "icon": icon, "link": link, **({"badge": counted} if counted else {})}
