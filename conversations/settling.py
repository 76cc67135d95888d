"""How calls ended: written down for several at once, each under its conversation's lock."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django_scopes import scope, scopes_disabled

from accounts.rows import write_back
from channels_hub.contract import Adapter, Outcome, OutMessage, SendResult, State, merge_state
from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations import outbox, pacing
from conversations.models import Attempt, Conversation, Delivery
from conversations.moves import database_now, noting, writing

RETRY_CAP = timedelta(hours=2)
RATE_REST = timedelta(seconds=2)  # where the platform says "too fast" and not for how long
LONGEST_WAIT = 24 * 3600.0  # seconds that a platform may make us wait
LATE = "late"  # the code of a call that was not made, for its lease had run out
NOT_SENT = "not_sent"  # the code of a call that reached nobody


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery this worker alone may hand over, with everything the call needs."""

    delivery_id: UUID
    attempt_id: UUID
    conversation_id: UUID
    channel: ChannelAccount
    adapter: Adapter
    part: OutMessage
    until: float  # by this process's monotonic clock: after that it is nobody's to hand over


@dataclass(frozen=True, slots=True)
class Ended:
    """How the call of a claimed delivery ended."""

    row: Claimed
    result: SendResult
    milliseconds: int = 0
    exchanges: Sequence[Mapping[str, Any]] = ()


def settle(ended: Sequence[Ended]) -> None:
    """Record how calls ended, unless a status report was faster or another attempt has the row.

    Together where that works; when one conversation is kept busy by others, each for itself.
    """
    for mine in _grouped(ended, lambda one: one.row.channel.organization_id).values():
        try:
            _settle(mine)
        except OperationalError:
            if len(mine) == 1:
                raise
            for one in mine:
                _settle([one])


def _grouped(ended: Sequence[Ended], key: Callable[[Ended], UUID]) -> dict[UUID, list[Ended]]:
    found: dict[UUID, list[Ended]] = defaultdict(list)
    for one in ended:
        found[key(one)].append(one)
    return found


def _settle(ended: Sequence[Ended]) -> None:
    by_delivery = {one.row.delivery_id: one for one in ended}
    with (
        scope(organization=ended[0].row.channel.organization),
        noting([one.row.conversation_id for one in ended], cause="outbox") as conversations,
    ):
        now = database_now()
        _end_attempts(ended, now)
        locked = Delivery.objects.select_for_update(no_key=True, of=("self",)).order_by("pk")
        rows = locked.select_related("message").filter(pk__in=by_delivery)
        changed = [row for row in rows if _fold(row, by_delivery[row.pk], now)]
        write_back(changed, SETTLED)
        lost = [row for row in changed if by_delivery[row.pk].result.outcome is Outcome.UNREACHABLE]
        identities = [conversations[row.conversation_id].identity_id for row in lost]
        Identity.objects.filter(pk__in=identities).update(unreachable_at=now)
        for row in lost:
            settled = by_delivery[row.pk]
            note_opt_out(settled.row.adapter, settled.result.code, conversations[row.conversation_id])
        outbox.refresh_statuses(conversations, [row.message for row in changed])
        for channel_id, mine in _grouped(ended, lambda one: one.row.channel.pk).items():
            _note_channel(channel_id, mine, now)


def _fold(delivery: Delivery, ended: Ended, now: datetime) -> bool:
    """The result into the row; False when the row is no longer this attempt's to settle."""
    if delivery.attempt_id != ended.row.attempt_id:
        return False
    knows_more = ended.result.outcome is Outcome.ACCEPTED or ended.result.code == LATE
    if delivery.status != State.PROCESSING and not knows_more:
        return False  # a status report was faster than the answer and knows better
    SETTLERS[ended.result.outcome](delivery, ended.result, now)
    delivery.lease_until = None
    return True


SAID, ANSWERED = ("method", "url", "fields"), ("status", "answer", "error", "milliseconds")


def _only(exchange: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: exchange[name] for name in names if name in exchange}


def _end_attempts(ended: Sequence[Ended], now: datetime) -> None:
    rows = [
        Attempt(
            pk=one.row.attempt_id,
            ended_at=now,
            outcome=one.result.outcome,
            code=one.result.code[:40],
            detail=one.result.detail[:300],
            milliseconds=one.milliseconds,
            request=[_only(exchange, SAID) for exchange in one.exchanges],
            response=[_only(exchange, ANSWERED) for exchange in one.exchanges],
        )
        for one in ended
    ]
    fields = ["ended_at", "outcome", "code", "detail", "milliseconds", "request", "response"]
    write_back(rows, fields)


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
    delivery.status, delivery.due_at = State.RETRYING, now + pacing.CHANNEL_REST


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
        return timedelta(seconds=min(retry_after, LONGEST_WAIT))
    longest = delivery.retry_delay * 2 ** max(0, delivery.attempts - 1)
    return min(timedelta(seconds=random.uniform(0, longest)), RETRY_CAP)


# ---------------------------------------------------------------- what it says of the channel
def _note_channel(channel_id: UUID, ended: Sequence[Ended], now: datetime) -> None:
    """There or not, too fast, credentials refused."""
    results = [one.result for one in ended]
    if all(result.code == NOT_SENT for result in results):
        pacing.not_reached(channel_id, now)
    else:
        pacing.reached(channel_id)
    waits = [r.retry_after or RATE_REST.total_seconds() for r in results if r.outcome is Outcome.RATE_LIMITED]
    if waits:
        pacing.rest(channel_id, now + timedelta(seconds=min(max(waits), LONGEST_WAIT)), "rate_limited")
    _note_health(ended[-1].row.channel, results)


def _note_health(channel: ChannelAccount, results: Sequence[SendResult]) -> None:
    if refused := [result for result in results if result.outcome is Outcome.AUTH]:
        channel.mark(ChannelAccount.Health.ATTENTION, f"{refused[-1].code} {refused[-1].detail}")
    elif channel.health != ChannelAccount.Health.OK and any(r.outcome is Outcome.ACCEPTED for r in results):
        channel.mark(ChannelAccount.Health.OK)


# ---------------------------------------------------------------- what it says of the person
def note_opt_out(adapter: Adapter, code: str, conversation: Conversation) -> None:
    """Some errors say that the person wants to hear no more. Written after the commit: contacts are locked
    before conversations, never after."""
    if code in adapter.opt_out_codes:
        transaction.on_commit(partial(_opt_out, conversation.contact_id))


def _opt_out(contact_id: UUID) -> None:
    with scopes_disabled():
        Contact.objects.filter(pk=contact_id, opted_out_at=None).update(opted_out_at=database_now())


# ---------------------------------------------------------------- who died
def expire_leases() -> int:
    """A worker died with a message in its hands: it may have gone out, so nobody sends it again."""
    with scopes_disabled():
        lost = Delivery.objects.filter(status=State.PROCESSING, lease_until__lt=database_now())
        found = list(lost.select_related("message", "organization", "channel")[:200])
    for delivery in found:
        with scope(organization=delivery.organization):
            _mark_unknown(delivery)
    return len(found)


def _mark_unknown(delivery: Delivery) -> None:
    with writing(delivery.conversation_id, cause="lease") as conversation:
        now = database_now()
        changed = Delivery.objects.filter(
            pk=delivery.pk, status=State.PROCESSING, attempt_id=delivery.attempt_id
        ).update(status=State.UNKNOWN, settled_at=now, lease_until=None, error_code="no_answer")
        if changed:
            Attempt.objects.filter(pk=delivery.attempt_id).update(
                ended_at=now, outcome=Outcome.AMBIGUOUS, code="worker_died"
            )
            outbox.refresh_status(conversation, delivery.message)
    outbox.wake_senders(delivery.channel)
