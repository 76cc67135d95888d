"""Admin pages of flows: the draft as JSON with its problems, triggers, versions, publishing and restoring."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.admin_base import TenantAdmin, TenantForm, TenantInline, asks, col, may, refused, told
from accounts.roles import Action
from flows import services
from flows.document import InvalidDocument
from flows.models import Flow, FlowVersion, Trigger

SHOWN_PROBLEMS = 10


# The database forgets the order of keys; these come first, as in the documentation.
KEYS = ("schema", "start", "variables", "nodes", "edges", "id", "type", "title", "data", "from", "port", "to")
CREATED = col("created_at", gettext_lazy("Published on"))


def in_order(value: Any) -> Any:
    """A document with its keys where a reader looks for them."""
    if isinstance(value, list):
        return [in_order(one) for one in value]
    if not isinstance(value, dict):
        return value
    keys = [key for key in KEYS if key in value]
    return {key: in_order(value[key]) for key in (*keys, *(k for k in value if k not in KEYS))}


def pretty(document: Any) -> str:
    return json.dumps(in_order(document), indent=2, ensure_ascii=False)


def read(text: str) -> dict[str, Any]:
    """A flow document from the editor. Raises ValidationError that says where it goes wrong."""
    try:
        document = json.loads(text)
        written = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValidationError(
            _("This is not JSON: line %(line)s, column %(column)s: %(what)s.")
            % {"line": error.lineno, "column": error.colno, "what": error.msg}
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValidationError(_("The document holds something that JSON cannot.")) from error
    if not isinstance(document, dict):
        raise ValidationError(_("A flow document is a JSON object."))
    if b"\\u0000" in written:
        raise ValidationError(_("The document holds a NUL character."))
    if len(written) > services.MAX_DRAFT_BYTES:
        raise ValidationError(_("The document is larger than 1 MB."))
    return document


class FlowForm(TenantForm):
    """A flow and its draft. The draft may be unfinished: only publishing asks for a good one."""

    draft = forms.CharField(
        label=gettext_lazy("Draft (JSON)"),
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 32, "class": "code-area", "spellcheck": "false", "autocomplete": "off"}
        ),
    )
    seen = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["draft"] = pretty(self.instance.draft or services.EMPTY_DRAFT)
        self.initial["seen"] = self.instance.revision

    def clean_draft(self) -> dict[str, Any]:
        return read(self.cleaned_data["draft"] or pretty(services.EMPTY_DRAFT))

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "draft" in self.changed_data and self.instance.pk and not self.instance._state.adding:
            # Locked until the save that follows in this transaction: nobody can come in between.
            now = Flow.objects.select_for_update(no_key=True).get(pk=self.instance.pk)
            if now.revision != data.get("seen"):
                raise ValidationError(
                    _("Somebody saved this draft in the meantime. Copy your text, reload the page and merge.")
                )
        return data


class PhrasesField(forms.CharField):
    """A list of phrases, one per line."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:
        lines = value if isinstance(value, list) else str(value or "").splitlines()
        return [line.strip() for line in lines if line.strip()]

    def validate(self, value: list[str]) -> None:
        if not value:
            raise ValidationError(_("Enter at least one phrase."))

    def run_validators(self, value: list[str]) -> None:
        """The validators of a text field do not apply to a list."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(initial) != self.to_python(data)


class TriggerForm(TenantForm):
    phrases = PhrasesField(
        label=gettext_lazy("Phrases, one per line"), widget=UnfoldAdminTextareaWidget(attrs={"rows": 3})
    )


class TriggerInline(TenantInline):
    model = Trigger
    form = TriggerForm
    view_action = Action.READ_FLOWS
    change_action = Action.EDIT_FLOWS
    addable = deletable = True
    fields = ("phrases", "account", "is_active")
    hide_title = True
    tab = True


class VersionInline(TenantInline):
    model = FlowVersion
    view_action = Action.READ_FLOWS
    fields = ("number", "note", "author", CREATED, "look")
    hide_title = True
    readonly_fields = fields
    ordering = ("-number",)
    per_page = 20
    tab = True
    verbose_name_plural = gettext_lazy("Versions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlowVersion]:
        return super().get_queryset(request).defer("document").select_related("author__user")

    @display(description=gettext_lazy("Document"))
    def look(self, version: FlowVersion) -> str:
        url = reverse("admin:flows_flowversion_change", args=[version.pk])
        return format_html('<a href="{}" class="record-link">{}</a>', url, _("Open"))


class PublishDialog(BaseDialogForm):
    note = forms.CharField(
        label=gettext_lazy("What changed?"), max_length=300, required=False, widget=UnfoldAdminTextInputWidget
    )
    revision = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        found = Flow.objects.filter(pk=self.object_id).values_list("revision", flat=True)
        self.initial["revision"] = found.first()


@admin.register(Flow)
class FlowAdmin(TenantAdmin):
    view_action = Action.READ_FLOWS
    change_action = Action.EDIT_FLOWS
    addable = True
    form = FlowForm
    prepopulated_fields = {"slug": ("name",)}
    list_display = (
        "name", "slug", "version", "draft_state", "is_active", col("updated_at", gettext_lazy("Changed")),
    )  # fmt: skip
    list_filter = ("is_active",)
    list_select_related = ("published",)
    search_fields = ("name", "slug")
    ordering = ("name", "id")
    inlines = (TriggerInline, VersionInline)
    actions_detail = ("check_draft", "publish")
    change_form_before_template = "admin/flows/report.html"

    # ------------------------------------------------------------------ form
    def get_fieldsets(self, request: HttpRequest, obj: Flow | None = None) -> Any:
        if not self.has_change_permission(request, obj):
            return [
                (None, {"fields": ("name", "slug", "description", "is_active", "version", "shown_draft")})
            ]
        shown = ("name", "slug", "description", "is_active", "draft", "seen")
        return [(None, {"fields": shown})]

    def get_readonly_fields(self, request: HttpRequest, obj: Flow | None = None) -> Any:
        return () if obj is None else ("slug", "version", "shown_draft")

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return self.prepopulated_fields if obj is None and self.has_add_permission(request) else {}

    def get_inlines(self, request: HttpRequest, obj: Flow | None) -> Any:
        return self.inlines if obj else ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flow]:
        return super().get_queryset(request).select_related("published").defer("published__document")

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With the problems of the stored draft above the editor."""
        if (shown := context.get("original")) is not None:
            report = services.validate(shown.pk)
            context["problems"] = [services.wording(one) for one in (*report.errors, *report.warnings)]
            context["draft_ok"] = report.ok
        return super().render_change_form(request, context, *args, **kwargs)

    # ------------------------------------------------------------------ saving goes through flows.services
    def save_model(self, request: HttpRequest, obj: Flow, form: Any, change: bool) -> None:
        data = form.cleaned_data
        if not change:
            created = services.create_flow(
                request.member.organization,
                name=data["name"],
                slug=data["slug"],
                description=data["description"],
                document=data["draft"],
            )
            obj.pk, obj.revision, obj._state.adding = created.pk, created.revision, False
            self.note(request, "created", obj)
            return
        changed = [name for name in form.changed_data if name != "seen"]
        if "draft" in changed:
            services.save_draft(obj.pk, data["draft"], expected_revision=data["seen"])
        if fields := [name for name in form.columns(changed) if name != "draft"]:
            obj.updated_at = Now()
            obj.save(update_fields=[*fields, "updated_at"])
        if changed:
            self.note(request, "changed", obj, changed)

    # ------------------------------------------------------------------ acts
    def has_publish_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.PUBLISH_FLOWS)

    @action(description=gettext_lazy("Validate"), permissions=["view"], url_path="validate", icon="rule")
    def check_draft(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Reads only, so a plain link may do it."""
        flow = self.get_object(request, object_id)
        if flow is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        report = services.validate(flow.pk)
        if not report.ok:
            refused(request, _("The draft has %(n)s errors.") % {"n": len(report.errors)})
        elif report.warnings:
            told(
                request,
                _("The draft can be published; it has %(n)s warnings.") % {"n": len(report.warnings)},
            )
        else:
            told(request, _("The draft can be published; nothing was found."))
        return self.back(request, flow)

    @asks(
        gettext_lazy("Publish"),
        permission="publish",
        form=PublishDialog,
        icon="publish",
        variant=ActionVariant.PRIMARY,
        description=gettext_lazy("New conversations use the saved draft. Runs under way keep their version."),
    )
    def publish(self, request: HttpRequest, form: PublishDialog, flow: Flow) -> None:
        given = form.cleaned_data
        try:
            version = services.publish(
                flow.pk, author=request.member, note=given["note"], expected_revision=given["revision"]
            )
        except services.StaleDraft:
            refused(request, _("Not published: somebody saved the draft in the meantime. Look at it again."))
        except InvalidDocument as error:
            refused(request, _("Not published: the draft has %(n)s errors.") % {"n": len(error.problems)})
            for problem in error.problems[:SHOWN_PROBLEMS]:
                said = services.wording(problem)
                refused(request, f"{said['path']}: {said['message']}")
        else:
            told(request, _("Version %(n)s is published.") % {"n": version.number})

    # ------------------------------------------------------------------ columns
    @display(description=gettext_lazy("Published version"), ordering="published__number")
    def version(self, flow: Flow) -> str:
        return f"v{flow.published.number}" if flow.published else "-"

    @display(
        description=gettext_lazy("State"),
        label={"published": "success", "draft": "warning"},
    )
    def draft_state(self, flow: Flow) -> tuple[str, str]:
        return ("published", _("published")) if flow.published_id else ("draft", _("only a draft"))

    @display(description=gettext_lazy("Draft"))
    def shown_draft(self, flow: Flow) -> str:
        return format_html('<pre class="code-view">{}</pre>', pretty(flow.draft))


@admin.register(FlowVersion)
class FlowVersionAdmin(TenantAdmin):
    """Published versions: never changed; an earlier one can come back as the draft."""

    view_action = Action.READ_FLOWS
    list_display = ("flow", "number", "note", "author", CREATED)
    list_filter = ("flow",)
    list_select_related = ("flow", "author__user")
    ordering = ("-created_at", "-id")
    fields = ("flow", "number", "note", "author", CREATED, "shown_document")
    readonly_fields = fields
    actions_row = ("restore",)
    actions_detail = ("restore",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlowVersion]:
        found = super().get_queryset(request).defer("document", "flow__draft")
        return found.select_related("flow", "author__user")

    def has_edit_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.EDIT_FLOWS)

    @asks(
        gettext_lazy("Restore as draft"),
        permission="edit",
        icon="settings_backup_restore",
        description=gettext_lazy(
            "The present draft is replaced. What is published stays until somebody publishes."
        ),
    )
    def restore(self, request: HttpRequest, form: Any, version: FlowVersion) -> None:
        services.restore(version.flow_id, version.number, author=request.member)
        told(request, _("Version %(n)s is the draft now.") % {"n": version.number})

    @display(description=gettext_lazy("Document"))
    def shown_document(self, version: FlowVersion) -> str:
        return format_html('<pre class="code-view">{}</pre>', pretty(version.document))
