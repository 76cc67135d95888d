"""More than a plain answer: templates while the window is closed, and what became of a message."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.roles import Action
from channels_hub.contract import State
from channels_hub.models import MessageTemplate
from conversations import around, bot, outbox, reconcile, templates, thread
from conversations.actions import REFUSED, carried_out, dialog, mine_to_move, refused, toast
from conversations.conflicts import Conflict
from conversations.models import Conversation
from conversations.moves import database_now
from conversations.views import find, for_members

BLANK = "v-"  # what the form puts before a variable's name


# ---------------------------------------------------------------- templates
@require_http_methods(["GET", "POST"])
@for_members(Action.ANSWER)
def template(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Choose an approved template, fill it in and send it; in the foot of the thread or as a dialog."""
    conversation = find(request.member, pk)
    if request.method == "GET":
        return _picker(request, conversation)
    given = {
        "ref": request.POST.get("ref", ""),
        "body": {
            name.removeprefix(BLANK): value for name, value in request.POST.items() if name.startswith(BLANK)
        },
    }

    def act() -> None:
        try:
            filled = templates.fill(conversation, given)
        except templates.Unfit as error:
            raise Conflict(str(error)) from error
        client_id = request.POST.get("client_id", "")[:64]
        outbox.reply(pk, agent=request.member, text=filled.text, template=filled.stored, client_id=client_id)

    return carried_out(request, pk, act)


def _picker(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    q = request.GET.get("q", "").replace("\x00", "").strip()[:80]
    found = templates.fitting(conversation, q)
    chosen = next((one for one in found if one.ref == request.GET.get("ref")), found[0] if found else None)
    context = {
        "conversation": conversation,
        "q": q,
        "templates": found,
        "chosen": chosen,
        "client_id": uuid4(),
    }
    if chosen:
        context |= _blanks(conversation, chosen)
    if request.htmx and request.htmx.target and "dialog" not in request.htmx.target:
        return render(request, "inbox/_template_choice.html", context)
    return dialog(request, "template", context)


def _blanks(conversation: Conversation, chosen: MessageTemplate) -> dict[str, Any]:
    """The variables of the chosen one with what is known already, and how it reads with that."""
    values = templates.suggested(chosen, conversation, bot.variables_of(conversation))
    blanks = [
        {"name": name, "field": f"{BLANK}{name}", "value": value, "sample": chosen.variables.get(name, "")}
        for name, value in values.items()
    ]
    return {"blanks": blanks, "preview": templates.rendered(chosen.body, values)}


@require_GET
@for_members()
def foot(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The foot of the thread as it stands now: the page asks when the window has closed by its clock."""
    conversation = find(request.member, pk)
    context = {
        "conversation": conversation,
        "composer": around.composer_of(conversation, request.member, database_now()),
        "rights": around.rights_of(conversation, request.member),
    }
    return render(request, "inbox/_composer.html", context)


# ---------------------------------------------------------------- what became of it
@require_POST
@for_members(Action.ANSWER)
def check_again(request: HttpRequest, pk: UUID, message_pk: UUID) -> HttpResponse:
    """Ask the platform now whether an unconfirmed message arrived; nothing is sent."""
    conversation = find(request.member, pk)
    message = get_object_or_404(conversation.messages, pk=message_pk)
    try:
        if not request.member.may(Action.REPLAY):
            mine_to_move(request.member, conversation)
    except REFUSED as error:
        return refused(request, error, reverse("inbox-thread", args=[pk]))
    unsure = list(message.deliveries.filter(status=State.UNKNOWN))
    answered = [reconcile.look_up(delivery) for delivery in unsure]
    if not request.htmx:
        return redirect("inbox-thread", pk)
    if unsure and not any(answered):
        return toast(
            _("The platform still does not know this message. It is asked again by itself."), css="info"
        )
    reader = thread.Reader(conversation, request.member, database_now())
    item = reader.bubble(get_object_or_404(thread.messages_of(conversation), pk=message_pk))
    return render(request, "inbox/_item.html", {"item": item})


@require_GET
@for_members(Action.ANSWER)
def send_anyway(request: HttpRequest, pk: UUID, message_pk: UUID) -> HttpResponse:
    """Name the risk before an unconfirmed message goes out a second time."""
    conversation = find(request.member, pk)
    message = get_object_or_404(conversation.messages, pk=message_pk)
    return dialog(request, "send_anyway", {"conversation": conversation, "message": message})
