"""From the outbox to a provider that takes 50 ms: how many a second, and an answer among bulk (G14-G16).

Beside it, in the same run: Celery with a task for each message, and the bare client with as many connections.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from uuid import UUID

import requests
from django.db import connection

from bench import plain_celery, seeds
from bench.kit import LOOPBACK, Gate, Report, Size, free_port, median, percentile, running
from channels_hub.models import ChannelAccount
from conversations import handoff, outbox
from conversations.models import Delivery, Message, Pace

MESSAGES = 3000  # of each way, in a round
MOST = 0.99  # of them are timed: a plain task whose connection breaks is gone for good
BULK, ANSWERS = 50_000, 60
THREADS = 32
RATE, RATED, SENDERS = 80.0, 400, 4
COLUMNS = ("what", "messages", "per second", "x of Celery")
CELERY = (
    "-m", "celery", "-A", "bench.plain_celery", "worker", "--pool=threads", f"--concurrency={THREADS}",
    "--loglevel=ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat",
)  # fmt: skip


def run(size: Size) -> Report:
    with seeds.desk(slug="outbound") as place:
        found = [_speeds(place, size) for _n in range(size.rounds)]
        held = _rate(place, size.of(RATED, 8))
        waits = _among_bulk(place, size.of(BULK, 50), size.of(ANSWERS, 3))
    return _report({name: median([one[name] for one in found]) for name in found[0]}, held, waits, size)


# ---------------------------------------------------------------- rows
def _fill(place: seeds.Desk, count: int, *, origin: str = "bulk", priority: int = 0) -> list[UUID]:
    """So many messages to as many people, due now."""
    ids = seeds.newcomers(place, count)
    own = {"organization": place.organization, "channel": place.channel}
    message = Message(**own, seq=2, direction="out", sender="system", status="pending")
    text = f"'{time.monotonic_ns()}-' || n"
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM conversations_message WHERE direction = 'in'")
    seeds.fill(message, ids, conversation_id="id", text=text, occurred_at="now()", created_at="now()")
    row = Delivery(**own, seq=2, origin=origin, priority=priority, status="pending")
    expires = "now() + interval '1 day'"
    seeds.fill(row, ids, message_id="id", conversation_id="id", due_at="now()", expires_at=expires)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE conversations_conversation SET seq = 2 WHERE seq = 1")
        cursor.execute("ANALYZE conversations_delivery, conversations_message, conversations_conversation")
    return ids


def _clean() -> None:
    seeds.clean()
    Pace.objects.all().delete()


@contextmanager
def _provider(place: seeds.Desk, rate: float | None = None) -> Iterator[str]:
    """A provider of its own for each part, so that its memory is empty."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    config = {**place.channel.config, "api_base": url}
    ChannelAccount.objects.filter(pk=place.channel.pk).update(config=config, rate_per_second=rate)
    with running("-m", "bench.provider", str(port), port=port):
        yield url


def _arrivals(url: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{url}/arrivals", timeout=30) as answer:
        return json.load(answer)


def _wait_for(url: str, count: int, seconds: float = 300.0) -> list[float]:
    """When they came, once all have; raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if len(came := _arrivals(url)) >= count:
            return sorted(came.values())
        time.sleep(0.2)
    raise TimeoutError(f"{len(came)} of {count} came")


def _per_second(came: list[float]) -> float:
    """Without the start: from the tenth part on."""
    first = len(came) // 10
    return (len(came) - 1 - first) / max(1e-6, came[-1] - came[first])


# ---------------------------------------------------------------- how many a second
def _speeds(place: seeds.Desk, size: Size) -> dict[str, float]:
    count = size.of(MESSAGES, 20)
    return {
        "celery": _by_celery(place, count),
        "outbox": _by_outbox(place, count),
        "bare": _bare(place, count),
    }


def _by_celery(place: seeds.Desk, count: int) -> float:
    _clean()
    with _provider(place) as url:
        for pk in _fill(place, count):
            plain_celery.send.delay(str(pk))
        with running(*CELERY):
            return _per_second(_wait_for(url, round(count * MOST)))


def _by_outbox(place: seeds.Desk, count: int) -> float:
    _clean()
    with _provider(place) as url:
        _fill(place, count)
        with _sender(url):
            return _per_second(_wait_for(url, round(count * MOST)))


def _sender(url: str) -> AbstractContextManager[object]:
    allowed = url.removeprefix("http://")
    own = {"PYTAKE_ALLOW_PRIVATE_HOSTS": allowed, "PYTAKE_SENDER_THREADS": str(THREADS)}
    return running("-m", "bench.sender", **own)


def _bare(place: seeds.Desk, count: int) -> float:
    """The same client library with as many connections, and nothing else."""
    local = threading.local()

    def post(number: int) -> None:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.trust_env = False
        local.session.post(f"{url}/Messages.json", data={"Body": str(number)}, timeout=20).json()

    with _provider(place) as url, ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(post, range(count)))
        return _per_second(_wait_for(url, count))


# ---------------------------------------------------------------- the rate, and answers among bulk
@dataclass(frozen=True, slots=True)
class Held:
    """What a limited channel did with several senders."""

    per_second: float
    most: int  # calls in the fullest second, wherever it begins


def _rate(place: seeds.Desk, count: int) -> Held:
    _clean()
    with _provider(place, RATE) as url, ExitStack() as stack:
        _fill(place, count)
        for _n in range(SENDERS):
            stack.enter_context(_sender(url))
        came = _wait_for(url, count)
    return Held(
        _per_second(came), max(sum(at <= later < at + 1 for later in came[n:]) for n, at in enumerate(came))
    )


def _among_bulk(place: seeds.Desk, bulk: int, answers: int) -> list[float]:
    """Milliseconds from an agent's "send" to the provider while so many others wait."""
    _clean()
    agent = place.agents[0]
    with _provider(place) as url:
        talks = _fill(place, answers)
        Delivery.objects.all().delete()
        for pk in talks:
            handoff.assign_agent(pk, agent.pk)
        _fill(place, bulk)
        with _sender(url):
            _wait_for(url, bulk // 100)
            sent = {}
            for number, pk in enumerate(talks):
                text = f"answer {number}"
                outbox.reply(pk, agent=agent, text=text)
                sent[text] = time.time()
                time.sleep(0.1)
            came = _wait_for_all(url, set(sent))
    return [max(0.0, came[text] - at) * 1000 for text, at in sent.items()]


def _wait_for_all(url: str, texts: set[str], seconds: float = 60.0) -> dict[str, float]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        came = _arrivals(url)
        if texts <= came.keys():
            return came
        time.sleep(0.2)
    raise TimeoutError("an answer never came")


def _report(speeds: dict[str, float], held: Held, waits: list[float], size: Size) -> Report:
    report = Report("outbound", COLUMNS, figures={"threads": THREADS, "fullest_second": held.most})
    count = size.of(MESSAGES, 20)
    for name, told in (
        ("celery", f"Celery, a task per message, {THREADS} threads"),
        ("outbox", f"the outbox, one process, {THREADS} threads"),
        ("bare", f"the bare client, {THREADS} threads"),
    ):
        report.rows.append([told, count, speeds[name], speeds[name] / speeds["celery"]])
    report.rows.append([f"{SENDERS} senders at {RATE:g} a second", size.of(RATED, 8), held.per_second, "-"])
    waited = [percentile(waits, 0.5), percentile(waits, 0.95)]
    report.rows.append([f"an answer among {size.of(BULK, 50)} waiting, p50 / p95 ms", len(waits), *waited])
    report.gates = [
        Gate("G14 outbox, of Celery with a task per message", speeds["outbox"] / speeds["celery"], 2),
        Gate("G15 outbox, of the bare client", speeds["outbox"] / speeds["bare"], 0.6),
        Gate("G16 calls in the fullest second", held.most, RATE, at_most=True),
        Gate("G16 of the rate that is allowed", held.per_second / RATE, 0.98),
    ]
    return report
