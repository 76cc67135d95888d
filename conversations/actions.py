"""What people do in the inbox: each POST calls one verb and turns its refusal into a sentence.

The same views serve htmx (a fresh pane or a toast), the composer (JSON) and a browser without JavaScript
(a redirect with a message).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST
from django_fsm import TransitionNotAllowed

from accounts.models import Membership
from accounts.roles import Action
from conversations import (
    around,
    attaching,
    bells,
    composing,
    frames,
    handoff,
    notices,
    outbox,
    selectors,
    thread,
)
from conversations.capacity import load_by_queue, open_load
from conversations.models import Conversation
from conversations.moves import database_now, writing
from conversations.views import find, for_members, wants_json
from flows.models import Flow
from queues.models import AgentProfile, Department, Priority, Queue

LONGEST = 20_000  # characters of one message or note
REFUSED = (
    handoff.Conflict,
    handoff.Full,
    handoff.NoQueue,
    handoff.OutOfHours,
    outbox.NotYours,
    outbox.StaleView,
    outbox.Refused,
    outbox.TooLate,
    attaching.NotReady,
    TransitionNotAllowed,
)


# ---------------------------------------------------------------- answers
def sentence(error: Exception) -> str:
    """Why a verb refused, for the person who asked."""
    match error:
        case handoff.Conflict() | handoff.Full():
            return str(error)
        case handoff.NoQueue():
            return _("There is no active queue to pass it on to.")
        case handoff.OutOfHours():
            return notices.refusal(error)
        case outbox.NotYours():
            return _("Only the agent who has the conversation answers in it.")
        case outbox.StaleView():
            return _("A colleague has answered in the meantime.")
        case outbox.Refused():
            return str(thread.REFUSALS.get(error.code, error.code))
        case outbox.TooLate():
            return _("This message is past the point where that can be done.")
        case attaching.NotReady():
            return _("A file is still being prepared. Try again in a moment.")
    return _("That is no longer possible: the conversation has moved on.")


def refused(request: HttpRequest, error: Exception, back: str) -> HttpResponse:
    text = sentence(error)
    if wants_json(request):
        return JsonResponse({"code": code_of(error), "detail": text, **missed(request, error)}, status=409)
    if request.htmx:
        return toast(text, status=409)
    messages.error(request, text)
    return redirect(back)


def code_of(error: Exception) -> str:
    if isinstance(error, outbox.Refused):
        return error.code
    names = {
        outbox.StaleView: "stale_view",
        outbox.NotYours: "not_yours",
        handoff.Full: "capacity",
        handoff.OutOfHours: "closed",
    }
    return names.get(type(error), "conflict")


def missed(request: HttpRequest, error: Exception) -> dict[str, Any]:
    if not isinstance(error, outbox.StaleView):
        return {}
    who = [m.agent.name if m.agent else "" for m in error.missed]
    return {"missed": [{"who": w, "text": m.text[:200]} for w, m in zip(who, error.missed, strict=True)]}


def toast(text: str, *, css: str = "bad", status: int = 200) -> HttpResponse:
    """A short note in the corner, whatever the request was about."""
    html = render_to_string("inbox/_toast.html", {"text": text, "css": css})
    return HttpResponse(
        html,
        status=status,
        headers={"HX-Retarget": "#toasts", "HX-Reswap": "beforeend", "HX-Push-Url": "false"},
    )


def shown(request: HttpRequest, pk: UUID | None) -> HttpResponse:
    """The open conversation as it is now, or nothing when it went out of this member's sight."""
    visible = selectors.visible_to(request.member)
    url = reverse("inbox-thread", args=[pk]) if pk and visible.filter(pk=pk).exists() else reverse("inbox")
    if not request.htmx:
        return redirect(url)
    cursor, now = frames.here_and_now()
    context: dict[str, Any] = {"cursor": cursor, "member": request.member}
    if url != reverse("inbox"):
        context |= around.context_of(find(request.member, pk, visible), request.member, now)
    response = render(request, "inbox/_open.html", context)
    for name, value in {"HX-Retarget": "#open", "HX-Reswap": "outerHTML", "HX-Push-Url": url}.items():
        response.headers[name] = value
    return response


def carried_out(
    request: HttpRequest,
    pk: UUID,
    verb: Callable[[], Any],
    *,
    full: Callable[[handoff.Full], HttpResponse] | None = None,
) -> HttpResponse:
    """Call a verb and show what it did. `full` answers when an agent has no room, else that is a refusal."""
    try:
        verb()
    except handoff.Full as error:
        return full(error) if full else refused(request, error, reverse("inbox-thread", args=[pk]))
    except REFUSED as error:
        return refused(request, error, reverse("inbox-thread", args=[pk]))
    except Conversation.DoesNotExist as error:
        raise Http404 from error
    return shown(request, pk)


def mine_to_move(member: Membership, conversation: Conversation) -> None:
    """Agents move what they have; supervisors move anything. Raises NotYours."""
    if conversation.assigned_agent_id != member.pk and not member.may(Action.ASSIGN):
        raise outbox.NotYours


# ---------------------------------------------------------------- taking
@require_POST
@for_members(Action.ANSWER)
def pull(request: HttpRequest) -> HttpResponse:
    """The next one in line, from every queue the member serves."""
    pulled = handoff.pull_from_queue(request.member.pk)
    if pulled.conversation is None:
        if request.htmx:
            return toast(pulled.reason, css="info")
        messages.info(request, pulled.reason)
        return redirect("inbox")
    return shown(request, pulled.conversation.pk)


@require_POST
@for_members(Action.ANSWER)
def claim(request: HttpRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)
    return carried_out(request, pk, lambda: handoff.claim(pk, agent_id=request.member.pk))


@require_POST
@for_members(Action.TAKE_OVER)
def take_over(request: HttpRequest, pk: UUID) -> HttpResponse:
    find(request.member, pk)
    me, over_capacity = request.member.pk, said_over_capacity(request)
    return carried_out(
        request,
        pk,
        lambda: handoff.take_over(pk, agent_id=me, over_capacity=over_capacity),
        full=lambda error: over_capacity_question(request, pk, me, error),
    )


# ---------------------------------------------------------------- passing on
@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def transfer(request: HttpRequest, pk: UUID) -> HttpResponse:
    """To a queue, a department or a colleague; the form shows how busy each of them is."""
    conversation = find(request.member, pk)
    if request.method == "GET":
        return dialog(request, "transfer", {"conversation": conversation, **_destinations(conversation)})

    over_capacity = said_over_capacity(request)
    kind, _sep, value = request.POST.get("to", "").partition(":")

    def act() -> None:
        mine_to_move(request.member, conversation)
        target = _existing(kind, value)
        priority = request.POST.get("priority", "")
        handoff.transfer(
            pk,
            actor=request.member,
            **{f"{kind}_id": target},
            priority=int(priority) if priority.isdigit() and int(priority) in Priority.values else None,
            note=request.POST.get("note", "").strip()[:LONGEST],
            over_capacity=over_capacity,
        )

    return carried_out(
        request, pk, act, full=lambda error: over_capacity_question(request, pk, UUID(value), error)
    )


# ---------------------------------------------------------------- above capacity
def said_over_capacity(request: HttpRequest) -> bool:
    """Whether a supervisor has confirmed it; for anybody else it is forbidden to say so."""
    said = request.POST.get("over_capacity") == "1"
    if said and not request.member.may(Action.ASSIGN):
        raise PermissionDenied
    return said


def over_capacity_question(
    request: HttpRequest, pk: UUID, agent_id: UUID, error: handoff.Full
) -> HttpResponse:
    """Ask a supervisor whether a full agent gets it all the same; anybody else is told the refusal.

    The same request is made again with the confirmation in it.
    """
    if not request.member.may(Action.ASSIGN):
        return refused(request, error, reverse("inbox-thread", args=[pk]))
    context = {
        "agent": AgentProfile.objects.select_related("member__user").get(member_id=agent_id),
        "mine": agent_id == request.member.pk,
        "load": open_load(agent_id, besides=pk),
        "why": str(error),  # of the queue's limit per agent, when it was that
        "fields": [(name, request.POST[name]) for name in ("to", "priority", "note") if name in request.POST],
        "action": request.path,
        "back": pk,
    }
    response = dialog(request, "over_capacity", context)
    response.headers["HX-Retarget"], response.headers["HX-Reswap"] = "#dialog", "innerHTML"
    return response


def _existing(kind: str, value: str) -> UUID:
    """The id of a destination of this organization; Conflict for anything else."""
    models = {"queue": Queue, "department": Department, "agent": AgentProfile}
    try:
        pk = UUID(value)
    except ValueError:
        pk = None
    if kind in models and pk:
        name = "member_id" if kind == "agent" else "pk"
        if models[kind].objects.filter(**{name: pk}).exists():
            return pk
    raise handoff.Conflict(_("Choose where to pass it on to."))


def _destinations(conversation: Conversation) -> dict[str, Any]:
    queues = list(
        Queue.objects.filter(is_active=True).select_related("department").order_by("department__name", "name")
    )
    waiting = handoff.waiting_in([q.pk for q in queues])
    agents = AgentProfile.objects.filter(member__is_active=True).select_related("member__user")
    taken = {pk: sum(by_queue.values()) for pk, by_queue in load_by_queue().items()}
    departments = {q.department_id: q.department for q in queues}
    return {
        "queues": [(q, waiting.get(q.pk, 0)) for q in queues],
        "departments": list(departments.values()) if len(departments) > 1 else [],
        "agents": sorted(
            ((a, taken.get(a.member_id, 0)) for a in agents if a.member_id != conversation.assigned_agent_id),
            key=lambda pair: (ORDER[pair[0].presence], pair[1], pair[0].member.name),
        ),
        "priorities": Priority.choices,
        "current_priority": conversation.queue_priority,
    }


ORDER = {"online": 0, "busy": 1, "away": 2, "offline": 3}


@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def release(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Back to the bot, with the flow that shall talk."""
    conversation = find(request.member, pk)
    flows = Flow.objects.filter(is_active=True, published__isnull=False).select_related("published")
    if request.method == "GET":
        return dialog(request, "release", {"conversation": conversation, "flows": list(flows)})

    def act() -> None:
        mine_to_move(request.member, conversation)
        flow = _chosen(flows, request.POST.get("flow", ""))
        handoff.release_to_bot(pk, actor=request.member, flow=flow)

    return carried_out(request, pk, act)


def _chosen(flows: Any, value: str) -> Flow | None:
    try:
        return flows.filter(pk=UUID(value)).first() if value else None
    except ValueError:
        return None


def dialog(request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
    """A form in the page's dialog; without JavaScript a page of its own."""
    if request.htmx:
        return render(request, f"inbox/_{name}.html", context)
    return render(
        request, "inbox/form.html", {"form": f"inbox/_{name}.html", "member": request.member, **context}
    )


@require_POST
@for_members(Action.ANSWER)
def close(request: HttpRequest, pk: UUID) -> HttpResponse:
    conversation = find(request.member, pk)
    reason = "spam" if request.POST.get("reason") == "spam" else "agent"

    def act() -> None:
        mine_to_move(request.member, conversation)
        handoff.close(pk, actor=request.member, reason=reason)

    return carried_out(request, pk, act)


# ---------------------------------------------------------------- writing
def written(request: HttpRequest) -> tuple[str, list[UUID]]:
    """What stands in a message's form: its text and the files that go along."""
    text = request.POST.get("text", "").replace("\x00", "").strip()[:LONGEST]
    files = [found for found in map(_uuid, request.POST.getlist("media")) if found]
    return text, files[: attaching.MOST]


@require_POST
@for_members(Action.ANSWER)
def reply(request: HttpRequest, pk: UUID) -> HttpResponse:
    """An answer to the customer; repeating it with the same client_id has no further effect."""
    member = request.member
    find(member, pk)
    text, files = written(request)
    if not text and not files:
        return refused(
            request, handoff.Conflict(_("Write something first.")), reverse("inbox-thread", args=[pk])
        )
    seen = request.POST.get("last_seen_seq", "")
    try:
        message, is_new = outbox.reply(
            pk,
            agent=member,
            text=text,
            media=files,
            client_id=request.POST.get("client_id", "")[:64],
            reply_to=_uuid(request.POST.get("reply_to", "")),
            last_seen_seq=int(seen) if seen.isascii() and seen.isdigit() else None,
            force=request.POST.get("force") == "1",
        )
    except attaching.NoSuchFile as error:
        raise Http404 from error
    except REFUSED as error:
        return refused(request, error, reverse("inbox-thread", args=[pk]))
    if not wants_json(request):
        return shown(request, pk)
    return _item(request, find(member, pk), message.pk, status=201 if is_new else 200)


def _item(request: HttpRequest, conversation: Conversation, message_pk: UUID, *, status: int) -> HttpResponse:
    reader = thread.Reader(conversation, request.member, database_now())
    item = reader.bubble(get_object_or_404(thread.messages_of(conversation), pk=message_pk))
    html = render_to_string("inbox/_item.html", {"item": item}, request)
    return JsonResponse({"id": item.id, "seq": item.seq, "html": html}, status=status)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


@require_POST
@for_members(Action.WRITE_NOTES)
def note(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A line for colleagues; the customer never sees it."""
    find(request.member, pk)
    text = request.POST.get("text", "").replace("\x00", "").strip()[:LONGEST]
    if not text:
        return refused(
            request, handoff.Conflict(_("Write something first.")), reverse("inbox-thread", args=[pk])
        )
    with writing(pk, actor=request.member) as conversation:
        handoff.add_note(conversation, request.member, text)
        seq = conversation.seq
    if not wants_json(request):
        return shown(request, pk)
    reader = thread.Reader(conversation, request.member, database_now())
    item = reader.note(conversation.notes.select_related("author__user").get(seq=seq))
    html = render_to_string("inbox/_item.html", {"item": item}, request)
    return JsonResponse({"id": item.id, "seq": seq, "html": html}, status=201)


@require_POST
@for_members(Action.ANSWER)
def retry(request: HttpRequest, pk: UUID, message_pk: UUID) -> HttpResponse:
    """Send again what failed or was never confirmed: a person decides that, and it stands in the ledger."""
    conversation = find(request.member, pk)
    get_object_or_404(conversation.messages, pk=message_pk)
    try:
        if not request.member.may(Action.REPLAY):
            mine_to_move(request.member, conversation)
        outbox.retry(message_pk, actor=request.member)
    except REFUSED as error:
        return refused(request, error, reverse("inbox-thread", args=[pk]))
    if not request.htmx:
        return redirect("inbox-thread", pk)
    reader = thread.Reader(conversation, request.member, database_now())
    item = reader.bubble(get_object_or_404(thread.messages_of(conversation), pk=message_pk))
    return render(request, "inbox/_item.html", {"item": item})


@require_POST
@for_members(Action.ANSWER)
def typing(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The agent who has it is writing: a worker tells the customer's phone, if it can show that."""
    conversation = find(request.member, pk)
    if conversation.assigned_agent_id == request.member.pk and composing.can_be_shown(conversation):
        bells.wake_worker_for(composing.SHOW, pk)
    return HttpResponse(status=204)


@require_POST
@for_members(Action.ANSWER)
def seen(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The agent who has it looked at it: the unread badge goes, on all their screens."""
    request.by_itself = True  # the page says this whenever a message comes in: no sign of input
    conversation = find(request.member, pk)
    if conversation.assigned_agent_id == request.member.pk and conversation.unread:
        with writing(pk, actor=request.member) as locked:
            if locked.unread and locked.assigned_agent_id == request.member.pk:
                locked.unread = 0
                locked.log("seen")
    return HttpResponse(status=204)
