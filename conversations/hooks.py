"""What the customer's own systems are told of: written down here, carried by `hook_calls`."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from conversations import bells
from conversations.models import Conversation, HookEvent, Message, WebhookEndpoint, WebhookMessage

DELIVER = "conversations.tasks.deliver_webhooks"
TEST = "webhook.test"
BOTH_SIGN = timedelta(hours=24)  # how long the old secret signs beside the new one

# KEY SHARE: an endpoint that is deleted meanwhile would take the caller's whole transaction with it.
WANTING = """
SELECT id, events @> to_jsonb(%(event)s::text) FROM conversations_webhookendpoint
WHERE organization_id = %(organization)s AND is_active
  AND (events = '[]' OR events @> to_jsonb(%(event)s::text))
FOR KEY SHARE
"""


@dataclass(frozen=True, slots=True)
class Told:
    """One event. `content` is what people wrote: only endpoints that name the event themselves get it."""

    data: Mapping[str, Any]
    content: Mapping[str, Any] = field(default_factory=dict)


def emit(organization_id: UUID, event: HookEvent, *told: Told, at: datetime) -> None:
    """Write down what every endpoint that wants it is to be told, in the caller's transaction."""
    if not told:
        return
    with connection.cursor() as cursor:
        cursor.execute(WANTING, {"organization": organization_id, "event": event.value})
        wanting = cursor.fetchall()
    if not wanting:
        return
    WebhookMessage.objects.bulk_create(
        WebhookMessage(
            organization_id=organization_id,
            endpoint_id=endpoint_id,
            type=event.value,
            data={**one.data, **(one.content if named else {})},
            occurred_at=at,
            next_at=at,
        )
        for one in told
        for endpoint_id, named in wanting
    )
    bells.wake_workers(DELIVER)


def statuses_changed(messages: Sequence[Message], at: datetime) -> None:
    """Messages of one organization stand otherwise than before."""
    if messages:
        told = (Told(_status(message, at)) for message in messages)
        emit(messages[0].organization_id, HookEvent.MESSAGE_STATUS, *told, at=at)


def _status(message: Message, at: datetime) -> dict[str, Any]:
    error = {"code": message.error_code, "detail": message.error_detail} if message.error_code else None
    return {
        **_place(message),
        "client_id": message.client_id,
        "provider_id": message.provider_id,
        "status": str(message.status),
        "error": error,
        "at": at.isoformat(),
    }


def received(message: Message, contact_id: UUID) -> None:
    """A customer wrote."""
    data = {
        **_place(message),
        "contact_id": str(contact_id),
        "seq": message.seq,
        "kind": message.kind,
        "at": message.occurred_at.isoformat(),
    }
    told = Told(data, {"text": message.text})
    emit(message.organization_id, HookEvent.MESSAGE_RECEIVED, told, at=message.created_at)


def _place(message: Message) -> dict[str, str]:
    return {
        "message_id": str(message.pk),
        "conversation_id": str(message.conversation_id),
        "channel_id": str(message.channel_id),
    }


@dataclass(frozen=True, slots=True)
class Standing:
    """With whom a conversation is."""

    state: str
    queue_id: UUID | None
    agent_id: UUID | None

    @classmethod
    def of(cls, conversation: Conversation) -> Standing:
        return cls(str(conversation.state), conversation.queue_id, conversation.assigned_agent_id)

    def ids(self) -> dict[str, str | None]:
        names = {"queue_id": self.queue_id, "agent_id": self.agent_id}
        return {"state": self.state, **{name: str(pk) if pk else None for name, pk in names.items()}}


def moved(conversation: Conversation, before: Standing, at: datetime) -> None:
    """Tell of a conversation that is with somebody else than before. `seq` gives the order."""
    after = Standing.of(conversation)
    if after == before:
        return
    data = {
        "conversation_id": str(conversation.pk),
        "channel_id": str(conversation.channel_id),
        "contact_id": str(conversation.contact_id),
        "seq": conversation.seq,
        **after.ids(),
        "before": before.ids(),
        "at": at.isoformat(),
    }
    emit(conversation.organization_id, HookEvent.CONVERSATION_MOVED, Told(data), at=at)


# ---------------------------------------------------------------- secrets
def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def rotated(held: Mapping[str, str], now: datetime) -> dict[str, str]:
    """A new secret; the present one goes on signing for a day, so that nobody has to be quick."""
    until = (now + BOTH_SIGN).isoformat()
    return {"current": new_secret(), "previous": held.get("current", ""), "previous_until": until}


def signing(held: Mapping[str, str], now: datetime) -> list[str]:
    """The secrets that sign now, the current one first."""
    previous = held.get("previous")
    both = previous and now < datetime.fromisoformat(held["previous_until"])
    return [held["current"], *([previous] if previous and both else [])]


# ---------------------------------------------------------------- by people
def rotate(endpoint: WebhookEndpoint, now: datetime) -> str:
    """Give an endpoint a new secret, which is told this once. Needs its lock."""
    held = rotated(endpoint.keys(), now)
    endpoint.secrets, endpoint.revision = held, endpoint.revision + 1
    endpoint.save(update_fields=["secrets", "revision"])
    return held["current"]


def is_renewed(endpoint: WebhookEndpoint, changes: Mapping[str, Any]) -> bool:
    """Whether it gets another address or is switched on again."""
    switched_on = changes.get("is_active", False) and not endpoint.is_active
    return switched_on or changes.get("url", endpoint.url) != endpoint.url


def forgive(pk: UUID) -> None:
    """Earlier failures do not count any more."""
    WebhookEndpoint.objects.filter(pk=pk).update(failing_since=None, disabled_because="")


def resend(pk: UUID, now: datetime) -> bool:
    """Tell it again: one try, and what it had left of the others. False while it is still being tried."""
    rows = WebhookMessage.objects.filter(pk=pk).exclude(state=WebhookMessage.State.PENDING)
    changed = rows.update(state=WebhookMessage.State.PENDING, next_at=now, settled_at=None)
    bells.wake_workers(DELIVER)
    return bool(changed)
