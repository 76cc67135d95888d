"""How an agent comes and goes: the presence menu, and the question what becomes of what they have in hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import logout
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from accounts.models import Membership
from accounts.roles import Action
from conversations import attendance, me, pages
from conversations.capacity import load_by_queue
from conversations.views import for_members
from queues.models import AgentProfile, BreakReason
from queues.services import NoAgent

Presence = AgentProfile.Presence
ORDER = {Presence.ONLINE: 0, Presence.BUSY: 1, Presence.AWAY: 2, Presence.OFFLINE: 3}


# ---------------------------------------------------------------- choosing
@require_POST
@for_members(Action.ANSWER)
def presence(request: HttpRequest) -> HttpResponse:
    """Available, busy, on a break or offline: what routing and colleagues see."""
    status, reason = _chosen(request.POST.get("status", ""))
    if status == Presence.OFFLINE and _must_ask(request):
        return _question(request, reverse("inbox-presence"), status)
    try:
        outcome = attendance.set_presence(
            request.member, status, reason=reason, **_destination(request.POST.get("conversations", ""))
        )
    except NoAgent as error:
        raise Http404 from error
    told = _told(outcome) if "conversations" in request.POST else ""
    if request.htmx:
        shown = me.me_of(request.member)
        context = {"presence": shown, "initials": pages.initials(request.member.name), "told": told}
        return render(request, "inbox/_me_answer.html", context)
    if told:
        messages.info(request, told)
    return redirect("inbox")


@require_POST
@for_members()
def leave(request: HttpRequest) -> HttpResponse:
    """Log out. An agent goes offline with it, on every device: there is one presence."""
    if _must_ask(request):
        return _question(request, reverse("inbox-leave"))
    if AgentProfile.objects.filter(member=request.member).exists():
        destination = _destination(request.POST.get("conversations", ""))
        attendance.set_presence(request.member, Presence.OFFLINE, **destination)
    logout(request)
    if request.htmx:
        return HttpResponse(headers={"HX-Redirect": reverse("login")})
    return redirect("login")


def _chosen(value: str) -> tuple[str, BreakReason | None]:
    """The word away with an id is a break with its reason. 404 for anything that the menu does not offer."""
    status, _colon, pk = value.partition(":")
    if status not in Presence.values or (pk and status != Presence.AWAY):
        raise Http404
    reason = BreakReason.objects.filter(pk=_uuid(pk)).first() if pk else None
    if pk and reason is None:
        raise Http404
    return status, reason


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Http404 from error


# ---------------------------------------------------------------- the question
@dataclass(frozen=True, slots=True)
class Colleague:
    member_id: UUID
    name: str
    presence: str
    text: str
    free: int


def _must_ask(request: HttpRequest) -> bool:
    return "conversations" not in request.POST and attendance.in_hand(request.member.pk).exists()


def _question(request: HttpRequest, action: str, status: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        "action": action,
        "status": status,
        "open": attendance.in_hand(request.member.pk).count(),
        "colleagues": _colleagues(request.member),
        "member": request.member,
    }
    if not request.htmx:
        return render(request, "inbox/form.html", {"form": "inbox/_leave.html", **context})
    response = render(request, "inbox/_leave.html", context)
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _colleagues(member: Membership) -> list[Colleague]:
    """Who could take over, those who are there and have the most room first."""
    rows = AgentProfile.objects.filter(member__is_active=True).exclude(member=member)
    agents = list(rows.select_related("member__user"))
    loads, texts = load_by_queue([a.member_id for a in agents]), me.texts()
    found = [
        Colleague(
            agent.member_id,
            agent.member.name,
            agent.presence,
            texts[agent.presence],
            agent.capacity - sum(loads.get(agent.member_id, {}).values()),
        )
        for agent in agents
    ]
    with_room = (one for one in found if one.free > 0)
    return sorted(with_room, key=lambda one: (ORDER[Presence(one.presence)], -one.free, one.name))


def _destination(answer: str) -> dict[str, Any]:
    """What the question was answered: keep, queue, or agent with a colon and the colleague's id."""
    word, _colon, pk = answer.partition(":")
    if word == "agent":
        to = _uuid(pk)
        if not AgentProfile.objects.filter(member_id=to, member__is_active=True).exists():
            raise Http404
        return {"conversations": attendance.COLLEAGUE, "to": to}
    return {"conversations": attendance.QUEUE if word == "queue" else attendance.KEEP}


def _told(outcome: attendance.Outcome) -> str:
    given, queued, refused = len(outcome.given), len(outcome.queued), len(outcome.refused)
    one = ngettext("%(n)d conversation was passed on.", "%(n)d conversations were passed on.", given)
    two = ngettext(
        "%(n)d conversation went back to the queue.", "%(n)d conversations went back to the queue.", queued
    )
    three = ngettext("%(n)d conversation stays with you.", "%(n)d conversations stay with you.", refused)
    parts = [text % {"n": n} for text, n in ((one, given), (two, queued), (three, refused)) if n]
    return " ".join([_("You are offline."), *parts])
