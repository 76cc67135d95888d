"""Recorded calls of Twilio and the signature that goes with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from channels_hub.contract import RawRequest
from channels_hub.signatures import twilio_signature

FOLDER = Path(__file__).parent / "payloads"
BASE = "https://hooks.example.org/webhooks/twilio/7f3c/"
TOKEN = "twilio_auth_token_for_tests"
SID = "AC00000000000000000000000000000001"
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded"
INBOUND = ("text", "button_bsuid", "image", "location", "list", "contact", "referral")
STATUS = ("status_failed", "status_read")
SMS = ("sms_text", "sms_media")
SMS_STATUS = ("sms_status",)


def call(body: bytes | str, part: str = "inbound", content_type: str = FORM) -> RawRequest:
    raw = body.encode() if isinstance(body, str) else body
    query = {"ref": ["0f1d8c1e"]} if "ref=" in part else {}
    return RawRequest("POST", BASE + part, {"content-type": content_type}, raw, query, received_at=NOON)


def recorded(name: str) -> RawRequest:
    part = "status?ref=0f1d8c1e" if name in STATUS + SMS_STATUS else "inbound"
    return call((FOLDER / f"{name}.txt").read_bytes(), part)


def changed(name: str, **fields: str | None) -> RawRequest:
    """A recorded call with other fields; None takes one away."""
    request = recorded(name)
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True)) | fields
    body = urlencode({key: value for key, value in form.items() if value is not None})
    return replace(request, body=body.encode())


def signed(request: RawRequest, token: str = TOKEN) -> RawRequest:
    text = request.body.decode("utf-8", "surrogateescape")
    form = parse_qsl(text, keep_blank_values=True, errors="surrogateescape")
    header = twilio_signature(token, request.url, form)
    return replace(request, headers={**request.headers, "x-twilio-signature": header})


def path(request: RawRequest) -> str:
    return urlsplit(request.url).path
