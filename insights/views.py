"""The queue board and the live wall. They only read."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse, HttpResponseNotModified, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from accounts.middleware import MemberRequest
from accounts.roles import Action
from conversations.views import for_members
from insights import snapshot
from insights.board import Rights
from insights.floor import Look
from queues.models import Department


@require_GET
@for_members(Action.READ_QUEUES)
def board(request: MemberRequest) -> HttpResponse:
    """Who waits in which queue, and what can be done about it."""
    return _page(request, "board")


@require_GET
@for_members(Action.READ_FIGURES)
def wall(request: MemberRequest) -> HttpResponse:
    """The desk at a glance; ?tv=1 is for a screen on the wall."""
    return _page(request, "wall")


def _page(request: MemberRequest, page: str) -> HttpResponse:
    """The page, or with ?fragment=1 the frame that brings an open page up to date."""
    departments = list(Department.objects.filter(is_active=True).order_by("name"))
    chosen = request.GET.get("department", "")
    if chosen and chosen not in {department.slug for department in departments}:
        raise Http404
    look = Look.of(request.member, page, chosen, get_language())
    shot = snapshot.take(look)
    if request.GET.get("fragment"):
        return _fragment(request, shot)
    return render(request, f"insights/{page}.html", _context(request, look, shot, departments))


def _fragment(request: MemberRequest, shot: snapshot.Snapshot) -> HttpResponse:
    tag = f'W/"{shot.mark}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified(headers=headers)
    return JsonResponse(shot.frame(), headers=headers)


def _context(
    request: MemberRequest, look: Look, shot: snapshot.Snapshot, departments: list[Department]
) -> dict[str, Any]:
    return {
        "look": look,
        "member": request.member,
        "departments": departments,
        "rights": Rights.of(look),
        "tv": request.GET.get("tv") == "1",
        "parts": {target: part.html for target, part in shot.parts.items()},
        "columns": [part.html for target, part in shot.parts.items() if target.startswith("col-")],
    }
