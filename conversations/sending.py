"""From the outbox to the platform, at most once: claim, commit, call, settle.

The claim is committed before the call, so a crash can never lead to a second call: the lease runs out and
the row becomes `unknown`, which only evidence or a person resolves. No transaction is open during the call.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, connections, transaction
from django_scopes import scope, scopes_disabled

from channels_hub import http
from channels_hub.contract import (
    Adapter,
    Outcome,
    OutMessage,
    SendResult,
    State,
    merge_state,
)
from channels_hub.contract import Delivery as Report
from channels_hub.models import ChannelAccount
from channels_hub.registry import adapter_for
from conversations import bells, outbox
from conversations.can_send import can_send
from conversations.models import Conversation, Delivery
from conversations.moves import database_now, writing

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=90)  # longer than connect + read time-outs of the outgoing client
UNKNOWN_HOLDS = timedelta(seconds=30)  # how long an unconfirmed message keeps the next one back
RETRY_CAP = timedelta(hours=2)
CHANNEL_REST = timedelta(seconds=60)  # a channel with refused credentials is tried once a minute

CLAIM = """
UPDATE conversations_delivery SET status = 'processing', attempt_id = %(attempt)s, attempts = attempts + 1,
       lease_until = now() + %(lease)s
WHERE id = (
    SELECT d.id FROM conversations_delivery d
    JOIN channels_hub_channelaccount c ON c.id = d.channel_id
    WHERE d.status IN ('pending', 'retrying') AND d.due_at <= now()
      AND NOT (c.health = 'attention' AND c.health_at > now() - %(rest)s)
      AND NOT EXISTS (
        SELECT 1 FROM conversations_delivery e
        WHERE e.conversation_id = d.conversation_id AND (e.seq, e.part) < (d.seq, d.part)
          AND (e.status IN ('pending', 'retrying', 'processing')
               OR (e.status = 'unknown' AND e.settled_at > now() - %(holds)s)))
    ORDER BY d.priority DESC, d.due_at, d.id
    LIMIT 1 FOR UPDATE OF d SKIP LOCKED)
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery this worker alone may hand over, with everything the call needs."""

    delivery_id: UUID
    attempt_id: UUID
    organization_id: UUID
    conversation_id: UUID
    channel: ChannelAccount
    adapter: Adapter
    part: OutMessage


def deliver_one() -> bool:
    """Send the most urgent message that is due; False when there is none."""
    row = claim()
    if row is None:
        return False
    if isinstance(row, Claimed):
        settle(row, _call(row))
    return True


def drain(*, threads: int = 4, limit: int = 500) -> int:
    """Send what is due until nothing is left or the limit is reached; returns how many were handled."""
    if threads <= 1:
        return _drain_here(limit)
    with ThreadPoolExecutor(threads) as pool:
        shares = [pool.submit(_drain_thread, limit // threads) for _ in range(threads)]
        return sum(share.result() for share in shares)


def _drain_here(limit: int) -> int:
    done = 0
    while done < limit and deliver_one():
        done += 1
    return done


def _drain_thread(limit: int) -> int:
    try:
        return _drain_here(limit)
    finally:
        connections.close_all()


def claim() -> Claimed | UUID | None:
    """Take one due delivery: Claimed to hand over, its id when it was refused now, else None."""
    attempt = uuid4()
    with transaction.atomic():
        with connection.cursor() as cursor:
            times: dict[str, Any] = {"lease": LEASE, "rest": CHANNEL_REST, "holds": UNKNOWN_HOLDS}
            cursor.execute(CLAIM, {"attempt": attempt, **times})
            row = cursor.fetchone()
        if row is None:
            return None
        with scopes_disabled():
            delivery = Delivery.objects.select_related(
                "message", "message__reply_to", "organization", "channel", "conversation__contact",
                "conversation__identity", "conversation__channel",
            ).get(pk=row[0])  # fmt: skip
        refusal = _refusal(delivery, database_now())
        if refusal is None:
            return _claimed(delivery, attempt)
    with scope(organization=delivery.organization):
        _refuse(delivery, *refusal)
    return delivery.pk


def _claimed(delivery: Delivery, attempt: UUID) -> Claimed:
    adapter = adapter_for(delivery.channel)
    delivery.message.conversation = delivery.conversation
    parts = adapter.plan(outbox.out_message(delivery.message, str(delivery.pk)))
    part = parts[min(delivery.part, len(parts) - 1)]
    return Claimed(
        delivery_id=delivery.pk,
        attempt_id=attempt,
        organization_id=delivery.organization_id,
        conversation_id=delivery.conversation_id,
        channel=delivery.channel,
        adapter=adapter,
        # Our reference names the row of this part, whatever the planner numbered.
        part=_with_ref(part, str(delivery.pk)),
    )


def _with_ref(part: OutMessage, ref: str) -> OutMessage:
    values = {name: getattr(part, name) for name in OutMessage.__dataclass_fields__}
    return OutMessage(**{**values, "client_ref": ref})


def _refusal(delivery: Delivery, now: datetime) -> tuple[State, str] | None:
    """Checked in the claim, not when the message was written: age, the bot's fence, consent and window."""
    conversation = delivery.conversation
    if delivery.expires_at and delivery.expires_at <= now:
        return State.EXPIRED, "expired"
    if delivery.origin == Delivery.Origin.BOT and delivery.seq < conversation.fence_seq:
        return State.CANCELLED, "taken_over"
    verdict = can_send(conversation, human=delivery.origin == Delivery.Origin.AGENT, now=now)
    if verdict.code == "window_closed" and _window_unknown(delivery, conversation):
        return None
    return None if verdict.ok else (State.FAILED, verdict.code)


def _window_unknown(delivery: Delivery, conversation: Conversation) -> bool:
    """An integrator addresses somebody who never wrote to us: only the platform knows of an open window.

    They may have written before the desk was connected. The platform's own refusal is then what we show.
    """
    return delivery.origin == Delivery.Origin.API and conversation.last_inbound_at is None


def _refuse(delivery: Delivery, state: State, code: str) -> None:
    with writing(delivery.conversation_id, cause="outbox") as conversation:
        Delivery.objects.filter(pk=delivery.pk).update(
            status=state, error_code=code, settled_at=database_now(), lease_until=None
        )
        outbox.refresh_status(conversation, delivery.message)


_threads = threading.local()


def _client() -> http.Client:
    """One outgoing client per worker thread, so that connections are reused."""
    if not hasattr(_threads, "client"):
        _threads.client = http.Client()
    return _threads.client


def _call(row: Claimed) -> SendResult:
    """The network call. Whatever goes wrong in our own code after the request left counts as ambiguous."""
    try:
        return row.adapter.send(row.part, _client(), row.channel.keys())
    except Exception as error:
        logger.exception("adapter %s failed on delivery %s", row.channel.kind, row.delivery_id)
        return SendResult(Outcome.AMBIGUOUS, code="adapter_error", detail=type(error).__name__)


def settle(row: Claimed, result: SendResult) -> None:
    """Record how the attempt ended, unless a status report was faster or another attempt has it."""
    with scopes_disabled():
        channel = ChannelAccount.objects.select_related("organization").get(pk=row.channel.pk)
    with (
        scope(organization=channel.organization),
        writing(row.conversation_id, cause="outbox") as conversation,
    ):
        delivery = (
            Delivery.objects.select_for_update(no_key=True).select_related("message").get(pk=row.delivery_id)
        )
        if delivery.attempt_id != row.attempt_id:
            return
        if delivery.status != State.PROCESSING and result.outcome is not Outcome.ACCEPTED:
            return  # a status report was faster than the answer and knows better
        SETTLERS[result.outcome](delivery, result, database_now())
        delivery.lease_until = None
        delivery.save(update_fields=SETTLED)
        if result.outcome is Outcome.UNREACHABLE and conversation.identity_id:
            conversation.identity.unreachable_at = database_now()
            conversation.identity.save(update_fields=["unreachable_at"])
        outbox.refresh_status(conversation, delivery.message)
    _note_health(channel, result)
    if delivery.status not in outbox.NOT_HANDED:
        bells.wake_workers(outbox.DRAIN)  # the next message of this conversation may go now


SETTLED = [
    "status", "provider_id", "error_code", "error_detail", "due_at", "attempts", "lease_until", "settled_at",
]  # fmt: skip


def _accepted(delivery: Delivery, result: SendResult, now: datetime) -> None:
    delivery.provider_id = result.provider_id
    delivery.status = merge_state(State(delivery.status), result.state)
    delivery.error_code = delivery.error_detail = ""
    delivery.settled_at = now


def _again(delivery: Delivery, result: SendResult, now: datetime) -> None:
    """Surely not handed over: wait with full jitter, or as long as the platform says, up to max_retries."""
    _explain(delivery, result)
    if result.outcome is Outcome.RATE_LIMITED:
        delivery.attempts -= 1  # waiting one's turn is no failed attempt
    if delivery.attempts > delivery.max_retries:
        delivery.status, delivery.settled_at = State.FAILED, now
        return
    delivery.status = State.RETRYING
    delivery.due_at = now + backoff(delivery, result.retry_after)


def _rest(delivery: Delivery, result: SendResult, now: datetime) -> None:
    """Credentials refused: the message waits for an admin and burns no attempt."""
    _explain(delivery, result)
    delivery.attempts -= 1
    delivery.status, delivery.due_at = State.RETRYING, now + CHANNEL_REST


def _unsure(delivery: Delivery, result: SendResult, now: datetime) -> None:
    _explain(delivery, result)
    delivery.status = merge_state(State(delivery.status), State.UNKNOWN)
    delivery.settled_at = now


def _failed(delivery: Delivery, result: SendResult, now: datetime) -> None:
    _explain(delivery, result)
    delivery.error_code = delivery.error_code or str(result.outcome)
    delivery.status = merge_state(State(delivery.status), State.FAILED)
    delivery.settled_at = now


def _explain(delivery: Delivery, result: SendResult) -> None:
    delivery.error_code, delivery.error_detail = result.code[:40], result.detail[:300]


SETTLERS: dict[Outcome, Callable[[Delivery, SendResult, datetime], None]] = {
    Outcome.ACCEPTED: _accepted,
    Outcome.RETRYABLE: _again,
    Outcome.RATE_LIMITED: _again,
    Outcome.AMBIGUOUS: _unsure,
    Outcome.AUTH: _rest,
    Outcome.WINDOW_CLOSED: _failed,
    Outcome.UNREACHABLE: _failed,
    Outcome.CONTENT: _failed,
    Outcome.PERMANENT: _failed,
}


def backoff(delivery: Delivery, retry_after: float | None) -> timedelta:
    """retry_delay x 2^(n-1) with full jitter and a cap; the platform's Retry-After is obeyed."""
    if retry_after is not None:
        return timedelta(seconds=min(retry_after, 24 * 3600))
    longest = delivery.retry_delay * 2 ** max(0, delivery.attempts - 1)
    return min(timedelta(seconds=random.uniform(0, longest)), RETRY_CAP)


def _note_health(channel: ChannelAccount, result: SendResult) -> None:
    if result.outcome is Outcome.AUTH:
        channel.mark(ChannelAccount.Health.ATTENTION, f"{result.code} {result.detail}")
    elif result.outcome is Outcome.ACCEPTED and channel.health != ChannelAccount.Health.OK:
        channel.mark(ChannelAccount.Health.OK)


def expire_leases() -> int:
    """A worker died with a message in its hands: it may have gone out, so nobody sends it again."""
    with scopes_disabled():
        lost = list(
            Delivery.objects.filter(status=State.PROCESSING, lease_until__lt=database_now()).select_related(
                "message", "organization"
            )[:200]
        )
    for delivery in lost:
        with scope(organization=delivery.organization):
            _mark_unknown(delivery)
    return len(lost)


def _mark_unknown(delivery: Delivery) -> None:
    with writing(delivery.conversation_id, cause="lease") as conversation:
        changed = Delivery.objects.filter(
            pk=delivery.pk, status=State.PROCESSING, attempt_id=delivery.attempt_id
        ).update(status=State.UNKNOWN, settled_at=database_now(), lease_until=None, error_code="no_answer")
        if changed:
            outbox.refresh_status(conversation, delivery.message)


class UnknownDelivery(LookupError):
    """A status for a message we do not know (yet): it is parked and tried again."""


def apply_report(channel: ChannelAccount, report: Report) -> None:
    """Take in a status from the platform: by our reference first, then by its id. It only ever rises.

    Raises UnknownDelivery.
    """
    delivery = _find(channel, report)
    with writing(delivery.conversation_id, cause="status") as conversation:
        delivery = (
            Delivery.objects.select_for_update(no_key=True).select_related("message").get(pk=delivery.pk)
        )
        before = delivery.status
        delivery.status = merge_state(State(before), report.state)
        delivery.provider_id = delivery.provider_id or report.provider_id
        if delivery.status == State.FAILED and report.state == State.FAILED:
            delivery.error_code, delivery.error_detail = (report.code or "failed")[:40], report.detail[:300]
        elif delivery.status != before:
            delivery.error_code = delivery.error_detail = ""
        delivery.lease_until = None if delivery.status != State.PROCESSING else delivery.lease_until
        delivery.settled_at = delivery.settled_at or database_now()
        delivery.save(update_fields=SETTLED)
        if delivery.status == before:
            conversation.log(
                "status_kept", {"message": str(delivery.message_id), "status": str(report.state)}
            )
        outbox.refresh_status(conversation, delivery.message, at=report.at)
    bells.wake_workers(outbox.DRAIN)


def _find(channel: ChannelAccount, report: Report) -> Delivery:
    rows = Delivery.objects.filter(channel=channel)
    try:
        if report.client_ref and (found := rows.filter(pk=UUID(report.client_ref)).first()):
            return found
    except ValueError:
        pass  # somebody else's reference: the platform's id may still tell
    if report.provider_id and (found := rows.filter(provider_id=report.provider_id).first()):
        return found
    raise UnknownDelivery(report.provider_id)
