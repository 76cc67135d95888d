"""Pages of the inbox: the list, a conversation, older messages. They only read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.models import Membership
from accounts.roles import Action
from conversations import around, frames, offers, pages, selectors, thread
from conversations import why as reasons
from conversations.models import Conversation, ConversationQuerySet
from conversations.moves import database_now
from conversations.pages import View

View_ = Callable[..., HttpResponse]


def for_members(action: Action = Action.READ_CONVERSATIONS) -> Callable[[View_], View_]:
    """Only members who may do this; strangers are sent to the log-in, scripts are told 401."""

    def decorate(view: View_) -> View_:
        @wraps(view)
        def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            member = request.member
            if member is None:
                if wants_json(request) or request.htmx:
                    return JsonResponse({"code": "login_required"}, status=401)
                return redirect_to_login(request.get_full_path())
            if not member.may(action):
                raise PermissionDenied
            with timezone.override(ZoneInfo(member.organization.timezone)):
                return view(request, *args, **kwargs)

        return run

    return decorate


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith("/live/") or request.headers.get("Accept", "").startswith(
        "application/json"
    )


def find(member: Membership, pk: UUID, visible: ConversationQuerySet | None = None) -> Conversation:
    """A conversation this member may read, with what its page shows; 404 for every other."""
    found = selectors.visible_to(member) if visible is None else visible
    return get_object_or_404(thread.opened(found), pk=pk)


# ---------------------------------------------------------------- pages
@require_GET
@for_members()
def inbox(request: HttpRequest, pk: UUID | None = None) -> HttpResponse:
    """The three panes; a click in the list fetches only what the open conversation changes."""
    member = request.member
    cursor, now = frames.here_and_now()  # before any row is read
    visible = selectors.visible_to(member)
    context: dict[str, Any] = {"cursor": cursor, "member": member}
    if pk:
        context |= around.context_of(find(member, pk, visible), member, now)
    if request.htmx and request.htmx.target and "open" in request.htmx.target:
        return render(request, "inbox/_open.html", context)
    return render(request, "inbox/inbox.html", context | shell(request, visible, now))


def shell(request: HttpRequest, visible: ConversationQuerySet, now: Any) -> dict[str, Any]:
    """What surrounds an open conversation: the list, its counts and what is on offer."""
    member, view = request.member, view_of(request)
    counted = pages.counts(visible, member)
    if not request.GET.get("tab") and counted["mine"] == 0 and counted["queue"]:
        view = replace(view, tab="queue")
    elif not request.GET.get("tab") and not member.may(Action.ANSWER):
        view = replace(view, tab="all")
    return {
        "view": view,
        "counts": counted,
        "narrowed": pages.words_of(view.only) if view.only else "",
        "listing": pages.listing(visible, member, view, now, key=request.GET.get("after", "")),
        "offers": offers.cards(member, now),
    }


def view_of(request: HttpRequest) -> View:
    asked = request.GET
    return View.of(asked.get("tab", ""), asked.get("q", ""), asked.get("only", ""))


@require_GET
@for_members()
def rows(request: HttpRequest) -> HttpResponse:
    """The next page of the list, or the list anew after a search or a tab change."""
    member, view = request.member, view_of(request)
    cursor, now = frames.here_and_now()
    found = pages.listing(selectors.visible_to(member), member, view, now, key=request.GET.get("after", ""))
    response = render(request, "inbox/_rows.html", {"listing": found, "view": view})
    response.headers["X-Cursor"] = cursor
    return response


@require_GET
@for_members()
def earlier(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page of messages before one; the button that asked for it is replaced."""
    before = request.GET.get("before", "")
    if not (before.isascii() and before.isdigit() and len(before) < 10):
        raise Http404
    conversation = find(request.member, pk)
    reader = thread.Reader(conversation, request.member, database_now())
    found = thread.log(reader, before=int(before))
    return render(request, "inbox/_earlier.html", {"log": found, "conversation": conversation})


@require_GET
@for_members()
def message(request: HttpRequest, pk: UUID, message_pk: UUID) -> HttpResponse:
    """One bubble: asked again while its file is being fetched."""
    conversation = find(request.member, pk)
    found = get_object_or_404(thread.messages_of(conversation), pk=message_pk)
    reader = thread.Reader(conversation, request.member, database_now())
    return render(request, "inbox/_item.html", {"item": reader.bubble(found)})


@require_GET
@for_members()
def why(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Why it is where it is, below the contact; without JavaScript a page of its own."""
    seen = selectors.visible_to(request.member).select_related(*reasons.RELATED)
    conversation = get_object_or_404(seen, pk=pk)
    context = {"conversation": conversation, "why": reasons.of(conversation, database_now())}
    if request.htmx:
        return render(request, "inbox/_why.html", context)
    page = {"form": "inbox/_why.html", "member": request.member}
    return render(request, "inbox/form.html", {**context, **page})


# ---------------------------------------------------------------- live
@require_GET
@for_members()
def live_sync(request: HttpRequest) -> HttpResponse:
    """The same frames as the socket's, for pages whose socket does not open."""
    opened = request.GET.get("open", "")
    try:
        open_pk = UUID(opened) if opened else None
    except ValueError:
        open_pk = None
    frame = frames.frames_since(request.member, request.GET.get("since", ""), view_of(request), open_pk)
    if request.GET.get("presence"):
        frame.setdefault("ops", []).extend(frames.presence_ops(request.member))
    return JsonResponse(frame, headers={"Cache-Control": "no-store"})
