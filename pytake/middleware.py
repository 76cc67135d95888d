"""Request plumbing: the webhook lane, and the admin's own content security policy."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import resolve

Handler = Callable[[HttpRequest], HttpResponse]


class WebhookLane:
    """Platforms' calls skip sessions, languages, CSRF and messages: they need none of it."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/webhooks/"):
            return self.get_response(request)
        view, args, kwargs = resolve(request.path_info)
        response: HttpResponse = view(request, *args, **kwargs)
        if hasattr(response, "render") and not getattr(response, "is_rendered", True):
            response.render()
        return response


class AdminPolicy:
    """Unfold's Alpine needs eval and inline styles; only /admin/ gets them."""

    SCRIPT = ["'self'", "'unsafe-eval'"]
    STYLE = ["'self'", "'unsafe-inline'"]

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path_info.startswith("/admin/"):
            response._csp_replace = {"script-src": self.SCRIPT, "style-src": self.STYLE}
        return response
