"""Files of conversations: shown to who may read them, taken from who answers."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.roles import Action
from channels_hub import serving
from channels_hub.models import MediaFile
from channels_hub.uploads import NotTaken
from conversations import attaching
from conversations.selectors import files_visible_to
from conversations.views import find, for_members


@require_GET
@for_members()
def media(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """A file of a conversation the member may read. Only what cannot run is shown, the rest is a download."""
    return serving.original(request, get_object_or_404(_stored(request), pk=pk))


@require_GET
@for_members()
def thumbnail(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The small form of a picture, for the log."""
    file = get_object_or_404(_stored(request), pk=pk)
    if not file.thumbnail:
        raise Http404
    return serving.thumbnail(request, file)


def _stored(request: HttpRequest) -> Any:
    return files_visible_to(request.member).filter(state=MediaFile.State.OK)


# ---------------------------------------------------------------- taking
@require_POST
@for_members(Action.ANSWER)
def upload(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A file for the next answer: looked at, cleaned and kept; the message names it by its id."""
    conversation = find(request.member, pk)
    given = request.FILES.get("file")
    if given is None:
        return _refused("no_file", _("Choose a file."))
    if conversation.assigned_agent_id != request.member.pk:
        return _refused("not_yours", _("Only the agent who has the conversation answers in it."))
    try:
        file = attaching.receive(conversation, request.member, given, voice=request.POST.get("voice") == "1")
    except NotTaken as error:
        return _refused(error.code, str(error))
    return JsonResponse(_shape(file), status=201)


def _refused(code: str, text: str) -> HttpResponse:
    return JsonResponse({"code": code, "detail": text}, status=409)


@require_GET
@for_members(Action.ANSWER)
def uploaded(request: HttpRequest, pk: UUID) -> HttpResponse:
    """How a file that is being converted stands."""
    return JsonResponse(_shape(get_object_or_404(attaching.uploaded_by(request.member), pk=pk)))


def _shape(file: MediaFile) -> dict[str, Any]:
    """A file as the composer shows it."""
    lost = file.state == MediaFile.State.UNAVAILABLE
    return {
        "id": str(file.pk),
        "kind": file.kind,
        "name": file.filename,
        "size": file.size,
        "state": file.state,
        "detail": _("This recording could not be read. Record it again.") if lost else "",
        "url": reverse("media", args=[file.pk]),
        "check": reverse("inbox-uploaded", args=[file.pk]),
    }
