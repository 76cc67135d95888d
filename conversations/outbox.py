"""What we say. A message and its deliveries are written here; `sending` hands them to the platform."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Min, Q
from django_scopes import scope, scopes_disabled

from accounts.models import Membership, Organization
from accounts.rows import write_back
from channels_hub import media
from channels_hub.contract import Address, MediaRef, Option, OutMessage, State, Template, whole_message
from channels_hub.models import ChannelAccount, MediaFile
from channels_hub.registry import adapter_class, adapter_for
from contacts.services import KnownBy, recognise
from conversations import attaching, bells, deadlines, hooks
from conversations.can_send import can_send
from conversations.gate import Content
from conversations.models import Attachment, Conversation, Delivery, Message
from conversations.moves import database_now, writing
from conversations.opening import open_conversation

DRAIN = "conversations.tasks.drain_outbox"
PRIORITIES = {"normal": 0, "automatic": 1, "important": 5, "critical": 10}
MAX_AGE = {
    Delivery.Origin.BOT: timedelta(minutes=10),
    Delivery.Origin.SYSTEM: timedelta(minutes=10),
    Delivery.Origin.AGENT: timedelta(hours=24),
    Delivery.Origin.API: timedelta(hours=24),
    Delivery.Origin.BULK: timedelta(hours=24),
}
NOT_HANDED = (State.PENDING, State.RETRYING)


class Refused(Exception):
    """The message may not go out; `code` is one of can_send's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class StaleView(Exception):
    """A colleague answered after what the writer had seen; `missed` are those messages."""

    def __init__(self, missed: Sequence[Message]) -> None:
        super().__init__("stale_view")
        self.missed = list(missed)


class NotYours(Exception):
    """Only the agent who has the conversation answers in it."""


class TooLate(Exception):
    """The message is past the point where this can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be said and how eagerly it is sent."""

    text: str
    sender: str
    origin: str
    agent: Membership | None = None
    options: Sequence[tuple[str, str]] = ()
    media: Sequence[MediaFile] = ()
    template: Mapping[str, Any] | None = None  # {"ref", "language", "name", "body": {variable: value}}
    client_id: str = ""
    reply_to: Message | None = None
    priority: int = 0
    max_retries: int = 3
    retry_delay: float = 5.0


def say(conversation: Conversation, draft: Draft, *, now: datetime) -> Message:
    """Write a message and one delivery per platform call. Needs the conversation's lock; checks nothing.

    `text` is what people read: with a template, its words with the variables filled in.
    """
    event = conversation.log("message_out", {"sender": draft.sender}, actor=draft.agent)
    message = Message.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        channel_id=conversation.channel_id,
        seq=event.seq,
        direction=Message.Direction.OUT,
        sender=draft.sender,
        agent=draft.agent,
        kind=draft.media[0].kind if draft.media else "text",
        text=draft.text,
        template=draft.template,
        options=[{"id": key, "title": title} for key, title in draft.options],
        reply_to=draft.reply_to,
        client_id=draft.client_id,
        status=State.PENDING,
        occurred_at=now,
        created_at=now,
    )
    event.data["message"] = str(message.pk)
    Attachment.objects.bulk_create(
        Attachment(
            organization_id=conversation.organization_id, message=message, media=file, position=position
        )
        for position, file in enumerate(draft.media)
    )
    _enqueue(conversation, message, draft, now)
    conversation.last_message_at = now
    conversation.preview = draft.text[:140] or f"[{message.kind}]"
    conversation.preview_sender = draft.sender
    wake_senders(conversation.channel)
    return message


def wake_senders(channel: ChannelAccount) -> None:
    """Have what is due sent soon, by the workers that the kind of channel has; the drain is one for all."""
    bells.wake_workers(adapter_class(channel.kind).drain_task or DRAIN)


def _enqueue(conversation: Conversation, message: Message, draft: Draft, now: datetime) -> None:
    planned = out_message(message, str(message.pk), draft.media)
    parts = len(adapter_for(conversation.channel).plan(planned)) or 1
    Delivery.objects.bulk_create(
        Delivery(
            organization_id=conversation.organization_id,
            message=message,
            conversation=conversation,
            channel_id=conversation.channel_id,
            seq=message.seq,
            part=part,
            priority=draft.priority,
            origin=draft.origin,
            due_at=now,
            expires_at=now + MAX_AGE[Delivery.Origin(draft.origin)],
            max_retries=draft.max_retries,
            retry_delay=draft.retry_delay,
        )
        for part in range(parts)
    )


def out_message(message: Message, client_ref: str, files: Sequence[MediaFile]) -> OutMessage:
    """The message in the adapters' words. Planning it twice gives the same parts."""
    identity = message.conversation.identity
    to = Address(identity.scheme, identity.value, identity.raw) if identity else Address("", "")
    return OutMessage(
        client_ref=client_ref,
        to=to,
        text=message.text,
        media=tuple(_media_ref(file) for file in files),
        options=tuple(Option(o["id"], o["title"]) for o in message.options),
        template=_template(message.template),
        reply_to=message.reply_to.provider_id if message.reply_to else "",
        human=message.sender == Message.Sender.AGENT,
    )


def _media_ref(file: MediaFile) -> MediaRef:
    """Where the platform fetches it from us."""
    return replace(file.ref(), url=media.public_url(file), media_id="")


def _template(stored: Mapping[str, Any] | None) -> Template | None:
    if stored is None:
        return None
    return Template(ref=stored["ref"], language=stored.get("language", ""), body=stored.get("body", {}))


def reply(
    pk: UUID,
    *,
    agent: Membership,
    text: str,
    media: Sequence[UUID] = (),
    client_id: str = "",
    reply_to: UUID | None = None,
    last_seen_seq: int | None = None,
    force: bool = False,
    template: Mapping[str, Any] | None = None,
) -> tuple[Message, bool]:
    """An agent's answer: (message, whether it is new). The same client_id gives the first message again.

    `media` are ids of files the agent uploaded for it. Raises NotYours, StaleView (a colleague's answer is
    newer than last_seen_seq), Refused, attaching.NoSuchFile.
    """
    now = database_now()
    with writing(pk, actor=agent) as conversation:
        if client_id and (known := conversation.messages.filter(client_id=client_id).first()):
            return known, False
        if conversation.state != "human_handoff" or conversation.assigned_agent_id != agent.pk:
            raise NotYours
        if (
            not force
            and last_seen_seq is not None
            and (missed := _missed(conversation, agent, last_seen_seq))
        ):
            raise StaleView(missed)
        files = attaching.named(conversation, agent, media)
        content = Content(frozenset(file.kind for file in files), template is not None)
        verdict = can_send(conversation, content, human=True, now=now)
        if not verdict.ok:
            raise Refused(verdict.code)
        quoted = conversation.messages.filter(pk=reply_to).first() if reply_to else None
        draft = Draft(
            text=text,
            sender=Message.Sender.AGENT,
            origin=Delivery.Origin.AGENT,
            agent=agent,
            media=files,
            template=template,
            client_id=client_id,
            reply_to=quoted,
            priority=PRIORITIES["important"],
        )
        message = say(conversation, draft, now=now)
        conversation.first_response_at = conversation.first_response_at or now
        conversation.unread = 0
        deadlines.touch_agent(conversation, now)
    return message, True


def _missed(conversation: Conversation, agent: Membership, seen: int) -> list[Message]:
    answers = conversation.messages.filter(
        seq__gt=seen, direction=Message.Direction.OUT, sender=Message.Sender.AGENT
    ).exclude(agent=agent)
    return list(answers.order_by("seq"))


def send_message_via_queue(
    phone: str, message: str, tenant_id: Any, priority: int = 0, use_queue: bool = True, **more: Any
) -> dict[str, Any]:
    """Send a text to a phone number: {"success", "via_queue", "message_id"}.

    `tenant_id` is the organization's id. `use_queue=False` only skips the wake-up of the workers: the row is
    the same and the poller drains it; there is no second path. Raises what `add_message` raises.
    """
    queued = add_message(phone, message, tenant_id, priority=priority, **more)
    return {"success": True, "via_queue": use_queue, "message_id": str(queued.pk)}


def add_message(
    phone: str,
    message: str,
    tenant_id: Any,
    instance_id: Any = None,
    priority: int = 0,
    max_retries: int = 3,
    retry_delay: float = 5.0,
    *,
    client_id: str = "",
) -> Message:
    """Put a text into the outbox. `instance_id` is the channel; without it the oldest active one sends.

    Consent and window are asked when the message is claimed: what may not go out ends as failed, with the
    reason. Raises InvalidAddress, ChannelAccount.DoesNotExist.
    """
    now = database_now()
    with scopes_disabled():
        organization = Organization.objects.get(pk=tenant_id)
    with scope(organization=organization), transaction.atomic():
        channels = ChannelAccount.objects.filter(is_active=True)
        channel = channels.get(pk=instance_id) if instance_id else channels.earliest("created_at")
        contact, identity = recognise(organization.pk, [KnownBy("phone", phone)])
        conversation_id = open_conversation(channel, contact, identity, now=now)
        with writing(conversation_id, cause="api") as conversation:
            if client_id and (known := conversation.messages.filter(client_id=client_id).first()):
                return known
            draft = Draft(
                text=message,
                sender=Message.Sender.SYSTEM,
                origin=Delivery.Origin.API,
                priority=priority,
                max_retries=max_retries,
                retry_delay=retry_delay,
                client_id=client_id,
            )
            return say(conversation, draft, now=now)


def cancel(message_id: UUID, *, actor: Membership | None = None) -> Message:
    """Withdraw what was not handed over yet. Raises TooLate when nothing of it can be withdrawn."""
    message = Message.objects.get(pk=message_id)
    with writing(message.conversation_id, actor=actor) as conversation:
        rows = message.deliveries.filter(status__in=NOT_HANDED)
        if not rows.update(status=State.CANCELLED, settled_at=database_now()):
            raise TooLate
        refresh_status(conversation, message)
    return message


def retry(message_id: UUID, *, actor: Membership | None = None) -> Message:
    """Send again what failed or was never confirmed: a person's decision, on record. Raises TooLate."""
    message = Message.objects.get(pk=message_id)
    now = database_now()
    with writing(message.conversation_id, actor=actor) as conversation:
        rows = message.deliveries.filter(
            status__in=(State.FAILED, State.EXPIRED, State.CANCELLED, State.UNKNOWN)
        )
        changed = rows.update(
            status=State.PENDING, due_at=now, attempts=0, attempt_id=None, provider_id="", error_code="",
            error_detail="", settled_at=None, expires_at=now + MAX_AGE[Delivery.Origin.AGENT],
        )  # fmt: skip
        if not changed:
            raise TooLate
        conversation.log("message_retried", {"message": str(message.pk)})
        refresh_status(conversation, message)
    wake_senders(message.channel)
    return message


def fence(conversation: Conversation, *, before_seq: int, now: datetime) -> int:
    """People take over: withdraw what the bot had said before this turn and nobody has handed over yet.

    What it says in the very turn that hands over (the notice, a last sentence) still goes out.
    """
    conversation.fence_seq = before_seq
    rows = conversation.deliveries.filter(
        origin=Delivery.Origin.BOT, status__in=NOT_HANDED, seq__lt=before_seq
    )
    messages = list(Message.objects.filter(deliveries__in=rows).distinct())
    rows.update(status=State.CANCELLED, error_code="taken_over", settled_at=now)
    for message in messages:
        refresh_status(conversation, message)
    return len(messages)


STAMPS = {
    State.SENT: "sent_at",
    State.DELIVERED: "delivered_at",
    State.READ: "read_at",
    State.FAILED: "failed_at",
}


def refresh_status(conversation: Conversation, message: Message, *, at: datetime | None = None) -> None:
    """Fold the parts' states into the message's and put a change on record. Needs the lock."""
    refresh_statuses({conversation.pk: conversation}, [message], at=at)


def refresh_statuses(
    conversations: Mapping[UUID, Conversation], messages: Iterable[Message], *, at: datetime | None = None
) -> None:
    """`refresh_status` for messages of several locked conversations."""
    known = {message.pk: message for message in messages}
    parts: dict[UUID, list[Delivery]] = defaultdict(list)
    for part in Delivery.objects.filter(message__in=known).order_by("part"):
        parts[part.message_id].append(part)
    now = at or database_now()
    changed = [message for pk, message in known.items() if _fold(message, parts[pk], now)]
    write_back(changed, ["status", "error_code", "error_detail", "provider_id", *STAMPS.values()])
    for message in changed:
        told = {"message": str(message.pk), "status": message.status, "code": message.error_code}
        conversations[message.conversation_id].log("message_status", told)
    hooks.statuses_changed(changed, now)


def _fold(message: Message, parts: Sequence[Delivery], at: datetime) -> bool:
    """Whether the message stands otherwise than before."""
    status = str(whole_message([State(part.status) for part in parts]))
    broken = next((part for part in parts if part.error_code), None)
    code, detail = (broken.error_code, broken.error_detail) if broken else ("", "")
    if (status, code) == (message.status, message.error_code):
        return False
    message.status, message.error_code, message.error_detail = status, code, detail
    message.provider_id = next((part.provider_id for part in parts if part.provider_id), "")
    if stamp := STAMPS.get(State(status)):
        setattr(message, stamp, getattr(message, stamp) or at)
    return True


def stats() -> dict[str, Any]:
    """Figures of the outbox of the current organization (`api.md`: outbox/stats)."""
    now = database_now()
    waiting = Q(status__in=NOT_HANDED)
    figures = Delivery.objects.aggregate(
        queue_size=Count("id", filter=waiting),
        processing=Count("id", filter=Q(status=State.PROCESSING)),
        processed=Count("id", filter=~Q(status__in=[*NOT_HANDED, State.PROCESSING])),
        sent=Count("id", filter=Q(status__in=[State.QUEUED, State.SENT, State.DELIVERED, State.READ])),
        failed=Count("id", filter=Q(status__in=[State.FAILED, State.EXPIRED])),
        retrying=Count("id", filter=Q(status=State.RETRYING)),
        unknown=Count("id", filter=Q(status=State.UNKNOWN)),
        oldest=Min("due_at", filter=waiting),
    )
    oldest = figures.pop("oldest")
    by_channel = (
        Delivery.objects.values("channel_id", "channel__name")
        .annotate(queue_size=Count("id", filter=waiting), failed=Count("id", filter=Q(status=State.FAILED)))
        .order_by("channel__name")
    )
    return {
        **figures,
        "oldest_pending_seconds": max(0.0, (now - oldest).total_seconds()) if oldest else None,
        "by_channel": [
            {
                "channel": {"id": str(row["channel_id"]), "name": row["channel__name"]},
                "queue_size": row["queue_size"],
                "failed": row["failed"],
            }
            for row in by_channel
        ],
    }


def get_queue_size() -> int:
    return Delivery.objects.filter(status__in=NOT_HANDED).count()


def get_processing_count() -> int:
    return Delivery.objects.filter(status=State.PROCESSING).count()


get_stats = stats
