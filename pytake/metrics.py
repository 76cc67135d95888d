"""`/metrics`: the desk's figures for Prometheus. Ids and kinds as labels, never names or numbers of people.

Each figure is counted over what is open or recent, by an index: the page costs the same in the tenth year.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse

from conversations.consumers import open_sockets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
VERSION = "1"  # of the API and of these names
BUCKETS = (100, 250, 500, 1000, 2500, 5000, 10000, 20000)  # milliseconds of a platform's answer

OPEN = """
SELECT channel_id, status, count(*), extract(epoch FROM clock_timestamp() - min(due_at))
FROM conversations_delivery WHERE status IN ('pending', 'retrying', 'processing', 'unknown')
GROUP BY 1, 2 ORDER BY 1, 2
"""
FAILED = """
SELECT channel_id, count(*) FROM conversations_delivery
WHERE status = 'failed' AND settled_at > now() - interval '1 hour' GROUP BY 1 ORDER BY 1
"""
ATTEMPTS = """
SELECT c.id, a.outcome, count(*) FROM channels_hub_channelaccount c
JOIN conversations_attempt a ON a.channel_id = c.id AND a.ended_at > now() - interval '5 minutes'
GROUP BY 1, 2 ORDER BY 1, 2
"""
LATENCY = """
SELECT c.id, count(*), sum(a.milliseconds) / 1000.0,
  array(SELECT (SELECT count(*) FROM unnest(array_agg(a.milliseconds)) one WHERE one <= most)
        FROM unnest(%s::int[]) WITH ORDINALITY top(most, n) ORDER BY n)
FROM channels_hub_channelaccount c
JOIN conversations_attempt a ON a.channel_id = c.id AND a.ended_at > now() - interval '5 minutes'
WHERE a.milliseconds IS NOT NULL GROUP BY 1 ORDER BY 1
"""
CHANNELS = """
SELECT c.id, c.kind, c.health = 'attention', coalesce(p.rests_until > now(), false)
FROM channels_hub_channelaccount c LEFT JOIN conversations_pace p ON p.channel_id = c.id
WHERE c.is_active ORDER BY c.id
"""
WAITING = """
SELECT
 (SELECT count(*) FROM channels_hub_inboundevent WHERE state = 'new'),
 (SELECT coalesce(extract(epoch FROM now() - min(next_attempt_at)), 0) FROM channels_hub_inboundevent
   WHERE state = 'new' AND next_attempt_at <= now()),
 (SELECT count(*) FROM conversations_deadline WHERE due_at <= now()),
 (SELECT count(*) FROM queues_routingcall),
 (SELECT count(*) FROM conversations_webhookmessage WHERE state = 'pending'),
 (SELECT count(*) FROM conversations_webhookendpoint WHERE failing_since IS NOT NULL)
"""
SINGLE = (
    ("pytake_inbox_waiting", "Raw events not processed yet"),
    ("pytake_inbox_lag_seconds", "Age of the oldest raw event that is due"),
    ("pytake_deadlines_late", "Deadlines whose moment has passed"),
    ("pytake_router_calls", "Calls that the router has not answered yet"),
    ("pytake_webhooks_pending", "Outgoing webhook messages still to be told"),
    ("pytake_webhooks_failing", "Outgoing webhooks whose last tries failed"),
)


def metrics(request: HttpRequest) -> HttpResponse:
    if not _may_read(request):
        return HttpResponse("metrics are for this machine, or for who has the token\n", status=403)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '5s'")
        text = "\n".join(_lines(cursor)) + "\n"
    return HttpResponse(text, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def _may_read(request: HttpRequest) -> bool:
    """With a token set: who shows it. Else this machine, and nobody whom a proxy on it brings along."""
    if settings.PYTAKE_METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return secrets.compare_digest(given.encode(), settings.PYTAKE_METRICS_TOKEN.encode())
    if {"X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"} & set(request.headers):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


# ---------------------------------------------------------------- the page
Sample = tuple[dict[str, Any], Any]


def _lines(cursor: Any) -> Iterator[str]:
    yield from _figure("pytake_build_info", "The version that runs", [({"version": VERSION}, 1)])
    yield from _figure("pytake_sockets", "Open pages of the inbox, in this process", [({}, open_sockets())])
    yield from _outbox(cursor)
    yield from _attempts(cursor)
    yield from _channels(cursor)
    cursor.execute(WAITING)
    for (name, about), value in zip(SINGLE, cursor.fetchone(), strict=True):
        yield from _figure(name, about, [({}, value)])


def _figure(name: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """One family in the text format. All are gauges: they are counted anew for each question."""
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{inside}}} {float(value):g}" if inside else f"{name} {float(value):g}"


def _escaped(value: Any) -> str:
    return str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _outbox(cursor: Any) -> Iterator[str]:
    cursor.execute(OPEN)
    rows = cursor.fetchall()
    cursor.execute(FAILED)
    failed = cursor.fetchall()
    counts: list[Sample] = [({"channel": channel, "state": state}, n) for channel, state, n, _age in rows]
    yield from _figure("pytake_outbox_deliveries", "Deliveries that are not settled", counts)
    ages: list[Sample] = [
        ({"channel": channel, "state": state}, max(0, age))
        for channel, state, _n, age in rows
        if state in ("pending", "retrying")
    ]
    yield from _figure("pytake_outbox_oldest_seconds", "How long the oldest one has been due", ages)
    lost: list[Sample] = [({"channel": channel}, n) for channel, n in failed]
    yield from _figure("pytake_outbox_failed_1h", "Deliveries that failed within the last hour", lost)


def _attempts(cursor: Any) -> Iterator[str]:
    cursor.execute(ATTEMPTS)
    ended: list[Sample] = [({"channel": c, "outcome": outcome}, n) for c, outcome, n in cursor.fetchall()]
    yield from _figure("pytake_attempts_5m", "Calls of platforms that ended within five minutes", ended)
    cursor.execute(LATENCY, [list(BUCKETS)])
    rows = cursor.fetchall()
    name, about = "pytake_attempt_seconds_5m", "How long those calls took"
    buckets = [sample for channel, n, _sum, counts in rows for sample in _buckets(channel, n, counts)]
    yield from _figure(f"{name}_bucket", about, buckets)
    yield from _figure(f"{name}_sum", about, [({"channel": row[0]}, row[2]) for row in rows])
    yield from _figure(f"{name}_count", about, [({"channel": row[0]}, row[1]) for row in rows])


def _buckets(channel: Any, n: int, counts: list[int]) -> Iterator[Sample]:
    """Cumulative, as `histogram_quantile` wants them."""
    for most, count in zip(BUCKETS, counts, strict=True):
        yield {"channel": channel, "le": f"{most / 1000:g}"}, count
    yield {"channel": channel, "le": "+Inf"}, n


def _channels(cursor: Any) -> Iterator[str]:
    cursor.execute(CHANNELS)
    rows = cursor.fetchall()
    for name, about, column in (
        ("pytake_channel_needs_attention", "The platform refuses the credentials", 2),
        ("pytake_channel_rests", "Sending pauses: too fast, or nobody is there", 3),
    ):
        yield from _figure(name, about, [({"channel": row[0], "kind": row[1]}, row[column]) for row in rows])
