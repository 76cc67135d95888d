"""What happens when a webhook arrives. Read from the top.

`accept` runs in the request: verify, store each event once, answer. Everything else runs afterwards in
`drain`: in order per sender, each event in one transaction with all its effects.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

from django.db import connection, transaction
from django_scopes import scope, scopes_disabled

from channels_hub import inbox, media
from channels_hub.contract import Ack, Adapter, BadPayload, Kind, RawRequest
from channels_hub.contract import InboundEvent as Told
from channels_hub.models import ChannelAccount, InboundEvent, MediaFile
from channels_hub.registry import adapter_for
from contacts.addresses import InvalidAddress
from contacts.models import Contact, Identity
from contacts.services import KnownBy, recognise
from conversations import bells, bot, deadlines, hooks, laters, receipts, resting
from conversations.models import Attachment, Conversation, Message, State
from conversations.moves import database_now, writing
from conversations.opening import open_conversation

logger = logging.getLogger(__name__)

DRAIN = "conversations.tasks.drain_inbox"
FETCH_MEDIA = "conversations.tasks.fetch_media"
MAX_ATTEMPTS = 5
PARK_FOR = timedelta(minutes=10)  # a status may come long before we know its message
PARK_STEP = timedelta(seconds=30)
SIGN_EVERY = timedelta(minutes=1)


# ---------------------------------------------------------------- in the request
def accept(account: ChannelAccount, request: RawRequest) -> Ack:
    """Verify, store, answer. Raises BadSignature before anything is parsed or written.

    A body that is signed but unreadable is stored as dead with the reason and answered like any other: the
    platform would only repeat it.
    """
    adapter = adapter_for(account)
    adapter.verify(request, account.keys())
    if (shake := adapter.handshake(request, account.keys())) is not None:
        return shake
    if inbox.keep(account, adapter, request):
        bells.wake_workers(DRAIN)
    return adapter.ack(request)


# ---------------------------------------------------------------- afterwards
def drain(*, limit: int = 500) -> int:
    """Process what is waiting, sender by sender; returns the number of events handled."""
    done, passed = 0, set[bytes]()
    while done < limit:
        found = _next_sender(passed)
        if found is None:
            return done
        passed.add(found[1])
        done += _process_sender(*found)
    return done


def _next_sender(passed: Iterable[bytes]) -> tuple[UUID, bytes] | None:
    """The account and sender of the oldest due event that this run has not visited yet."""
    with scopes_disabled():
        rows = InboundEvent.objects.filter(state=InboundEvent.State.NEW, next_attempt_at__lte=database_now())
        due = rows.order_by("next_attempt_at").values_list("account_id", "sender_key")
        seen = set(passed)
        return next(((a, bytes(s)) for a, s in islice(due, 1000) if bytes(s) not in seen), None)


def _process_sender(account_id: UUID, sender_key: bytes) -> int:
    """All due events of one sender in order. Another worker busy with the sender: leave it to them."""
    with scopes_disabled():
        account = ChannelAccount.objects.select_related("organization").get(pk=account_id)
    with scope(organization=account.organization), transaction.atomic():
        if not _only_me(sender_key):
            return 0
        rows = InboundEvent.objects.filter(
            account=account,
            sender_key=sender_key,
            state=InboundEvent.State.NEW,
            next_attempt_at__lte=database_now(),
        )
        events = _in_order(account, list(rows.order_by("received_at", "part")[:100]))
        for row, told in events:
            _process(account, row, told)
    return len(events)


def _only_me(sender_key: bytes) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(sender_key[:8], "big", signed=True)]
        )
        return bool(cursor.fetchone()[0])


def _in_order(account: ChannelAccount, rows: list[InboundEvent]) -> list[tuple[InboundEvent, Told | None]]:
    """The rows with what they say, by the platform's own order."""
    adapter = adapter_for(account)
    told = [(row, _read(adapter, row)) for row in rows]
    return sorted(told, key=lambda pair: (pair[0].occurred_at, pair[0].received_at, pair[0].part))


def _read(adapter: Adapter, row: InboundEvent) -> Told | None:
    try:
        return inbox.read(row, adapter)
    except BadPayload:
        return None


def _process(account: ChannelAccount, row: InboundEvent, told: Told | None) -> None:
    """One event with all its effects, or none of them: a poisoned one never blocks or loses the others."""
    now = database_now()
    if told is None:
        _finish(row, InboundEvent.State.DEAD, "the adapter no longer reads this event", now)
        return
    try:
        with transaction.atomic():
            reason = take_in(account, told, received_at=row.received_at)
            _finish(row, InboundEvent.State.IGNORED if reason else InboundEvent.State.DONE, reason, now)
    except receipts.UnknownDelivery:
        _park(row, now)
    except Exception as error:
        logger.exception("event %s failed", row.pk)
        _fail(row, error, now)


def _finish(row: InboundEvent, state: str, reason: str, now: datetime) -> None:
    row.state, row.reason, row.processed_at = state, reason, now
    row.save(update_fields=["state", "reason", "processed_at"])


def _park(row: InboundEvent, now: datetime) -> None:
    """A status for a message we do not know yet: look again later, then drop it with a reason."""
    if now - row.received_at > PARK_FOR:
        _finish(row, InboundEvent.State.IGNORED, "no message of ours has this id", now)
        return
    row.next_attempt_at, row.reason = now + PARK_STEP, "parked: the message is not known yet"
    row.save(update_fields=["next_attempt_at", "reason"])


def _fail(row: InboundEvent, error: Exception, now: datetime) -> None:
    row.attempts += 1
    row.reason = f"{type(error).__name__} (attempt {row.attempts})"
    if isinstance(error, InvalidAddress) or row.attempts >= MAX_ATTEMPTS:
        _finish(row, InboundEvent.State.DEAD, row.reason, now)
    row.next_attempt_at = now + timedelta(seconds=2**row.attempts)
    row.save(update_fields=["attempts", "reason", "next_attempt_at"])


def replay(row_id: UUID) -> None:
    """Process a dead or ignored event again; the unique keys keep it from having a second effect."""
    row = InboundEvent.objects.select_related("account").get(pk=row_id)
    if inbox.replay(row, adapter_for(row.account)):
        bells.wake_workers(DRAIN)


# ---------------------------------------------------------------- what it means
def take_in(account: ChannelAccount, told: Told, *, received_at: datetime) -> str:
    """Act on one event; the answer is why nothing was done, empty when something was."""
    match told.kind:
        case Kind.MESSAGE:
            return receive(account, told)
        case Kind.STATUS:
            receipts.apply_report(account, told.status)
            return ""
        case Kind.OPT_OUT | Kind.OPT_IN:
            return note_consent(account, told)
        case _:
            return f"{told.kind} is not acted upon"


def receive(account: ChannelAccount, told: Told) -> str:
    """A customer wrote: find the person and their open conversation, keep the message, wake who answers."""
    if told.thread and told.thread.is_group:
        return "group messages are not taken in"
    if (
        told.message_id
        and Message.objects.filter(
            channel=account, provider_id=told.message_id, direction=Message.Direction.IN
        ).exists()
    ):
        return "already known"
    now = database_now()
    contact, identity = _who(account, told)
    if contact.blocked_at:
        return "the contact is blocked"
    while not _received(account, told, contact, identity, now):
        pass  # closed between look-up and lock: the next one is open
    _note_sign_of_life(account, now)
    return ""


def _received(
    account: ChannelAccount, told: Told, contact: Contact, identity: Identity, now: datetime
) -> bool:
    """Whether the contact's open conversation took the message in; not when it was closed meanwhile."""
    pk = open_conversation(account, contact, identity, now=now)
    with writing(pk, cause="webhook") as conversation:
        if conversation.state == State.CLOSED:
            return False
        conversation.identity = identity
        hooks.received(_keep(conversation, told, now), contact.pk)
        resting.wake_soon(conversation, now)
        deadlines.customer_wrote(conversation, now)
        laters.window_opened(conversation, now)
        if conversation.state in (State.PENDING, State.BOT):
            bot.listen(conversation, now)
    return True


def _note_sign_of_life(account: ChannelAccount, now: datetime) -> None:
    """The channel's last sign, to the minute: every sender would wait for this one row else."""
    if account.last_inbound_at and now - account.last_inbound_at < SIGN_EVERY:
        return
    free = ChannelAccount.objects.select_for_update(no_key=True, skip_locked=True).filter(pk=account.pk)
    if (row := free.first()) is not None:
        row.last_inbound_at = account.last_inbound_at = now
        row.save(update_fields=["last_inbound_at"])


def _who(account: ChannelAccount, told: Told) -> tuple[Contact, Identity]:
    addresses = [KnownBy(a.scheme, a.value, a.raw) for a in told.sender.addresses]
    return recognise(account.organization_id, addresses, name=told.sender.name, language=told.sender.locale)


def _keep(conversation: Conversation, told: Told, now: datetime) -> Message:
    event = conversation.log("message_in")
    kind = kind_of(told)
    message = Message.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        channel_id=conversation.channel_id,
        seq=event.seq,
        direction=Message.Direction.IN,
        sender=Message.Sender.CONTACT,
        kind=kind,
        text=told.text,
        choice={"id": told.choice.id, "title": told.choice.title} if told.choice else None,
        location=dict(zip(("latitude", "longitude", "label"), told.location, strict=True))
        if told.location
        else None,
        contacts=[dict(card) for card in told.contacts],
        reply_to=_quoted(conversation, told.reply_to),
        provider_id=told.message_id,
        occurred_at=told.occurred_at,
        created_at=now,
    )
    event.data["message"] = str(message.pk)
    _attach(conversation, message, told)
    conversation.last_message_at = now
    conversation.last_inbound_at = max(conversation.last_inbound_at or told.occurred_at, told.occurred_at)
    conversation.unread += 1
    conversation.preview, conversation.preview_sender = told.text[:140], Message.Sender.CONTACT
    if not told.text:
        conversation.preview = f"[{kind}]"
    return message


def kind_of(told: Told) -> str:
    if told.choice:
        return "choice"
    if told.media:
        return told.media[0].kind
    if told.location:
        return "location"
    return "contacts" if told.contacts and not told.text else "text"


def _quoted(conversation: Conversation, provider_id: str) -> Message | None:
    if not provider_id:
        return None
    direct = conversation.messages.filter(provider_id=provider_id).first()
    if direct:
        return direct
    delivery = conversation.deliveries.filter(provider_id=provider_id).select_related("message").first()
    return delivery.message if delivery else None


def _attach(conversation: Conversation, message: Message, told: Told) -> None:
    files = media.expect(conversation.channel, told.media)
    Attachment.objects.bulk_create(
        Attachment(
            organization_id=conversation.organization_id, message=message, media=file, position=position
        )
        for position, file in enumerate(files)
    )
    if files:
        bells.wake_workers(FETCH_MEDIA)


def fetch_media(*, limit: int = 50) -> int:
    """Fetch the files that messages came with; the conversation shows each as soon as it is stored."""
    ids = media.due(limit=limit)
    for pk in ids:
        if (file := media.fetch(pk)) is not None:
            with scope(organization=file.organization):
                _show(file)
    return len(ids)


def _show(file: MediaFile) -> None:
    attachment = Attachment.objects.select_related("message").filter(media=file).first()
    if attachment:
        with writing(attachment.message.conversation_id, cause="media") as conversation:
            conversation.log("media", {"message": str(attachment.message_id), "state": file.state})


def note_consent(account: ChannelAccount, told: Told) -> str:
    contact, _ = _who(account, told)
    contact.opted_out_at = database_now() if told.kind is Kind.OPT_OUT else None
    contact.save(update_fields=["opted_out_at"])
    return ""
