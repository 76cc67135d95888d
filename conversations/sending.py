"""From the outbox to the platform, at most once: claim, commit, call, settle.

The claim is committed before the call, so a crash can never lead to a second call: the lease runs out and
the row becomes `unknown`, which only evidence or a person resolves. No transaction is open during the call.
Calls run in threads; one thread claims and settles for all of them, several rows in one transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from queue import Empty, LifoQueue
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django_scopes import scope, scopes_disabled

from channels_hub import http
from channels_hub.contract import Adapter, Outcome, OutMessage, SendResult, State
from channels_hub.exchanges import Recorded
from channels_hub.registry import adapter_for
from conversations import failpoints, outbox, pacing, settling
from conversations.can_send import can_send, content_of
from conversations.models import Attempt, Conversation, Delivery
from conversations.moves import database_now, writing
from conversations.settling import Claimed, Ended

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=settings.PYTAKE_SENDING_LEASE_SECONDS)
# How long an unconfirmed message keeps the next one back.
UNKNOWN_HOLDS = timedelta(seconds=settings.PYTAKE_UNKNOWN_HOLDS_SECONDS)
PATIENCE = 2.0  # seconds that a patient drain waits for the next permit
LINGER = 0.01  # seconds in which calls that end after one another are settled together

# Whose turn within a channel: priority, then age; in a conversation strictly one after the other.
CANDIDATES = """
SELECT d.id, d.origin IN ('api', 'bulk') AND d.priority < 5 AS is_bulk FROM conversations_delivery d
WHERE d.channel_id = %(channel)s AND d.status IN ('pending', 'retrying') AND d.due_at <= now()
  AND (%(with_bulk)s OR NOT (d.origin IN ('api', 'bulk') AND d.priority < 5))
  AND NOT EXISTS (
    SELECT 1 FROM conversations_delivery e
    WHERE e.conversation_id = d.conversation_id AND (e.seq, e.part) < (d.seq, d.part)
      AND (e.status IN ('pending', 'retrying', 'processing')
           OR (e.status = 'unknown' AND e.settled_at > now() - %(holds)s)))
  AND (%(until_sent)s::interval IS NULL OR NOT EXISTS (
    SELECT 1 FROM conversations_delivery e
    WHERE e.conversation_id = d.conversation_id AND (e.seq, e.part) < (d.seq, d.part)
      AND e.status = 'queued' AND e.settled_at > now() - %(until_sent)s::interval))
  AND (NOT %(lowest)s OR d.priority = (
    SELECT priority FROM conversations_delivery l WHERE l.channel_id = %(channel)s
      AND l.status IN ('pending', 'retrying') ORDER BY l.priority LIMIT 1))
  AND (%(pair)s::interval IS NULL OR NOT EXISTS (
    SELECT 1 FROM conversations_attempt a JOIN conversations_delivery s ON s.id = a.delivery_id
    WHERE s.conversation_id = d.conversation_id
      AND (a.ended_at IS NULL OR a.ended_at > clock_timestamp() - %(pair)s::interval)
    OFFSET %(burst)s))
ORDER BY d.priority DESC, d.due_at, d.id LIMIT %(limit)s FOR UPDATE OF d SKIP LOCKED
"""
TAKE = """
UPDATE conversations_delivery d SET status = 'processing', attempts = d.attempts + 1,
       attempt_id = taken.attempt, lease_until = now() + %(lease)s
FROM unnest(%(ids)s::uuid[], %(attempts)s::uuid[]) AS taken(id, attempt) WHERE d.id = taken.id
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What one look at the outbox gave. Without rows and refusals nothing of this channel may go now."""

    channel_id: UUID
    rows: Sequence[Claimed] = ()
    refused: Sequence[UUID] = ()
    wait: float | None = None  # seconds until the next permit, when only the rate stands in the way


# ---------------------------------------------------------------- the drain
_draining, _called = threading.Lock(), threading.Event()


def drain(
    *, threads: int | None = None, limit: int = 5000, seconds: float = 20.0, patient: bool = False
) -> int:
    """Send what is due until nothing is left; how many were handled.

    One drain works per process: a second call returns at once, and the one at work looks again before it
    ends. A `patient` one waits where only the channel's rate stands in the way.
    """
    handled = 0
    _called.set()
    while _called.is_set() and _draining.acquire(blocking=False):
        try:
            _called.clear()
            handled += _Drain(threads or settings.PYTAKE_SENDER_THREADS, limit, seconds, patient).run()
        finally:
            _draining.release()
    return handled


class _Drain:
    """One run: rows are claimed as threads come free, and settled as their calls end."""

    def __init__(self, threads: int, limit: int, seconds: float, patient: bool) -> None:
        self.threads, self.limit, self.patient = threads, limit, patient
        self.until = time.monotonic() + seconds
        self.handled = 0
        self.under_way: set[Future[Ended]] = set()

    def run(self) -> int:
        with ThreadPoolExecutor(self.threads, thread_name_prefix="send") as pool:
            try:
                while self._claim(pool) or self.under_way or self._rest():
                    self._settle()
            finally:
                while self.under_way:
                    self._settle()
        return self.handled

    def _claim(self, pool: ThreadPoolExecutor) -> bool:
        """Fill the free threads; whether anything was claimed or refused."""
        before, passed = self.handled, set[UUID]()
        self.pause: float | None = None
        while (free := self.threads - len(self.under_way)) > 0 and self._goes_on():
            found = claim(free, passed)
            if found is None:
                break
            self.handled += len(found.rows) + len(found.refused)
            self.under_way |= {pool.submit(call, row) for row in found.rows}
            if not found.rows and not found.refused:
                passed.add(found.channel_id)
                self.pause = min(found.wait or PATIENCE, self.pause or PATIENCE)
        return self.handled > before

    def _goes_on(self) -> bool:
        return self.handled < self.limit and time.monotonic() < self.until

    def _rest(self) -> bool:
        """Wait for the next permit; whether it is worth while."""
        if not (self.patient and self.pause and self.pause < PATIENCE and self._goes_on()):
            return False
        time.sleep(self.pause)
        return True

    def _settle(self) -> None:
        if not self.under_way:
            return
        # A short wait, for a thread may be free and something urgent may have come meanwhile.
        done, self.under_way = wait(self.under_way, timeout=0.05, return_when=FIRST_COMPLETED)
        if done:
            more, self.under_way = wait(self.under_way, timeout=LINGER)
            done |= more
            failpoints.reached("before settle")
            settling.settle([one.result() for one in done])
            failpoints.reached("after settle")


# ---------------------------------------------------------------- the claim
def claim(limit: int = 1, passed: Collection[UUID] = ()) -> Round | None:
    """Take up to `limit` due deliveries of the channel whose turn it is, `passed` ones left out.

    None when no channel has anything due. What may not go out any more is refused here.
    """
    failpoints.reached("before claim")
    began = time.monotonic()
    with transaction.atomic():
        turn = pacing.turn(passed)
        if turn is None:
            return None
        if not turn.free:
            return Round(turn.pace.channel_id, wait=turn.wait)
        with scopes_disabled():
            found = load(_candidates(turn, limit))
            now = database_now()
            verdicts = [(delivery, _refusal(delivery, now)) for delivery in found]
            good = [delivery for delivery, refusal in verdicts if refusal is None]
            rows = _take(good, now, began + LEASE.total_seconds())
            if rows:
                pacing.served(turn.pace, now)
    if rows:
        failpoints.reached("after claim")
    refused = [(delivery, *refusal) for delivery, refusal in verdicts if refusal]
    for delivery, state, code in refused:
        with scope(organization=delivery.organization):
            _refuse(delivery, state, code)
    return Round(turn.pace.channel_id, rows, [delivery.pk for delivery, *_why in refused])


def _candidates(turn: pacing.Turn, limit: int) -> list[UUID]:
    """Ids in the order in which they go, locked; no more bulk than leaves room for answers."""
    pair, until_sent = turn.caps.pair_interval, turn.caps.waits_for_sent
    asked: dict[str, Any] = {
        "channel": turn.pace.channel_id,
        "with_bulk": turn.for_bulk > 0,
        "holds": UNKNOWN_HOLDS,
        "until_sent": timedelta(seconds=until_sent) if until_sent else None,
        "lowest": turn.lowest_first,
        "pair": timedelta(seconds=pair * turn.caps.pair_burst) if pair else None,
        "burst": turn.caps.pair_burst - 1,
        "limit": min(limit, turn.free),
    }
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, asked)
        rows = cursor.fetchall()
    bulk = [pk for pk, is_bulk in rows if is_bulk][: turn.for_bulk]
    return [pk for pk, is_bulk in rows if not is_bulk or pk in bulk]


def load(ids: Sequence[UUID]) -> list[Delivery]:
    """The rows in this order, with everything that a call needs."""
    rows = Delivery.objects.filter(pk__in=ids).select_related(
        "message", "message__reply_to", "organization", "channel__organization", "conversation__contact",
        "conversation__identity", "conversation__channel",
    )  # fmt: skip
    found = {delivery.pk: delivery for delivery in rows.prefetch_related("message__attachments__media")}
    return [found[pk] for pk in ids]


def _take(deliveries: Sequence[Delivery], now: datetime, until: float) -> list[Claimed]:
    if not deliveries:
        return []
    attempts = [
        Attempt(
            organization_id=delivery.organization_id,
            delivery=delivery,
            channel_id=delivery.channel_id,
            number=delivery.attempts + 1,
            started_at=now,
        )
        for delivery in deliveries
    ]
    Attempt.objects.bulk_create(attempts)
    with connection.cursor() as cursor:
        ids: dict[str, Any] = {
            "ids": [d.pk for d in deliveries],
            "attempts": [a.pk for a in attempts],
            "lease": LEASE,
        }
        cursor.execute(TAKE, ids)
    return [_claimed(d, attempt.pk, until) for d, attempt in zip(deliveries, attempts, strict=True)]


def _claimed(delivery: Delivery, attempt_id: UUID, until: float) -> Claimed:
    adapter, part = part_of(delivery)
    return Claimed(delivery.pk, attempt_id, delivery.conversation_id, delivery.channel, adapter, part, until)


def part_of(delivery: Delivery) -> tuple[Adapter, OutMessage]:
    """What this row hands over, and who does it. Needs a row of `load`."""
    adapter = adapter_for(delivery.channel)
    delivery.message.conversation = delivery.conversation
    files = [one.media for one in delivery.message.attachments.all()]
    parts = adapter.plan(outbox.out_message(delivery.message, str(delivery.pk), files))
    part = parts[min(delivery.part, len(parts) - 1)]
    # Our reference names the row of this part, whatever the planner numbered.
    return adapter, replace(part, client_ref=str(delivery.pk))


def _refusal(delivery: Delivery, now: datetime) -> tuple[State, str] | None:
    """Checked in the claim, not when the message was written: age, the bot's fence, consent and window."""
    conversation = delivery.conversation
    if delivery.expires_at and delivery.expires_at <= now:
        return State.EXPIRED, "expired"
    if delivery.origin == Delivery.Origin.BOT and delivery.seq < conversation.fence_seq:
        return State.CANCELLED, "taken_over"
    human = delivery.origin == Delivery.Origin.AGENT
    verdict = can_send(conversation, content_of(delivery.message), human=human, now=now)
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
        rows = Delivery.objects.filter(pk=delivery.pk, status__in=outbox.NOT_HANDED)
        if rows.update(status=state, error_code=code, settled_at=database_now()):
            outbox.refresh_status(conversation, delivery.message)


# ---------------------------------------------------------------- the call
_clients: LifoQueue[http.Client] = LifoQueue()


@contextmanager
def _client() -> Iterator[http.Client]:
    """A client that nobody else uses meanwhile; its connections stay open for the next one."""
    try:
        client = _clients.get_nowait()
    except Empty:
        client = http.Client()
    try:
        yield client
    finally:
        _clients.put(client)


def close_clients() -> None:
    """Close the connections that nobody uses just now."""
    while not _clients.empty():
        _clients.get_nowait().close()


def call(row: Claimed) -> Ended:
    """The network call. Whatever goes wrong in our own code after the request left counts as ambiguous."""
    failpoints.reached("before call")
    began = time.monotonic()
    if began > row.until:  # this process slept; others have gone on, and its turn is over
        return Ended(row, SendResult(Outcome.PERMANENT, code=settling.LATE))
    with _client() as client:
        recorded = Recorded(client)
        try:
            with http.not_after(row.until):
                result = row.adapter.send(row.part, recorded, row.channel.keys())
        except Exception as error:
            logger.exception("adapter %s failed on delivery %s", row.channel.kind, row.delivery_id)
            result = SendResult(Outcome.AMBIGUOUS, code="adapter_error", detail=type(error).__name__)
    if result.code == settling.NOT_SENT and time.monotonic() > row.until:
        result = SendResult(Outcome.PERMANENT, code=settling.LATE)
    failpoints.reached("after call")
    return Ended(row, result, int((time.monotonic() - began) * 1000), recorded.exchanges)
