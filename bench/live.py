"""From the platform's call to the agent's screen: accepted, processed, and a frame on a socket (G5)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from websockets.asyncio.client import ClientConnection, connect

from accounts.models import Membership
from bench import seeds
from bench.kit import LOOPBACK, START_SECONDS, Gate, Report, Size, percentile, running
from bench.load import burst, new_sid, signed, twilio_form
from channels_hub.models import InboundEvent
from conversations import frames

MESSAGES = 120
PER_SECOND = 5
COLUMNS = ("from the call to", "p50 ms", "p95 ms", "worst ms")
WORKER = (
    "-m",
    "celery",
    "-A",
    "pytake.celery",
    "worker",
    "--pool=solo",
    "--queues=interactive",
    "--loglevel=ERROR",
)


@dataclass
class Seen:
    """When a message was called in, accepted and shown; by the monotonic clock, in seconds."""

    called: float
    accepted: float = 0.0
    shown: float = 0.0


def run(size: Size) -> Report:
    port = int(os.environ["PORT"])
    with (
        seeds.desk() as place,
        running("-m", "bench.server", "pytake.asgi:application", str(port), port=port),
        running("-m", "django", "poller"),
        running(*WORKER, "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ):
        seeds.clean()
        cookie = session_of(place.supervisor)
        _warm_up(port, place)
        seen = asyncio.run(_watch(port, cookie, place, size.of(MESSAGES, 4)))
        processed = [
            (row.processed_at - row.received_at).total_seconds() * 1000
            for row in InboundEvent.objects.order_by("-received_at").exclude(processed_at=None)[: len(seen)]
        ]
    return _report(list(seen.values()), processed)


def _warm_up(port: int, place: seeds.Desk) -> None:
    """Until the worker hears its broker and everybody has connections: the last few came through at once."""
    path = f"/webhooks/twilio/{place.channel.public_id}/inbound"
    deadline = time.monotonic() + START_SECONDS
    quick = 0
    for n in range(1000):
        fields = twilio_form(new_sid(), f"+55119{60000000 + n:08d}", "oi", seeds.SID, seeds.ADDRESS)
        burst(port, [signed(settings.PUBLIC_URL, path, fields, seeds.TOKEN)], 1)
        time.sleep(0.25)
        newest = InboundEvent.objects.order_by("-received_at")[0]
        quick = quick + 1 if newest.processed_at else 0
        if quick == 5:
            return
        if time.monotonic() > deadline:
            raise RuntimeError("the workers do not process what comes in")


def session_of(member: Membership) -> str:
    """A cookie of the member, as the log-in page gives it."""
    user = member.user
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return f"{settings.SESSION_COOKIE_NAME}={store.session_key}"


async def _watch(port: int, cookie: str, place: seeds.Desk, number: int) -> dict[str, Seen]:
    """Call at a steady pace while a page listens; a text is found again by its own word."""
    cursor = await sync_to_async(frames.current_cursor)()
    seen: dict[str, Seen] = {}
    url = f"ws://{LOOPBACK}:{port}/ws/inbox/?tab=all&since={cursor}"
    origin: Any = f"http://{LOOPBACK}:{port}"
    async with connect(url, origin=origin, additional_headers={"Cookie": cookie}, max_size=None) as page:
        listener = asyncio.create_task(_listen(page, seen))
        path = f"/webhooks/twilio/{place.channel.public_id}/inbound"
        calls = []
        for n in range(number):
            calls.append(asyncio.create_task(_call(port, path, n, seen)))
            await asyncio.sleep(1 / PER_SECOND)
        await asyncio.gather(*calls)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not all(one.shown for one in seen.values()):
            await asyncio.sleep(0.02)
        listener.cancel()
    return seen


async def _call(port: int, path: str, number: int, seen: dict[str, Seen]) -> None:
    """One message, each of a person of their own."""
    word = f"palavra{number:05d}fim"
    fields = twilio_form(new_sid(), f"+55119{70000000 + number:08d}", word, seeds.SID, seeds.ADDRESS)
    content = signed(settings.PUBLIC_URL, path, fields, seeds.TOKEN)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    seen[word] = Seen(time.monotonic())
    writer.write(content)
    await reader.readuntil(b"\r\n\r\n")
    seen[word].accepted = time.monotonic()
    writer.close()


async def _listen(page: ClientConnection, seen: dict[str, Seen]) -> None:
    async for frame in page:
        now = time.monotonic()
        for word, one in seen.items():
            if not one.shown and word in str(frame):
                one.shown = now


def _report(seen: Sequence[Seen], processed: Sequence[float]) -> Report:
    shown = [(one.shown - one.called) * 1000 for one in seen if one.shown]
    accepted = [(one.accepted - one.called) * 1000 for one in seen]
    report = Report("live", COLUMNS, figures={"messages": len(seen), "per_second": PER_SECOND})
    for name, values in (("accepted", accepted), ("processed", processed), ("frame on the page", shown)):
        if values:
            report.rows.append([name, percentile(values, 0.5), percentile(values, 0.95), max(values)])
    missing = len(seen) - len(shown)
    report.gates = [
        Gate("messages that no frame showed", missing, 0, at_most=True),
        Gate("G5 processed, p95 ms", percentile(processed or [1e9], 0.95), 50, at_most=True),
        Gate("G5 frame on the page, p95 ms", percentile(shown or [1e9], 0.95), 150, at_most=True),
    ]
    return report
