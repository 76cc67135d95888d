"""Signed Twilio calls for tests, made by the rule of the protocol and not by our verifier."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.test import Client

from channels_hub.models import ChannelAccount
from tests.conftest import TWILIO_SID, TWILIO_TOKEN

_sids = itertools.count(1)


def new_sid() -> str:
    return f"SM{next(_sids):032d}"


def form(text: str = "Oi", sender: str = "+5511987654321", sid: str = "", **more: str) -> dict[str, str]:
    return {
        "MessageSid": sid or new_sid(),
        "AccountSid": TWILIO_SID,
        "From": f"whatsapp:{sender}",
        "To": "whatsapp:+551130000000",
        "Body": text,
        "NumMedia": "0",
        "ProfileName": "Ana Souza",
        "WaId": sender.lstrip("+"),
        **more,
    }


def signature(url: str, fields: dict[str, str], token: str = TWILIO_TOKEN) -> str:
    signed = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def post(channel: ChannelAccount, fields: dict[str, str], part: str = "inbound", **options: Any) -> Any:
    """POST a form as Twilio does; `header` replaces the right signature."""
    path = f"/webhooks/twilio/{channel.public_id}/{part}"
    header = options.pop("header", None)
    if header is None:
        header = signature(settings.PUBLIC_URL + path, fields)
    return Client().post(
        path.partition("?")[0],
        urlencode(fields),
        content_type="application/x-www-form-urlencoded",
        query_params=options.get("query"),
        headers={"X-Twilio-Signature": header},
    )


def post_status(channel: ChannelAccount, sid: str, status: str, ref: str, **more: str) -> Any:
    fields = {
        "MessageSid": sid,
        "MessageStatus": status,
        "AccountSid": TWILIO_SID,
        "From": "whatsapp:+551130000000",
        "To": "whatsapp:+5511987654321",
        **more,
    }
    path = f"/webhooks/twilio/{channel.public_id}/status?ref={ref}"
    return Client().post(
        path,
        urlencode(fields),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": signature(settings.PUBLIC_URL + path, fields)},
    )
