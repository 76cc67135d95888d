"""The simulated platform's own API, which the desk calls: send, show signals, fetch photos."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from django_scopes import scope, scopes_disabled

from channels_hub import signatures
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import platform, services
from channels_hub.simulator.platform import Failure

SIGNALS = {"typing", "read"}
View = Callable[..., HttpResponse]


def for_device(view: View) -> View:
    """Find the account by device and bearer token and run the view in its scope; 401 otherwise."""

    @wraps(view)
    def checked(request: HttpRequest, device: str, **where: Any) -> HttpResponse:
        account = _account(device, request.headers.get("Authorization", ""))
        if account is None:
            return _error(401, "unauthorized", "unknown device or wrong token")
        with scope(organization=account.organization):
            return view(request, account, **where)

    return checked


def _account(device: str, authorization: str) -> ChannelAccount | None:
    """A device name is no secret and need not be unique: the token decides."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    with scopes_disabled():
        found = ChannelAccount.objects.select_related("organization").filter(
            kind=platform.KIND, config__device=device
        )
        owners = [one for one in found if _holds(one, token)]
    return owners[0] if owners else None


def _holds(account: ChannelAccount, token: str) -> bool:
    secrets: Mapping[str, str] = account.secrets  # type: ignore[assignment]
    own = secrets.get("api_token", "")
    return bool(own) and signatures.same(own, token)


@csrf_exempt
@require_POST
@for_device
def messages(request: HttpRequest, account: ChannelAccount) -> HttpResponse:
    """Take a message for a phone, late or badly when the switches say so."""
    switches = platform.next_call(account)
    if switches.failure in REFUSALS:
        _wait(switches)
        return REFUSALS[switches.failure]()
    payload = _json(request)
    if payload is None:
        return _error(422, "content", "not a JSON object")
    phone = _phone(account, payload)
    if phone is None:
        return _error(404, "no_such_phone", "no phone has this number")
    if phone.wrote_at is None or platform.clock(account) - phone.wrote_at > platform.DAY:
        return _error(422, "window_closed", "the customer last wrote more than 24 hours ago")
    message = services.take(account, phone.pk, payload, switches.failure)
    if phone.always_on:
        services.confirm(account, phone.pk, is_seen=True)
    _wait(switches)
    if switches.failure == Failure.LOST:
        # Broken off in the middle: it was taken, and the caller cannot know.
        return HttpResponse(b'{"message_id": "', status=201, content_type="application/json")
    return JsonResponse({"message_id": str(message.pk), "state": SimMessage.State.SENT}, status=201)


def _wait(switches: platform.Switches) -> None:
    if switches.latency_ms:
        time.sleep(min(switches.latency_ms, platform.MAX_LATENCY_MS) / 1000)


@csrf_exempt
@require_POST
@for_device
def signals(request: HttpRequest, account: ChannelAccount) -> HttpResponse:
    """The desk types or has read: shown on the phone."""
    payload = _json(request) or {}
    phone, what = _phone(account, payload), payload.get("what")
    if phone is None or what not in SIGNALS:
        return _error(404, "no_such_phone", "no phone has this number, or the signal is unknown")
    services.show_signal(phone.pk, what)
    return HttpResponse(status=204)


@require_GET
@for_device
def media(request: HttpRequest, account: ChannelAccount, message_id: UUID) -> HttpResponse:
    """A photo that a customer sent."""
    message = SimMessage.objects.filter(pk=message_id, phone__account=account, is_mine=True).first()
    return photo_response(message)


def photo_response(message: SimMessage | None) -> HttpResponse:
    """The picture of a message, 404 without one. Its type was judged by its bytes when it was written."""
    if message is None or message.photo is None:
        return HttpResponse(status=404)
    headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(bytes(message.photo), content_type=message.photo_type, headers=headers)


def _phone(account: ChannelAccount, payload: dict[str, Any]) -> SimPhone | None:
    number = "+" + re.sub(r"\D", "", str(payload.get("to") or ""))
    return SimPhone.objects.filter(account=account, number=number).first()


def _json(request: HttpRequest) -> dict[str, Any] | None:
    try:
        data = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _error(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> HttpResponse:
    return JsonResponse({"code": code, "detail": detail}, status=status, headers=headers)


def _busy() -> HttpResponse:
    return _error(429, "busy", "too many messages", {"Retry-After": str(platform.RETRY_AFTER_SECONDS)})


def _broken() -> HttpResponse:
    return _error(500, "internal", "the platform has a problem")


REFUSALS: dict[str, Callable[[], HttpResponse]] = {Failure.BUSY: _busy, Failure.BROKEN: _broken}
