"""Acts on several conversations: one by one through the verbs; the refused are named, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_fsm import TransitionNotAllowed
from unfold.decorators import action
from unfold.forms import BaseDialogForm

from accounts.admin_base import refused, told
from conversations import handoff, notices
from conversations.admin_dialogs import AssignDialog, CloseDialog, PriorityDialog, TransferDialog
from conversations.models import Conversation, State

REFUSALS = (handoff.Conflict, handoff.Full, handoff.NoQueue, handoff.OutOfHours, TransitionNotAllowed)
MOST = 500  # at once; more is done by filters and a second go


def why_not(error: Exception, conversation: Conversation) -> str:
    """A verb's refusal as a sentence."""
    match error:
        case handoff.NoQueue():
            return _("There is no active queue to wait in.")
        case handoff.OutOfHours():
            return notices.refusal(error)
        case TransitionNotAllowed():
            return _("Not possible while the conversation is “%s”.") % conversation.get_state_display()
    return str(error)


def enter_line(conversation: Conversation, to: dict[str, Any], actor: Any) -> Conversation:
    """Into a queue: from the bot it is handed over, from people to people it is passed on."""
    if conversation.state in (State.PENDING, State.BOT):
        return handoff.request_handoff(
            conversation.pk, queue_id=to["queue"].pk, priority=to["priority"], context=to["note"],
            actor=actor, cause="admin",
        )  # fmt: skip
    return handoff.transfer(
        conversation.pk, actor=actor, queue_id=to["queue"].pk, priority=to["priority"], note=to["note"],
        cause="admin",
    )  # fmt: skip


class BulkMixin(admin.ModelAdmin):
    """The bulk actions of the conversations' list."""

    bulk_actions = (
        "move_selected", "prioritise_selected", "assign_selected", "close_selected", "release_selected",
    )  # fmt: skip

    @action(description=gettext_lazy("Move the selected conversations to a queue"), permissions=["assign"])
    def move_selected(self, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
        return self._ask(
            request, rows, TransferDialog, "move_selected",
            lambda one, to: enter_line(one, to, request.member),
            lambda n: ngettext("%(n)s conversation moved.", "%(n)s conversations moved.", n) % {"n": n},
        )  # fmt: skip

    @action(
        description=gettext_lazy("Set the priority of the selected conversations"), permissions=["assign"]
    )
    def prioritise_selected(self, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
        return self._ask(
            request, rows, PriorityDialog, "prioritise_selected",
            lambda one, given: handoff.reprioritise(
                one.pk, given["priority"], actor=request.member, cause="admin"
            ),
            lambda n: ngettext("%(n)s priority set.", "%(n)s priorities set.", n) % {"n": n},
        )  # fmt: skip

    @action(description=gettext_lazy("Assign the selected conversations to an agent"), permissions=["assign"])
    def assign_selected(self, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
        return self._ask(
            request, rows, AssignDialog, "assign_selected",
            lambda one, given: handoff.assign_agent(
                one.pk, given["agent"].member_id, actor=request.member, cause="admin",
                over_capacity=given.get("over_capacity", False),
            ),
            lambda n: ngettext("%(n)s conversation assigned.", "%(n)s conversations assigned.", n) % {"n": n},
        )  # fmt: skip

    @action(description=gettext_lazy("Close the selected conversations"), permissions=["answer"])
    def close_selected(self, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
        return self._ask(
            request, rows, CloseDialog, "close_selected",
            lambda one, given: handoff.close(
                one.pk, actor=request.member, reason=given["reason"], cause="admin"
            ),
            lambda n: ngettext("%(n)s conversation closed.", "%(n)s conversations closed.", n) % {"n": n},
        )  # fmt: skip

    @action(
        description=gettext_lazy("Give the selected conversations back to the bot"), permissions=["answer"]
    )
    def release_selected(self, request: HttpRequest, rows: QuerySet[Conversation]) -> HttpResponse | None:
        return self._ask(
            request, rows, BaseDialogForm, "release_selected",
            lambda one, _given: handoff.release_to_bot(one.pk, actor=request.member, cause="admin"),
            lambda n: (
                ngettext("The bot has %(n)s conversation.", "The bot has %(n)s conversations.", n) % {"n": n}
            ),
        )  # fmt: skip

    def _ask(
        self,
        request: HttpRequest,
        rows: QuerySet[Conversation],
        dialog: type[BaseDialogForm],
        name: str,
        verb: Callable[[Conversation, dict[str, Any]], Any],
        done: Callable[[int], str],
    ) -> HttpResponse | None:
        """First a page that names what is chosen and asks for the rest, then the verbs, one by one."""
        chosen = list(rows[: MOST + 1])
        if len(chosen) > MOST:
            refused(request, _("Choose at most %(n)s at once.") % {"n": MOST})
            return None
        form = dialog(request, None, request.POST if "_form_submitted" in request.POST else None)
        if form.is_bound and form.is_valid():
            self._each(request, chosen, form.cleaned_data, verb, done)
            return None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": dict(self.get_action_choices(request, []))[name],
            "form": form,
            "chosen": chosen,
            "action": name,
            "box": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/bulk.html", context)

    def _each(
        self,
        request: HttpRequest,
        chosen: Sequence[Conversation],
        given: dict[str, Any],
        verb: Callable[[Conversation, dict[str, Any]], Any],
        done: Callable[[int], str],
    ) -> None:
        moved = 0
        for conversation in chosen:
            try:
                verb(conversation, given)
                moved += 1
            except REFUSALS as error:
                refused(request, f"{conversation.contact}: {why_not(error, conversation)}")
        if moved:
            told(request, done(moved))
