"""What people do on the board and the wall: each POST calls one verb and turns its refusal into a sentence.

Pages with script get JSON and show it as a short note; without script they are sent back with a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.middleware import MemberRequest
from accounts.roles import Action
from conversations import handoff
from conversations.actions import REFUSED, code_of, sentence
from conversations.capacity import load_by_queue
from conversations.conflicts import Conflict
from conversations.models import Conversation, State
from conversations.pages import name_of
from conversations.views import find, for_members, wants_json
from insights.board import PRIORITIES, Rights
from queues.models import AgentProfile, Priority, Queue

Row = TypeVar("Row", bound=Model)
AT_WORK_FIRST = list(AgentProfile.Presence.values)


# ---------------------------------------------------------------- answers
def told(request: HttpRequest, text: str, *, go: str = "", css: str = "ok") -> HttpResponse:
    """It is done, or there was nothing to do; `go` is where the person wants to be next."""
    if wants_json(request):
        return JsonResponse({"detail": text, "css": css, "go": go})
    if text:
        messages.info(request, text)
    return redirect(go or _back(request))


def carried_out(request: HttpRequest, act: Callable[[], str], *, go: str = "") -> HttpResponse:
    """Call the verb; it says what was done."""
    try:
        done = act()
    except REFUSED as error:
        if wants_json(request):
            return JsonResponse({"code": code_of(error), "detail": sentence(error)}, status=409)
        messages.error(request, sentence(error))
        return redirect(_back(request))
    except Conversation.DoesNotExist as error:
        raise Http404 from error
    return told(request, done, go=go)


def _back(request: HttpRequest) -> str:
    return reverse("wall" if request.POST.get("page") == "wall" else "board")


def chosen(rows: QuerySet[Row], value: str, field: str = "pk") -> Row:
    """The row a form names; 404 for what this organization does not have."""
    try:
        return get_object_or_404(rows, **{field: UUID(value)})
    except ValueError as error:
        raise Http404 from error


def still_waiting(conversation: Conversation) -> None:
    """The guard of every verb here: the card may be a second old."""
    if conversation.state != State.QUEUED:
        raise Conflict(_("It is not waiting any more: somebody was faster."))


# ---------------------------------------------------------------- taking
@require_POST
@for_members(Action.ANSWER)
def pull(request: MemberRequest) -> HttpResponse:
    """The next one in line, of one queue or of every queue the member serves."""
    queue = request.POST.get("queue", "")
    queue_id = chosen(Queue.objects.all(), queue).pk if queue else None
    pulled = handoff.pull_from_queue(request.member.pk, queue_id)
    if pulled.conversation is None:
        return told(request, pulled.reason, css="info")
    return told(request, "", go=reverse("inbox-thread", args=[pulled.conversation.pk]))


@require_POST
@for_members(Action.ANSWER)
def take(request: MemberRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)

    def act() -> str:
        handoff.claim(pk, agent_id=request.member.pk)
        return ""

    return carried_out(request, act, go=reverse("inbox-thread", args=[pk]))


# ---------------------------------------------------------------- leading
@require_POST
@for_members(Action.ASSIGN)
def move(request: MemberRequest, pk: UUID) -> HttpResponse:
    """To another queue, with its priority or another one."""
    find(request.member, pk)
    queue = chosen(Queue.objects.filter(is_active=True), request.POST.get("queue", ""))
    priority = _priority(request)

    def act() -> str:
        moved = handoff.transfer(
            pk, actor=request.member, queue_id=queue.pk, priority=priority, guard=still_waiting
        )
        return _("Moved to %(queue)s.") % {"queue": moved.queue.name}

    return carried_out(request, act)


@require_POST
@for_members(Action.ASSIGN)
def prioritise(request: MemberRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)
    priority = _priority(request)
    if priority is None:
        raise Http404

    def act() -> str:
        handoff.reprioritise(pk, priority, actor=request.member, guard=still_waiting)
        return _("Priority: %(priority)s.") % {"priority": Priority(priority).label}

    return carried_out(request, act)


def _priority(request: HttpRequest) -> int | None:
    """The priority a form names, or None when it names none."""
    value = request.POST.get("priority", "")
    return int(value) if value in {str(known) for known in Priority.values} else None


@require_POST
@for_members(Action.ASSIGN)
def assign(request: MemberRequest, pk: UUID) -> HttpResponse:
    """To an agent at once; with the tick even to one whose hands are full."""
    find(request.member, pk)
    agents = AgentProfile.objects.filter(member__is_active=True).select_related("member__user")
    agent = chosen(agents, request.POST.get("agent", ""), "member_id")

    def act() -> str:
        handoff.transfer(
            pk,
            actor=request.member,
            agent_id=agent.member_id,
            over_capacity=request.POST.get("over_capacity") == "1",
            guard=still_waiting,
        )
        return _("Given to %(agent)s.") % {"agent": agent.member.name}

    return carried_out(request, act)


@require_POST
@for_members(Action.ASSIGN)
def close(request: MemberRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)

    def act() -> str:
        with transaction.atomic():
            still_waiting(Conversation.objects.select_for_update(no_key=True).get(pk=pk))
            handoff.close(pk, actor=request.member)
        return _("Closed.")

    return carried_out(request, act)


# ---------------------------------------------------------------- the menu of a card
@require_GET
@for_members(Action.ANSWER)
def menu(request: MemberRequest, pk: UUID) -> HttpResponse:
    """What can be done with a waiting conversation: into the page's dialog, or as a page of its own."""
    conversation = find(request.member, pk)
    rights = Rights.of(request.member)
    context = {
        "conversation": conversation,
        "name": name_of(conversation),
        "is_waiting": conversation.state == State.QUEUED,
        "rights": rights,
        "priorities": PRIORITIES,
        **(_destinations(conversation) if rights.lead else {}),
    }
    if request.GET.get("fragment"):
        return render(request, "insights/_menu.html", context)
    return render(request, "insights/menu.html", {"member": request.member, **context})


def _destinations(conversation: Conversation) -> dict[str, Any]:
    """Where it can go: the other queues, and agents with what they have in hand, those at work first."""
    queues = Queue.objects.filter(is_active=True).exclude(pk=conversation.queue_id)
    agents = AgentProfile.objects.filter(member__is_active=True).select_related("member__user")
    loads = load_by_queue()
    return {
        "queues": list(queues.select_related("department").order_by("department__name", "name")),
        "agents": sorted(
            ((agent, sum(loads.get(agent.member_id, {}).values())) for agent in agents),
            key=lambda pair: (AT_WORK_FIRST.index(pair[0].presence), pair[1], pair[0].member.name),
        ),
    }
