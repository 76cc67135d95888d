"""Admin pages of the templates that a platform keeps: what it says of them, and asking for its approval."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RelatedDropdownFilter
from unfold.decorators import display

from accounts.admin_base import TenantAdmin, asks, col, refused, told
from accounts.roles import Action
from channels_hub import templates
from channels_hub.contract import Outcome
from channels_hub.models import MessageTemplate

COLOURS = {
    "approved": "success", "pending": "warning", "rejected": "danger", "paused": "danger", "draft": "info",
}  # fmt: skip


@admin.register(MessageTemplate)
class MessageTemplateAdmin(TenantAdmin):
    view_action = Action.READ_CHANNELS
    change_action = Action.EDIT_CHANNELS
    channel = col("account", gettext_lazy("Channel"))
    synced = col("synced_at", gettext_lazy("As of"))
    list_display = ("name", "language", channel, "category", "approval_label", "is_active", synced)
    list_filter = (("account", RelatedDropdownFilter), ("approval", ChoicesDropdownFilter), "is_active")
    list_select_related = ("account",)
    search_fields = ("name", "body")
    ordering = ("name", "language", "id")
    readonly_fields = (
        "name", "language", channel, "category", "body", "samples", "options",
        "approval_label", col("reason", gettext_lazy("Reason")), synced,
    )  # fmt: skip
    fields = ("is_active", *readonly_fields)
    actions_detail = ("ask_for_approval",)

    # ------------------------------------------------------------------ acts
    @asks(
        gettext_lazy("Submit for approval"),
        permission="change",
        icon="approval",
        description=gettext_lazy("WhatsApp reviews the text, often within minutes."),
    )
    def ask_for_approval(self, request: HttpRequest, form: Any, template: MessageTemplate) -> None:
        """Not in a transaction: it calls the platform."""
        result = templates.submit(template)
        if result.outcome is not Outcome.ACCEPTED:
            refused(request, _("The platform refused: %s") % f"{result.code} {result.detail}".strip())
            return
        self.note(request, "submitted", template)
        told(request, _("Submitted. The answer shows here within the hour."))

    # ------------------------------------------------------------------ columns
    @display(description=gettext_lazy("Approval"), ordering="approval", label=COLOURS)
    def approval_label(self, template: MessageTemplate) -> tuple[str, str]:
        return template.approval, template.get_approval_display()

    @display(description=gettext_lazy("Variables"))
    def samples(self, template: MessageTemplate) -> str:
        return ", ".join(f"{name}: {sample}" for name, sample in template.variables.items()) or "-"

    @display(description=gettext_lazy("Buttons"))
    def options(self, template: MessageTemplate) -> str:
        return ", ".join(str(button.get("title", "")) for button in template.buttons) or "-"
