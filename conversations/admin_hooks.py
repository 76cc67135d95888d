"""Admin pages of our own webhooks: endpoints with their secrets, and what each was told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminURLInputWidget

from accounts.admin_base import RevisedAdmin, RevisedForm, TenantAdmin, TenantInline, asks, col, refused, told
from accounts.roles import Action
from conversations import hook_calls, hooks
from conversations.models import HookEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.moves import database_now

REASONS = {
    "gone": gettext_lazy("It answered that it is gone (410)."),
    "failing": gettext_lazy("For five days every try has failed."),
}


class EndpointForm(RevisedForm):
    url = forms.URLField(
        label=gettext_lazy("URL"),
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=HookEvent.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=gettext_lazy(
            "None: all of them, by ids only. What customers write goes only to who ticks that event."
        ),
    )


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(RevisedAdmin):
    view_action = change_action = Action.EDIT_WEBHOOKS
    addable = deletable = True
    form = EndpointForm
    list_display = ("url", "description", "wanted", "state_label", col("created_at", gettext_lazy("Made on")))
    ordering = ("created_at", "id")
    readonly_fields = ("state_label", "why_off", col("failing_since", gettext_lazy("Failing since")))
    actions_detail = ("try_out", "rotate_secret")

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        own = (None, {"fields": ("url", "description", "events", "is_active")})
        return [own, (gettext_lazy("How it fares"), {"fields": self.readonly_fields})] if obj else [own]

    def save_model(self, request: HttpRequest, obj: WebhookEndpoint, form: Any, change: bool) -> None:
        if not change:
            obj.secrets = {"current": hooks.new_secret()}
        super().save_model(request, obj, form, change)
        if not change:
            told(request, self._shown_once(obj.secrets["current"]))
        elif {"url", "is_active"} & set(form.changed_data):
            hooks.forgive(obj.pk)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Its log goes with it; a list of its lines could be endless."""
        lines = WebhookMessage.objects.filter(endpoint__in=objs).count()
        counts = {self.opts.verbose_name_plural: len(objs), WebhookMessage._meta.verbose_name_plural: lines}
        return [str(one) for one in objs], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        """Locked first: what happens meanwhile must not write it another message."""
        with transaction.atomic():
            super().delete_model(request, WebhookEndpoint.objects.select_for_update().get(pk=obj.pk))

    def _shown_once(self, secret: str) -> str:
        return _("The secret is shown this once: %s") % secret

    # ------------------------------------------------------------------ acts
    @asks(
        gettext_lazy("Send a test"),
        permission="change",
        icon="send",
        description=gettext_lazy("Sends the event webhook.test once, now."),
    )
    def try_out(self, request: HttpRequest, form: Any, endpoint: WebhookEndpoint) -> None:
        """Not in a transaction: it calls out."""
        message = hook_calls.test(endpoint)
        attempt = message.calls.get()
        self.note(request, "tested", endpoint)
        if message.state == WebhookMessage.State.DELIVERED:
            told(request, _("It answered %(status)d in %(ms)d ms.") % _in_words(attempt))
        elif attempt.status:
            refused(
                request, _("It answered %(status)d in %(ms)d ms: that is no success.") % _in_words(attempt)
            )
        else:
            refused(request, _("Nobody answered: %s") % attempt.error)

    @asks(
        gettext_lazy("New secret"),
        permission="change",
        icon="key",
        description=gettext_lazy("The old one signs beside it for 24 hours."),
    )
    def rotate_secret(self, request: HttpRequest, form: Any, endpoint: WebhookEndpoint) -> None:
        with transaction.atomic():
            locked = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
            secret = hooks.rotate(locked, database_now())
            self.note(request, "secret_rotated", endpoint)
        told(request, self._shown_once(secret))

    # ------------------------------------------------------------------ columns
    @display(description=gettext_lazy("Events"))
    def wanted(self, endpoint: WebhookEndpoint) -> str:
        return ", ".join(endpoint.events) or _("all")

    @display(
        description=gettext_lazy("State"),
        label={"on": "success", "failing": "warning", "off": "danger"},
    )
    def state_label(self, endpoint: WebhookEndpoint) -> tuple[str, Any]:
        if not endpoint.is_active:
            return "off", _("switched off")
        return ("failing", _("failing")) if endpoint.failing_since else ("on", _("working"))

    @display(description=gettext_lazy("Switched off because"), empty_value="-")
    def why_off(self, endpoint: WebhookEndpoint) -> Any:
        return REASONS.get(endpoint.disabled_because)


def _in_words(attempt: WebhookAttempt) -> dict[str, int | None]:
    return {"status": attempt.status, "ms": attempt.milliseconds}


class CallInline(TenantInline):
    """Every try, with what it was answered."""

    model = WebhookAttempt
    view_action = Action.EDIT_WEBHOOKS
    fields = (
        col("number", gettext_lazy("No.")),
        col("at", gettext_lazy("When")),
        col("status", gettext_lazy("Status")),
        col("milliseconds", gettext_lazy("Milliseconds")),
        col("answer", gettext_lazy("Answer")),
        col("error", gettext_lazy("Error")),
    )
    readonly_fields = fields
    hide_title = True
    ordering = ("-number",)
    verbose_name_plural = gettext_lazy("Tries")


@admin.register(WebhookMessage)
class WebhookMessageAdmin(TenantAdmin):
    """Written by the desk, read by people: what each endpoint was told, and how often it took."""

    view_action = Action.EDIT_WEBHOOKS
    sortable_by = ()
    happened = col("occurred_at", gettext_lazy("When"))
    kind = col("type", gettext_lazy("What"))
    endpoint_url = col("endpoint", gettext_lazy("To"))
    attempts = col("attempts", gettext_lazy("Tries"))
    list_display = (happened, kind, endpoint_url, "state_label", attempts)
    list_filter = (("state", ChoicesDropdownFilter), ("endpoint", RelatedDropdownFilter))
    list_select_related = ("endpoint",)
    ordering = ("-id",)
    inlines = (CallInline,)
    fields = (
        happened, kind, endpoint_url, "state_label", attempts,
        "next_try", col("settled_at", gettext_lazy("Settled")), col("data", gettext_lazy("Details")),
    )  # fmt: skip
    readonly_fields = fields
    actions_row = ("resend",)
    actions_detail = ("resend",)

    def has_resend_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    @asks(
        gettext_lazy("Tell it again"),
        permission="resend",
        icon="replay",
        description=gettext_lazy("Under the same id, by which the other side may know it again."),
    )
    def resend(self, request: HttpRequest, form: Any, message: WebhookMessage) -> None:
        if not hooks.resend(message.pk, database_now()):
            refused(request, _("It is still being tried."))
            return
        self.note(request, "resent", message)
        told(request, _("It is told again in a moment."))

    @display(
        description=gettext_lazy("State"),
        label={"pending": "info", "delivered": "success", "failed": "danger"},
    )
    def state_label(self, message: WebhookMessage) -> tuple[str, str]:
        return message.state, message.get_state_display()

    @display(description=gettext_lazy("Next try"), empty_value="-")
    def next_try(self, message: WebhookMessage) -> Any:
        return message.next_at if message.state == WebhookMessage.State.PENDING else None
