"""An agent and the router: accept or decline what is on offer, put a conversation to rest and wake it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.roles import Action
from conversations import handoff, offers, resting, router
from conversations.actions import REFUSED, carried_out, dialog, refused, shown
from conversations.conflicts import Conflict
from conversations.moves import database_now
from conversations.views import find, for_members

MORNING = time(9)


# ---------------------------------------------------------------- offers
@require_POST
@for_members(Action.ANSWER)
def accept(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take what is on offer, and open it."""
    return _answered(
        request, pk, lambda: handoff.claim(pk, agent_id=request.member.pk), lambda: shown(request, pk)
    )


@require_POST
@for_members(Action.ANSWER)
def decline(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Leave it to the next one; the answer is what else is on offer."""
    return _answered(
        request, pk, lambda: router.decline(pk, agent=request.member), lambda: _what_is_left(request)
    )


def _answered(
    request: HttpRequest, pk: UUID, verb: Callable[[], Any], done: Callable[[], HttpResponse]
) -> HttpResponse:
    """Whoever was late is told so: the conversation itself may be out of their sight by now."""
    if not offers.was_made_to(request.member, pk):
        raise Http404
    try:
        verb()
    except REFUSED as error:
        return refused(request, error, reverse("inbox"))
    return done()


def _what_is_left(request: HttpRequest) -> HttpResponse:
    if not request.htmx:
        return redirect("inbox")
    left = offers.cards(request.member, database_now())
    return render(request, "inbox/_offers.html", {"offers": left})


# ---------------------------------------------------------------- rest
@require_POST
@for_members(Action.ANSWER)
def hold(request: HttpRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)
    return carried_out(request, pk, lambda: resting.hold(pk, agent=request.member))


@require_POST
@for_members(Action.ANSWER)
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)
    return carried_out(request, pk, lambda: resting.resume(pk, actor=request.member))


@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def snooze(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Until one of a few usual times, or one of the agent's own."""
    conversation = find(request.member, pk)
    zone, now = ZoneInfo(request.member.organization.timezone), database_now()
    if request.method == "GET":
        today = now.astimezone(zone).date()
        return dialog(
            request,
            "snooze",
            {"conversation": conversation, "times": usual_times(now, zone), "today": today, "zone": zone.key},
        )
    return carried_out(
        request,
        pk,
        lambda: resting.snooze(pk, agent=request.member, until=chosen_time(request, now, zone)),
    )


@dataclass(frozen=True, slots=True)
class Time:
    """A time that the dialog offers."""

    value: str
    text: str
    at: datetime
    shown: str


def usual_times(now: datetime, zone: ZoneInfo) -> list[Time]:
    """In an hour, tomorrow and next Monday in the morning; on a Sunday the last two are one."""
    here = now.astimezone(zone)
    monday = here.date() + timedelta(days=7 - here.weekday())
    tomorrow = here.date() + timedelta(days=1)
    found = [
        ("hour", _("In 1 hour"), here + timedelta(hours=1)),
        ("tomorrow", _("Tomorrow morning"), datetime.combine(tomorrow, MORNING, zone)),
        ("monday", _("Next Monday"), datetime.combine(monday, MORNING, zone)),
    ]
    return [
        Time(value, text, at, formats.date_format(at, "D d/m H:i"))
        for value, text, at in (found[:2] if monday == tomorrow else found)
    ]


def chosen_time(request: HttpRequest, now: datetime, zone: ZoneInfo) -> datetime:
    """Raises Conflict, a sentence for the toast, when it names no time."""
    known = {one.value: one.at for one in usual_times(now, zone)}
    if at := known.get(request.POST.get("until", "")):
        return at
    try:
        day = date.fromisoformat(request.POST.get("date", ""))
        hour = time.fromisoformat(request.POST.get("time", ""))
        return datetime.combine(day, hour.replace(tzinfo=None), zone)
    except ValueError as error:
        raise Conflict(_("Choose a day and a time.")) from error
