"""Runs a logged-in page request inside the scope of the person's organization."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import translation
from django_scopes import scope, scopes_disabled

from accounts.models import Membership, User


class MemberRequest(HttpRequest):
    """A request as views see it that only members reach."""

    member: Membership


def membership_of(user: User, organization_id: str | None = None) -> Membership | None:
    """The active membership a user works under: the chosen organization, else the oldest."""
    with scopes_disabled():
        memberships = Membership.objects.filter(user=user, is_active=True).select_related(
            "user", "organization"
        )
        chosen = memberships.filter(organization_id=organization_id).first() if organization_id else None
        return chosen or memberships.order_by("created_at").first()


class TenantMiddleware:
    """Sets `request.member` (None for strangers) and opens the scope around the view."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.member = None
        if not request.user.is_authenticated:
            return self.get_response(request)
        member = membership_of(request.user, request.session.get("organization"))
        if member is None:
            return self.get_response(request)
        request.member = request.user.member = member
        if request.user.locale:
            translation.activate(request.user.locale)
            request.LANGUAGE_CODE = translation.get_language()
        with scope(organization=member.organization):
            response = self.get_response(request)
            # Lazy template responses would be rendered outside the scope.
            if hasattr(response, "render") and not getattr(response, "is_rendered", True):
                response.render()
            return response
