"""What the admin asks before a conversation is moved."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from conversations.models import CloseReason
from flows.models import Flow
from queues.models import AgentProfile, Priority, Queue


class CloseDialog(BaseDialogForm):
    reason = forms.ChoiceField(
        label=gettext_lazy("Reason"),
        choices=[(one.value, one.label) for one in (CloseReason.AGENT, CloseReason.SPAM)],
        widget=UnfoldAdminSelectWidget,
    )


class TestDialog(BaseDialogForm):
    phone = forms.CharField(label=gettext_lazy("Phone number"), widget=UnfoldAdminTextInputWidget)


class TransferDialog(BaseDialogForm):
    queue = forms.ModelChoiceField(label=gettext_lazy("Queue"), queryset=None, widget=UnfoldAdminSelectWidget)
    priority = forms.TypedChoiceField(
        label=gettext_lazy("Priority"),
        required=False,
        coerce=int,
        empty_value=None,
        choices=[("", gettext_lazy("as it is")), *Priority.choices],
        widget=UnfoldAdminSelectWidget,
    )
    note = forms.CharField(
        label=gettext_lazy("Internal note"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["queue"].queryset = Queue.objects.filter(is_active=True).order_by("name")


class PriorityDialog(BaseDialogForm):
    priority = forms.TypedChoiceField(
        label=gettext_lazy("Priority"), coerce=int, choices=Priority.choices, widget=UnfoldAdminSelectWidget
    )


class ReleaseDialog(BaseDialogForm):
    flow = forms.ModelChoiceField(
        label=gettext_lazy("Flow"),
        queryset=None,
        required=False,
        empty_label=gettext_lazy("the flow it had before"),
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        published = Flow.objects.filter(is_active=True, published__isnull=False)
        self.fields["flow"].queryset = published.select_related("published").order_by("name")


class AgentChoice(forms.ModelChoiceField):
    def label_from_instance(self, agent: AgentProfile) -> str:
        return f"{agent.member.name} ({agent.get_presence_display()})"


class AssignDialog(BaseDialogForm):
    agent = AgentChoice(label=gettext_lazy("Agent"), queryset=None, widget=UnfoldAdminSelectWidget)
    over_capacity = forms.BooleanField(
        label=gettext_lazy("Also above their capacity"), required=False, widget=UnfoldBooleanWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        agents = AgentProfile.objects.filter(member__is_active=True).select_related("member__user")
        self.fields["agent"].queryset = agents.order_by("member__user__name")
