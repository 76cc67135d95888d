"""May the caller do this? By the role of today, and for API keys by their scopes too."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiKey
from accounts.roles import Action, scope_of


class MayDo(BasePermission):
    """Reads `required` of the view: {"GET": Action...}. What is not listed is refused."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.user is None or request.member is None:
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        offered = method.lower() in view.http_method_names and hasattr(view, method.lower())
        if not offered:
            return True  # answered by 405
        required = getattr(view, "required", {})
        return method in required and may(request, required[method])


def may(request: Request, action: Action | None) -> bool:
    """Whether the caller may do an action now; None asks for nothing but membership."""
    if action is None:
        return True
    key = request.auth if isinstance(request.auth, ApiKey) else None
    in_scope = key is None or scope_of(action) in key.scopes
    return in_scope and request.member.may(action)
