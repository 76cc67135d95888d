"""Calls the customer's own systems: claim, commit, call, settle. At least once, in no promised order.

A try is written down with the claim, before the call. When a worker dies, the message comes due again with
its lease and is told once more under the same `webhook-id`, by which the other side knows it again. Calls
run in threads that do not touch the database; one thread claims and settles for all of them.
"""

from __future__ import annotations

import json
import random
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django_scopes import scope, scopes_disabled

from accounts import audit
from accounts.models import Organization
from channels_hub import http
from channels_hub.contract import MaybeSent, NotSent, retry_after
from channels_hub.signatures import standard_signature
from conversations import hooks
from conversations.models import WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.moves import database_now

# Between one try and the next; with the first there are eight. Each is spread by a fifth, so that what
# failed together does not come back together.
STEPS = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2),
    timedelta(hours=5), timedelta(hours=10), timedelta(hours=10),
)  # fmt: skip
SPREAD = 0.2
LONGEST_WAIT = timedelta(hours=24)  # that an endpoint may make us wait by Retry-After
READ_SECONDS = 15.0
LEASE = timedelta(seconds=60)  # longer than the client's own limit of time
THREADS = 16
AT_ONCE = 4  # calls under way to one endpoint; to one that fails, a single one
PATIENCE = timedelta(days=5)  # of nothing but failures; then the endpoint is switched off
GONE = 410

# The endpoint's lock makes the count of its calls under way hold for any number of workers.
DUE = """
SELECT e.id FROM conversations_webhookendpoint e
WHERE e.is_active AND e.id <> ALL(%(passed)s) AND EXISTS (
  SELECT 1 FROM conversations_webhookmessage m
  WHERE m.endpoint_id = e.id AND m.state = 'pending' AND m.next_at <= clock_timestamp())
ORDER BY random() LIMIT 1 FOR NO KEY UPDATE OF e SKIP LOCKED
"""
UNDER_WAY = """
SELECT count(*) FROM conversations_webhookmessage m
JOIN conversations_webhookattempt a ON a.message_id = m.id AND a.number = m.attempts
WHERE m.endpoint_id = %(endpoint)s AND m.state = 'pending' AND a.milliseconds IS NULL
  AND m.next_at > clock_timestamp() AND m.next_at <= clock_timestamp() + make_interval(secs => %(lease)s)
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One try that this worker alone makes, with everything it needs."""

    message_id: UUID
    endpoint_id: UUID
    organization: Organization
    number: int
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a try ended."""

    call: Call
    milliseconds: int
    status: int | None = None
    answer: str = ""
    error: str = ""
    retry_after: float | None = None

    @property
    def arrived(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


# ---------------------------------------------------------------- the drain
_draining = threading.Lock()


def drain(*, seconds: float = 5.0) -> int:
    """Tell what is due until nothing is left; how many tries were made. One drain works per process."""
    if not _draining.acquire(blocking=False):
        return 0
    try:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="hook") as pool:
            return _work(pool, time.monotonic() + seconds)
    finally:
        _draining.release()


def _work(pool: ThreadPoolExecutor, until: float) -> int:
    handled = 0
    under_way: set[Future[Ended]] = set()
    while True:
        if time.monotonic() < until:
            under_way |= {pool.submit(call, one) for one in claim(THREADS - len(under_way))}
        if not under_way:
            return handled
        # A short wait, for something may have come due for another endpoint.
        done, under_way = wait(under_way, timeout=0.2, return_when=FIRST_COMPLETED)
        for one in done:
            settle(one.result())
        handled += len(done)


# ---------------------------------------------------------------- the claim
def claim(limit: int) -> list[Call]:
    """Take up to `limit` due messages, of one endpoint after the other."""
    found: list[Call] = []
    passed: list[UUID] = []
    while len(found) < limit:
        with scopes_disabled(), transaction.atomic():
            endpoint = _next_endpoint(passed)
            if endpoint is None:
                break
            passed.append(endpoint.pk)
            found += _claim_of(endpoint, limit - len(found))
    return found


def _next_endpoint(passed: list[UUID]) -> WebhookEndpoint | None:
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"passed": passed})
        row = cursor.fetchone()
    return WebhookEndpoint.objects.select_related("organization").get(pk=row[0]) if row else None


def _claim_of(endpoint: WebhookEndpoint, limit: int) -> list[Call]:
    """As many as may be under way at once; the endpoint's row is locked."""
    with connection.cursor() as cursor:
        cursor.execute(UNDER_WAY, {"endpoint": endpoint.pk, "lease": LEASE.total_seconds()})
        busy = cursor.fetchone()[0]
    free = min(limit, (1 if endpoint.failing_since else AT_ONCE) - busy)
    if free <= 0:
        return []
    now = database_now()
    due = WebhookMessage.objects.filter(
        endpoint=endpoint, state=WebhookMessage.State.PENDING, next_at__lte=now
    )
    rows = due.select_for_update(skip_locked=True, no_key=True).order_by("next_at", "id")[:free]
    return [_take(endpoint, message, now) for message in rows]


def _take(endpoint: WebhookEndpoint, message: WebhookMessage, now: datetime) -> Call:
    message.attempts += 1
    message.next_at = now + LEASE
    message.save(update_fields=["attempts", "next_at"])
    WebhookAttempt.objects.create(
        organization_id=message.organization_id, message=message, number=message.attempts, at=now
    )
    body = body_of(message)
    return Call(
        message.pk, endpoint.pk, endpoint.organization, message.attempts, endpoint.url,
        headers_of(message, endpoint, body, now), body,
    )  # fmt: skip


def body_of(message: WebhookMessage) -> bytes:
    """The same bytes in every try."""
    told = {"type": message.type, "timestamp": message.occurred_at.isoformat(), "data": message.data}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(
    message: WebhookMessage, endpoint: WebhookEndpoint, body: bytes, now: datetime
) -> dict[str, str]:
    """By https://www.standardwebhooks.com: one signature per secret that is in use."""
    name, stamp = str(message.pk), str(int(now.timestamp()))
    signed = (standard_signature(secret, body, name, stamp) for secret in hooks.signing(endpoint.keys(), now))
    return {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signed),
    }


# ---------------------------------------------------------------- the call
def call(one: Call) -> Ended:
    """The network call. A redirect is no answer: who moved says so in the settings."""
    began = time.monotonic()
    try:
        with closing(http.Client()) as client:
            answer = client.request(
                "POST", one.url, data=one.body, headers=one.headers, read_seconds=READ_SECONDS
            )
    except (NotSent, MaybeSent) as error:
        return Ended(one, _since(began), error=str(error)[:200])
    except Exception as error:  # ours, not theirs: it counts as a failed try and the others go on
        return Ended(one, _since(began), error=type(error).__name__)
    return Ended(
        one,
        _since(began),
        status=answer.status,
        answer=answer.body[:2000].decode("utf-8", "replace").replace("\x00", "")[:500],
        retry_after=retry_after(answer.headers),
    )


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)


# ---------------------------------------------------------------- the end
def settle(ended: Ended) -> None:
    """Write down how a try ended, when the next one is, and what it says of the endpoint."""
    one = ended.call
    with scope(organization=one.organization), transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=one.endpoint_id).first()
        if endpoint is None:
            return  # deleted meanwhile, and its messages with it
        now = database_now()
        WebhookAttempt.objects.filter(message_id=one.message_id, number=one.number).update(
            milliseconds=ended.milliseconds, status=ended.status, answer=ended.answer, error=ended.error
        )
        message = WebhookMessage.objects.select_for_update(no_key=True).filter(pk=one.message_id).first()
        if message is not None and (ended.arrived or message.attempts == one.number):
            _settle_message(message, ended, now)
        if message is not None and message.type != hooks.TEST:
            _note(endpoint, ended, now)


def _settle_message(message: WebhookMessage, ended: Ended, now: datetime) -> None:
    if ended.arrived:
        message.state, message.settled_at = WebhookMessage.State.DELIVERED, now
    elif message.type == hooks.TEST or message.attempts > len(STEPS) or ended.status == GONE:
        message.state, message.settled_at = WebhookMessage.State.FAILED, now
    else:
        message.next_at = now + pause(message.attempts, ended.retry_after)
    message.save(update_fields=["state", "settled_at", "next_at"])


def pause(tries: int, asked: float | None) -> timedelta:
    """Until the next try; longer where the endpoint asks for it."""
    step = STEPS[tries - 1] * random.uniform(1 - SPREAD, 1 + SPREAD)
    return max(step, min(timedelta(seconds=min(asked or 0, 1e6)), LONGEST_WAIT))


def _note(endpoint: WebhookEndpoint, ended: Ended, now: datetime) -> None:
    """Failing or not; gone, or failing for too long, it is switched off, on record."""
    if ended.arrived:
        if endpoint.failing_since is not None:
            hooks.forgive(endpoint.pk)
        return
    since = endpoint.failing_since or now
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=since)
    if ended.status == GONE:
        _switch_off(endpoint, ended.call.organization, "gone")
    elif now - since > PATIENCE:
        _switch_off(endpoint, ended.call.organization, "failing")


def _switch_off(endpoint: WebhookEndpoint, organization: Organization, because: str) -> None:
    """What is still to be told waits until somebody switches it on again."""
    rows = WebhookEndpoint.objects.filter(pk=endpoint.pk, is_active=True)
    if rows.update(is_active=False, disabled_because=because, revision=endpoint.revision + 1):
        audit.record(
            "webhook.disabled",
            organization=organization,
            actor=None,
            target=endpoint,
            data={"reason": because},
        )


# ---------------------------------------------------------------- the test
def test(endpoint: WebhookEndpoint) -> WebhookMessage:
    """Tell an endpoint something harmless, once and now. Not in a transaction: it calls out."""
    now = database_now()
    with transaction.atomic():
        message = WebhookMessage.objects.create(
            organization_id=endpoint.organization_id,
            endpoint=endpoint,
            type=hooks.TEST,
            data={"endpoint_id": str(endpoint.pk)},
            occurred_at=now,
            next_at=now + LEASE,
        )
        claimed = _take(endpoint, message, now)
    settle(call(claimed))
    return WebhookMessage.objects.prefetch_related("calls").get(pk=message.pk)
