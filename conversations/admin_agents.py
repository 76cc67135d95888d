"""The admin page of agents: a presence is set as everywhere, with what becomes of their conversations."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin_base import asks, told
from conversations import attendance
from queues.admin import AgentAdmin
from queues.models import AgentProfile, BreakReason


class PresenceDialog(BaseDialogForm):
    status = forms.ChoiceField(
        label=gettext_lazy("Presence"),
        choices=AgentProfile.Presence.choices,
        widget=UnfoldAdminSelectWidget,
    )
    reason = forms.ModelChoiceField(
        label=gettext_lazy("Break reason"),
        queryset=None,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    conversations = forms.ChoiceField(
        label=gettext_lazy("Open conversations"),
        choices=[
            (attendance.KEEP, gettext_lazy("stay with them")),
            (attendance.QUEUE, gettext_lazy("go back to the queue")),
        ],
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].queryset = BreakReason.objects.filter(is_active=True).order_by("name")


@admin.register(AgentProfile)
class DeskAgentAdmin(AgentAdmin):
    actions_row = ("set_presence",)
    actions_detail = ("set_presence",)

    def save_model(self, request: HttpRequest, obj: AgentProfile, form: Any, change: bool) -> None:
        """The presence is no column to write: it has a history, and routing hears of it."""
        if change and "presence" in form.changed_data:
            form.changed_data.remove("presence")
            attendance.set_presence(obj.member, obj.presence, actor=request.member)
        super().save_model(request, obj, form, change)

    @asks(
        gettext_lazy("Set presence…"),
        permission="change",
        form=PresenceDialog,
        submit=gettext_lazy("Set presence"),
        description=gettext_lazy("The audit log says who did it."),
        icon="person_check",
        variant=ActionVariant.DEFAULT,
    )
    def set_presence(self, request: HttpRequest, filled: PresenceDialog, agent: AgentProfile) -> None:
        given = filled.cleaned_data
        outcome = attendance.set_presence(
            agent.member,
            given["status"],
            reason=given["reason"],
            conversations=given["conversations"],
            actor=request.member,
        )
        told(request, _("Done. Back in the queue: %(n)d.") % {"n": len(outcome.queued)})
