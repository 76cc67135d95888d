"""Planned messages in the inbox: choose when, see what waits, take it back."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.roles import Action
from conversations import attaching, laters
from conversations.actions import carried_out, dialog, mine_to_move, written
from conversations.actions_routing import chosen_time, usual_times
from conversations.can_send import can_send
from conversations.conflicts import Conflict
from conversations.models import Conversation, Later
from conversations.moves import database_now
from conversations.views import find, for_members

REOPENED = "reopened"  # instead of a time: as soon as the customer writes


@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def plan(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Write now, send at one of a few usual times, at one's own, or when the window reopens."""
    conversation = find(request.member, pk)
    zone, now = ZoneInfo(request.member.organization.timezone), database_now()
    if request.method == "GET":
        return dialog(request, "later", _form(conversation, now, zone))

    def act() -> None:
        text, files = written(request)
        if not text and not files:
            raise Conflict(_("Write something first."))
        try:
            laters.plan(
                pk,
                agent=request.member,
                text=text,
                media=files,
                send_at=_when(request, now, zone),
                client_id=request.POST.get("client_id", "")[:64],
            )
        except attaching.NoSuchFile as error:
            raise Http404 from error

    return carried_out(request, pk, act)


@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def move(request: HttpRequest, pk: UUID, later_pk: UUID) -> HttpResponse:
    """Another time for what waits."""
    conversation = find(request.member, pk)
    later = get_object_or_404(Later, pk=later_pk, conversation=conversation)
    zone, now = ZoneInfo(request.member.organization.timezone), database_now()
    if request.method == "GET":
        return dialog(request, "later", {**_form(conversation, now, zone), "later": later})
    return carried_out(
        request,
        pk,
        lambda: laters.change(later_pk, agent=request.member, send_at=_when(request, now, zone)),
    )


@require_POST
@for_members(Action.ANSWER)
def cancel(request: HttpRequest, pk: UUID, later_pk: UUID) -> HttpResponse:
    """Take it back before it goes; a refused one goes out of sight."""
    conversation = find(request.member, pk)
    get_object_or_404(Later, pk=later_pk, conversation=conversation)

    def act() -> None:
        mine_to_move(request.member, conversation)
        laters.cancel(later_pk, actor=request.member)

    return carried_out(request, pk, act)


def _form(conversation: Conversation, now: datetime, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "conversation": conversation,
        "client_id": uuid4(),
        "times": usual_times(now, zone),
        "today": now.astimezone(zone).date(),
        "zone": zone.key,
        "closed": can_send(conversation, human=True, now=now).code == "window_closed",
    }


def _when(request: HttpRequest, now: datetime, zone: ZoneInfo) -> datetime | None:
    return None if request.POST.get("until") == REOPENED else chosen_time(request, now, zone)
