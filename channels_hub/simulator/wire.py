"""What the phones' platform tells the desk: signed webhooks over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings

from channels_hub import http, registry, signatures
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.vocabulary import MaybeSent, NotSent

NO_ANSWER = 0


def post(account: ChannelAccount, event: Mapping[str, Any]) -> int:
    """Deliver one event to the channel's webhook; the status of the answer, NO_ANSWER without one.

    Never call it inside a transaction: the desk has to see what the event is about.
    """
    body = json.dumps(event, ensure_ascii=False).encode()
    client = http.Client()
    try:
        return client.request(
            "POST", url_of(account), data=body, headers=signed(account, event["id"], body)
        ).status
    except (NotSent, MaybeSent):
        return NO_ANSWER
    finally:
        client.close()


def url_of(account: ChannelAccount) -> str:
    """The channel's webhook at the address under which this installation reaches itself."""
    return settings.INTERNAL_URL + urlsplit(account.webhook_url()).path


def signed(account: ChannelAccount, event_id: str, body: bytes) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    stamp = str(int(time.time()))
    secrets: Mapping[str, str] = account.secrets  # type: ignore[assignment]
    signature = signatures.standard_signature(secrets["signing_secret"], body, event_id, stamp)
    return {
        "Content-Type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": signature,
    }


def message_event(account: ChannelAccount, phone: SimPhone, message: SimMessage) -> dict[str, Any]:
    """What the customer wrote."""
    event: dict[str, Any] = {
        "id": f"message-{message.pk}",
        "type": "message",
        "at": message.at.isoformat(),
        "from": phone.number,
        "name": phone.name,
        "message_id": str(message.pk),
        "text": message.text,
        "reply_to": message.reply_to,
    }
    if message.choice:
        event["choice"] = message.choice
    if message.location:
        event["location"] = message.location
    if message.photo_type:
        event["media"] = [_photo(account, message)]
    return event


def _photo(account: ChannelAccount, message: SimMessage) -> dict[str, str]:
    # Under the address that the desk calls us by: only there does it show its token.
    base = registry.adapter_for(account).base() or settings.INTERNAL_URL
    url = f"{base}/simulator/api/{quote(account.config['device'], safe='')}/media/{message.pk}"
    extension = message.photo_type.partition("/")[2]
    return {"kind": "image", "mime": message.photo_type, "filename": f"photo.{extension}", "url": url}


def status_event(phone: SimPhone, message: SimMessage, state: str, at: datetime) -> dict[str, Any]:
    """How a message of the desk is doing. The same state always has the same id."""
    return {
        "id": f"status-{message.pk}-{state}",
        "type": "status",
        "at": at.isoformat(),
        "to": phone.number,
        "message_id": str(message.pk),
        "client_ref": message.client_ref,
        "state": state,
        "code": message.trouble,
        "detail": "",
    }
