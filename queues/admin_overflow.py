"""The overflow rules of a queue, on its admin page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy

from accounts.admin_base import TenantForm, TenantInline
from accounts.roles import Action
from queues.models import OverflowRule, Queue


class OverflowRuleForm(TenantForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "target" in self.fields:
            self.fields["target"].queryset = Queue.objects.order_by("name")


class OverflowRuleInline(TenantInline):
    model = OverflowRule
    fk_name = "queue"
    form = OverflowRuleForm
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    fields = ("position", "condition", "after_minutes", "target")
    ordering = ("position", "id")
    ordering_field = "position"
    hide_title = True
    max_num = 20
    verbose_name_plural = gettext_lazy("Overflow rules, asked in this order before the plain overflow queue")
