"""Send again or cancel what is selected, or all that a filter finds: one by one through the outbox's verbs.

Thousands go in chunks, a request each. A run takes only what ended before it began and never looks back at a
row: what fails anew meanwhile is not sent a third time, and no row is tried twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest
from django.db import OperationalError
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldBooleanWidget

from accounts import audit
from accounts.admin_base import CappedPaginator, TenantAdmin, may, refused, told
from accounts.models import Membership
from accounts.roles import Action
from channels_hub.contract import State
from conversations import outbox
from conversations.models import DEAD, Delivery
from conversations.moves import database_now

CHUNK = 200  # rows per request
SECONDS = 5.0  # after which a request ends, whatever is left of its chunk
NAMED = 20  # refusals told by name; the rest as a number


class ReplayDialog(BaseDialogForm):
    unknown_too = forms.BooleanField(
        label=gettext_lazy("Also those that are not confirmed: they may arrive twice"),
        required=False,
        widget=UnfoldBooleanWidget,
    )


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done to each of them, to which, and how that is put."""

    name: str
    statuses: Sequence[str]
    do: Callable[[UUID, Membership], Any]
    dialog: type[BaseDialogForm]
    too_late: Any
    audited: str

    def rows(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(status__in=self.statuses)


REPLAY = Verb(
    "replay_selected", DEAD, lambda pk, actor: outbox.retry(pk, actor=actor), ReplayDialog,
    gettext_lazy("it was sent again or confirmed meanwhile"), "outbox.replayed",
)  # fmt: skip
CANCEL = Verb(
    "cancel_selected", outbox.NOT_HANDED, lambda pk, actor: outbox.cancel(pk, actor=actor), BaseDialogForm,
    gettext_lazy("it is with the platform"), "outbox.cancelled",
)  # fmt: skip


@dataclass
class Run:
    """One go over the rows; what a request knows of it is written into the page and comes back."""

    until: datetime
    after: UUID | None = None
    done: int = 0
    refused: int = 0
    why: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, request: HttpRequest) -> Run:
        given = request.POST
        if not given.get("until"):
            return cls(database_now())
        try:
            until, after = parse_datetime(given["until"]), UUID(given["after"])
            counted = int(given["done"]), int(given["refused"])
        except (KeyError, ValueError) as error:
            raise BadRequest from error
        if until is None or until.tzinfo is None:
            raise BadRequest
        return cls(until, after, *counted)

    def next_rows(self, rows: QuerySet[Any]) -> list[Any]:
        """Over before the run began, and not seen by it yet."""
        over = rows.annotate(over_at=Coalesce(F("settled_at"), F("created_at"))).filter(
            over_at__lte=self.until
        )
        if self.after:
            over = over.filter(pk__gt=self.after)
        return list(over.order_by("pk")[:CHUNK])

    def go(self, rows: Sequence[Any], verb: Verb, actor: Membership) -> None:
        """One by one; the parts of a message go together, as its first one."""
        began, messages = time.monotonic(), set[UUID]()
        for row in rows:
            if time.monotonic() - began > SECONDS:
                break
            self.after = row.pk
            if row.message_id not in messages:
                messages.add(row.message_id)
                self._try(row, verb, actor)

    def _try(self, row: Any, verb: Verb, actor: Membership) -> None:
        try:
            verb.do(row.message_id, actor)
        except outbox.TooLate:
            self._refuse(row, verb.too_late)
        except OperationalError:  # somebody else keeps the conversation busy
            self._refuse(row, _("the conversation is busy, try again"))
        else:
            self.done += 1

    def _refuse(self, row: Any, why: Any) -> None:
        self.refused += 1
        self.why.append(f"{row.conversation.contact}: {why}")


class ReplayMixin(TenantAdmin):
    """The bulk acts of the outbox and of dead letters."""

    @action(description=gettext_lazy("Send again"), permissions=["replay"])
    def replay_selected(self, request: HttpRequest, rows: QuerySet[Delivery]) -> HttpResponse | None:
        return self._run(request, rows, REPLAY)

    @action(description=gettext_lazy("Cancel sending"), permissions=["replay"])
    def cancel_selected(self, request: HttpRequest, rows: QuerySet[Delivery]) -> HttpResponse | None:
        return self._run(request, rows, CANCEL)

    def has_replay_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, Action.REPLAY)

    def _run(self, request: HttpRequest, rows: QuerySet[Delivery], verb: Verb) -> HttpResponse | None:
        """A page that says what it means, then chunk after chunk until nothing is left."""
        form = verb.dialog(request, None, request.POST if "_form_submitted" in request.POST else None)
        if not (form.is_bound and form.is_valid()):
            return self._page(request, verb, form=form, **self._counted(rows, verb))
        meant = verb.rows(rows)
        if verb is REPLAY and not form.cleaned_data["unknown_too"]:
            meant = meant.exclude(status=State.UNKNOWN)
        run = Run.of(request)
        found = run.next_rows(meant.select_related("conversation__contact"))
        before = run.done
        run.go(found, verb, request.member)
        if run.done > before:
            counts = {"count": run.done - before}
            audit.record(
                verb.audited, organization=request.member.organization, actor=request.member, data=counts
            )
        for line in run.why[:NAMED]:
            refused(request, line)
        if found and (len(found) == CHUNK or found[-1].pk != run.after):
            return self._page(request, verb, form=form, run=run)
        self._tell(request, verb, run)
        return None

    def _counted(self, rows: QuerySet[Delivery], verb: Verb) -> dict[str, Any]:
        """How many it would be; no further than anybody counts."""
        most = CappedPaginator.most
        fitting = verb.rows(rows).order_by()
        all_of_them = rows.order_by()[: most + 1].count()
        meant = fitting[: most + 1].count()
        return {
            "count": min(meant, most),
            "more": meant > most,
            "others": 0 if meant > most else max(0, all_of_them - meant),
            "unknown": fitting.filter(status=State.UNKNOWN)[: most + 1].count(),
        }

    def _page(self, request: HttpRequest, verb: Verb, **more: Any) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.model._meta,
            "title": dict(self.get_action_choices(request, []))[verb.name],
            "subtitle": None,
            "action": verb.name,
            "box": ACTION_CHECKBOX_NAME,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
            "back": request.get_full_path(),
            **more,
        }
        return TemplateResponse(request, "admin/conversations/replay.html", context)

    def _tell(self, request: HttpRequest, verb: Verb, run: Run) -> None:
        n = run.done
        if verb is REPLAY:
            done = ngettext("%(n)s message waits to be sent.", "%(n)s messages wait to be sent.", n)
        else:
            done = ngettext("%(n)s message is not sent.", "%(n)s messages are not sent.", n)
        if n:
            told(request, done % {"n": n})
        if run.refused:
            text = ngettext("%(n)s was refused.", "%(n)s were refused.", run.refused)
            refused(request, text % {"n": run.refused})
        elif not n:
            refused(request, _("There was nothing to do."))
