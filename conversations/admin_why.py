"""Why it is where it is, in the admin: on a conversation's page, and for all that do not move."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Greatest
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action

from accounts.admin_base import TenantAdmin
from conversations import selectors, why, words
from conversations.models import Conversation, State
from conversations.moves import database_now

SHOWN = 50
MOVEMENTS = ("created_at", "queued_at", "assigned_at", "last_message_at", "last_activity_at")


class WhyAdmin(TenantAdmin):
    """The block above a conversation, and the list of those that stand still."""

    change_form_before_template = "admin/conversations/why.html"
    actions_list = ("standing_still",)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if (shown := context.get("original")) is not None:
            conversation = Conversation.objects.select_related(*why.RELATED).get(pk=shown.pk)
            context["why"] = why.of(conversation, database_now())
        return super().render_change_form(request, context, *args, **kwargs)

    @action(
        description=gettext_lazy("Why is it not moving?"),
        url_path="standing-still",
        permissions=["view"],
        icon="hourglass_bottom",
    )
    def standing_still(self, request: HttpRequest) -> HttpResponse:
        """Open conversations, the longest without any movement first, each with the reason in a sentence."""
        now = database_now()
        found = list(_longest_still(request))
        rows = [
            {
                "name": str(c.contact),
                "link": reverse("admin:conversations_conversation_change", args=[c.pk]),
                "state": c.get_state_display(),
                "still": words.span(now - c.moved_at),
                "why": brief,
            }
            for c, brief in zip(found, why.briefly(found, now), strict=True)
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": _("Why is it not moving?"),
            "subtitle": None,
            "opts": Conversation._meta,
            "rows": rows,
            "shown": SHOWN,
        }
        return TemplateResponse(request, "admin/conversations/standing_still.html", context)


def _longest_still(request: HttpRequest) -> QuerySet[Conversation]:
    # "Not closed" rather than a list of states: so said, the index of open conversations answers.
    rows = selectors.visible_to(request.member).exclude(state=State.CLOSED)
    rows = rows.annotate(moved_at=Greatest(*MOVEMENTS)).select_related("contact", *why.RELATED)
    return rows.defer("flow__draft").order_by("moved_at", "id")[:SHOWN]
