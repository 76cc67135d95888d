"""What people do by requests counts as a sign of life."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.models import ApiKey
from conversations import signs

READS = ("GET", "HEAD", "OPTIONS")
API = "/api/"


class SignsOfLife:
    """Reading a page says that somebody is there; writing, and any call of the API, that they act.

    A machine's key says nothing about the person who made it, and what a page sends without anybody touching
    it (`request.by_itself`) is no input.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        member = getattr(request, "member", None)
        if member is not None and not isinstance(getattr(request, "auth", None), ApiKey):
            writes = request.method not in READS or request.path.startswith(API)
            signs.of_life(member.pk, touched=writes and not getattr(request, "by_itself", False))
        return response
