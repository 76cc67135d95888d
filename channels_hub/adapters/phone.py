"""The built-in phone simulator as a channel: JSON both ways, signed as Standard Webhooks.

Events that the simulator posts to /webhooks/phone/<public_id>/ (`at` is the simulator's own clock):

    {"id", "type": "message", "at", "from": "+55…", "name", "message_id", "text"?, "reply_to"?,
     "choice"?: {"id", "title", "kind"}, "location"?: {"latitude", "longitude", "label"},
     "media"?: [{"kind", "mime", "filename", "url" | "data" (base64)}]}
    {"id", "type": "status", "at", "to", "message_id", "client_ref", "state", "code"?, "detail"?}
    {"id", "type": "typing" | "read", "at", "from", "message_id"?}

What it takes at /simulator/api/<device>/messages, with a bearer token and `Idempotency-Key`:

    {"client_ref", "to", "text", "media": [{"kind", "mime", "filename", "url"}], "options": [{"id", "title",
     "description"}], "options_style", "location": {…} | null, "reply_to"} -> 201 {"message_id", "state"}
    errors {"code", "detail"}; signals go to /simulator/api/<device>/signals {"what", "to", "message_id"}
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from channels_hub import signatures
from channels_hub.capabilities import CAPS, WINDOWS
from channels_hub.contract import (
    Adapter,
    Address,
    BadPayload,
    BadSignature,
    Choice,
    Delivery,
    Http,
    HttpStream,
    Identity,
    InboundEvent,
    Kind,
    Location,
    MediaRef,
    MediaUnavailable,
    NotSent,
    Outcome,
    OutMessage,
    RawRequest,
    SendResult,
    State,
    Thread,
    clean,
    retry_after,
)

Secrets = Mapping[str, str]
Json = Mapping[str, Any]
SIGNING_SECRETS = ("signing_secret", "signing_secret_previous")
REPORTED = {State.QUEUED, State.SENT, State.DELIVERED, State.READ, State.FAILED}
BY_CODE = {
    "window_closed": Outcome.WINDOW_CLOSED,
    "no_such_phone": Outcome.UNREACHABLE,
    "blocked": Outcome.UNREACHABLE,
    "content": Outcome.CONTENT,
}
BY_STATUS = {
    401: Outcome.AUTH,
    403: Outcome.AUTH,
    404: Outcome.UNREACHABLE,
    408: Outcome.RETRYABLE,
    413: Outcome.CONTENT,
    422: Outcome.CONTENT,
    429: Outcome.RATE_LIMITED,
    500: Outcome.RETRYABLE,
    503: Outcome.RETRYABLE,
}
_DATA = "data:;base64,"


class Phone(Adapter):
    """config: api_base, device, clock_offset_seconds?
    secrets: signing_secret, signing_secret_previous?, api_token. address: free."""

    kind = "phone"
    label = "Phone simulator"
    caps = CAPS["phone"]
    window = WINDOWS["phone"]
    required_config = ("api_base", "device")
    required_secrets = ("signing_secret", "api_token")

    # -------------------------------------------------------------- inbound
    def verify(self, request: RawRequest, secrets: Secrets) -> None:
        headers = request.headers
        good = request.method == "POST" and signatures.standard(
            [secrets.get(name, "") for name in SIGNING_SECRETS],
            request.body,
            headers.get("webhook-id", ""),
            headers.get("webhook-timestamp", ""),
            headers.get("webhook-signature", ""),
            now=request.received_at.timestamp(),
        )
        if not good:
            raise BadSignature

    def parse(self, request: RawRequest) -> Iterator[InboundEvent]:
        data = _object(request.body)
        key, at = _text(data, "id"), self._time(data, request)
        if not key:
            raise BadPayload("no id")
        match data.get("type"):
            case "message":
                yield _message(data, key, at)
            case "status":
                yield _status(data, key, at)
            case "typing" | "read" as signal:
                sender = _sender(data)
                thread, about = Thread(sender.addresses[0].value), _text(data, "message_id")
                yield InboundEvent(Kind(signal), key, at, sender=sender, thread=thread, message_id=about)
            case _:
                yield InboundEvent(Kind.NOTICE, key, at, meta={"reason": "unknown type"})

    def _time(self, data: Json, request: RawRequest) -> datetime:
        try:
            at = datetime.fromisoformat(_text(data, "at"))
        except ValueError:
            return self.clock(request.received_at)
        return at if at.tzinfo else self.clock(request.received_at)

    # -------------------------------------------------------------- outbound
    def send(self, part: OutMessage, http: Http, secrets: Secrets) -> SendResult:
        options = {"headers": _bearer(secrets) | {"Idempotency-Key": part.client_ref}, "json": _payload(part)}
        return self.call(http, "POST", self._url("messages"), **options)

    def classify(self, status: int, headers: Mapping[str, str], body: Any) -> SendResult:
        answer = body if isinstance(body, Mapping) else {}
        if 200 <= status < 300:
            if not answer.get("message_id"):
                return SendResult(
                    Outcome.AMBIGUOUS, code=f"http_{status}", detail="answer without message_id"
                )
            return SendResult(Outcome.ACCEPTED, str(answer["message_id"]), _state(answer) or State.QUEUED)
        code = str(answer.get("code", ""))
        missing = Outcome.AMBIGUOUS if status >= 500 else Outcome.PERMANENT
        return SendResult(
            BY_CODE.get(code) or BY_STATUS.get(status, missing),
            state=State.FAILED,
            code=code or f"http_{status}",
            detail=str(answer.get("detail", ""))[:300],
            retry_after=retry_after(headers),
        )

    def outcome_of(self, code: str) -> Outcome:
        return BY_CODE.get(code, Outcome.PERMANENT)

    def signal(self, what: str, thread: Thread, message_id: str, http: Http, secrets: Secrets) -> None:
        body = {"what": what, "to": thread.key, "message_id": message_id}
        self.call(http, "POST", self._url("signals"), headers=_bearer(secrets), json=body)

    def check(self, http: Http, secrets: Secrets) -> SendResult:
        """A signal for nobody: the simulator looks at the token first, then finds no such phone."""
        body = {"what": "check", "to": "", "message_id": ""}
        found = self.call(http, "POST", self._url("signals"), headers=_bearer(secrets), json=body)
        return SendResult(Outcome.ACCEPTED) if found.code == "no_such_phone" else found

    def open_media(self, ref: MediaRef, http: Http, secrets: Secrets) -> HttpStream:
        """Small files came inside the event; others are at the simulator."""
        if ref.url.startswith(_DATA):
            return HttpStream(
                200, {"content-type": ref.mime}, [base64.b64decode(ref.url.removeprefix(_DATA))]
            )
        headers = _bearer(secrets) if self.may_see_credentials(ref.url) else None
        stream = http.stream(ref.url, headers=headers)
        if stream.status == 200:
            return stream
        stream.close()
        if stream.status in {404, 410}:
            raise MediaUnavailable(f"http_{stream.status}")
        raise NotSent(f"media answered {stream.status}")

    def clock(self, now: datetime) -> datetime:
        """The simulator can be "24 hours later"."""
        return now + timedelta(seconds=float(self.config.get("clock_offset_seconds") or 0))

    def _url(self, tail: str) -> str:
        return f"{self.base()}/simulator/api/{quote(str(self.config.get('device', '')), safe='')}/{tail}"


# ------------------------------------------------------------------ reading
def _object(body: bytes) -> Json:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadPayload("not JSON") from error
    if not isinstance(data, dict):
        raise BadPayload("not an object")
    return data


def _text(data: Json, name: str) -> str:
    value = data.get(name)
    return clean(value) if isinstance(value, str) else ""


def _state(data: Json) -> State | None:
    found = [state for state in REPORTED if state == data.get("state")]
    return found[0] if found else None


def _sender(data: Json) -> Identity:
    number = _text(data, "from")
    if not number:
        raise BadPayload("no from")
    return Identity((Address("phone", number, number),), name=_text(data, "name"), phone=number)


def _message(data: Json, key: str, at: datetime) -> InboundEvent:
    sender, choice = _sender(data), data.get("choice")
    return InboundEvent(
        Kind.MESSAGE,
        key,
        at,
        sender=sender,
        thread=Thread(sender.addresses[0].value),
        message_id=_text(data, "message_id") or key,
        text=_text(data, "text"),
        media=tuple(_media(data.get("media"))),
        location=_location(data.get("location")),
        choice=_choice(choice) if isinstance(choice, dict) else None,
        reply_to=_text(data, "reply_to"),
    )


def _choice(data: Json) -> Choice:
    return Choice(_text(data, "id"), _text(data, "title"), _text(data, "kind") or "button")


def _location(data: Any) -> Location | None:
    try:
        return float(data["latitude"]), float(data["longitude"]), _text(data, "label")
    except (KeyError, TypeError, ValueError):
        return None


def _media(listed: Any) -> Iterator[MediaRef]:
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            url = _inline(_text(one, "data")) or _text(one, "url")
            yield MediaRef(_text(one, "kind") or "file", _text(one, "mime"), _text(one, "filename"), url=url)


def _inline(data: str) -> str:
    try:
        return _DATA + data if base64.b64decode(data, validate=True) else ""
    except binascii.Error as error:
        raise BadPayload("media is not base64") from error


def _status(data: Json, key: str, at: datetime) -> InboundEvent:
    message_id, ref = _text(data, "message_id"), _text(data, "client_ref")
    state, thread = _state(data), Thread(_text(data, "to") or message_id)
    if state is None or not message_id:
        return InboundEvent(Kind.NOTICE, key, at, thread=thread, meta={"reason": "unknown state"})
    delivery = Delivery(message_id, state, at, ref, _text(data, "code"), _text(data, "detail")[:300])
    return InboundEvent(Kind.STATUS, key, at, thread=thread, message_id=message_id, status=delivery)


# ------------------------------------------------------------------ writing
def _bearer(secrets: Secrets) -> dict[str, str]:
    return {"Authorization": f"Bearer {secrets.get('api_token', '')}"}


def _payload(part: OutMessage) -> dict[str, Any]:
    place = part.location
    return {
        "client_ref": part.client_ref,
        "to": part.to.wire,
        "text": part.text,
        "media": [{"kind": m.kind, "mime": m.mime, "filename": m.filename, "url": m.url} for m in part.media],
        "options": [{"id": o.id, "title": o.title, "description": o.description} for o in part.options],
        "options_style": part.options_style,
        "location": {"latitude": place[0], "longitude": place[1], "label": place[2]} if place else None,
        "reply_to": part.reply_to,
    }
