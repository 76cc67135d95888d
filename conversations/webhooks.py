"""The doors that platforms knock on: find the channel, verify on the raw bytes, store once, answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django_scopes import scope
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from channels_hub import lookup
from channels_hub.contract import BadSignature, RawRequest
from channels_hub.models import REFUSED_EVERY, ChannelAccount
from conversations import intake

logger = logging.getLogger(__name__)

MAX_BODY = 4 * 1024 * 1024


@extend_schema(exclude=True)
class ChannelWebhook(APIView):
    """`/webhooks/<kind>/<public_id>/[part]`, and the app-level forms that name no channel in the URL."""

    authentication_classes: list[type] = []
    permission_classes = [AllowAny]
    throttle_classes: list[type] = []
    http_method_names = ["get", "post"]

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponse]:
        return csrf_exempt(super().as_view(**initkwargs))

    def dispatch(self, request: HttpRequest, *args: Any, **where: str) -> HttpResponse:
        """No parsing, negotiation, authentication or throttling: the platform gets what its adapter says."""
        if request.method not in ("GET", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        return self.take(request, **where)

    def take(self, request: HttpRequest, kind: str, public_id: str = "", part: str = "") -> HttpResponse:
        """403 without a good signature or for an unknown channel, 413 for a body over 4 MiB."""
        if (size := body_size(request)) is None:
            return HttpResponse(status=411)
        if size > MAX_BODY:
            return HttpResponse(status=413)
        raw = raw_request(request)
        # No "SELECT 1" before each call: a connection that died is noticed by the insert and opened anew.
        connection.health_check_done = True
        try:
            return self.store(kind, public_id, raw)
        except OperationalError:
            connection.close()
            return self.store(kind, public_id, raw)

    def store(self, kind: str, public_id: str, raw: RawRequest) -> HttpResponse:
        """One row per event under its unique key: doing it twice is harmless."""
        for account in self.candidates(kind, public_id, raw):
            try:
                with scope(organization=account.organization):
                    ack = intake.accept(account, raw)
            except BadSignature:
                if public_id:  # else it is only one of several that were asked
                    self.note_refused(account)
                continue
            return HttpResponse(
                ack.body, status=ack.status, content_type=ack.content_type, headers=dict(ack.headers)
            )
        logger.warning("webhook refused: %s", kind)
        return HttpResponse(status=403)

    def note_refused(self, account: ChannelAccount) -> None:
        """For the channel's set-up page; at most one write a minute, whoever knocks."""
        now = timezone.now()
        if account.refused_at is None or account.refused_at < now - REFUSED_EVERY:
            with scope(organization=account.organization):
                account.note_refused(now)
            account.refused_at = now

    def candidates(self, kind: str, public_id: str, raw: RawRequest) -> list[ChannelAccount]:
        """The channel that the URL names, or those that the body says it is for; each must verify."""
        if not public_id:
            return lookup.by_body(kind, raw)
        account = lookup.by_public_id(kind, public_id)
        return [account] if account else []


def body_size(request: HttpRequest) -> int | None:
    """The announced length; None when a body comes without one."""
    announced = request.META.get("CONTENT_LENGTH") or ""
    if announced.isdigit():
        return int(announced)
    return 0 if request.method == "GET" and not request.META.get("HTTP_TRANSFER_ENCODING") else None


def raw_request(request: HttpRequest) -> RawRequest:
    """The call as the adapters see it. Its URL is the configured public one, never Host."""
    return RawRequest(
        method=request.method or "",
        url=settings.PUBLIC_URL + request.get_full_path(),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
        query=parse_qs(request.META.get("QUERY_STRING", ""), keep_blank_values=True),
        remote_addr=request.META.get("REMOTE_ADDR", ""),
    )
