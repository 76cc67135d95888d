"""Bells: best-effort wake-ups for open pages and sleeping workers.

Nothing depends on a bell being heard: pages resume by cursor and the poller finds due rows. So a bell never
blocks, never raises and never carries content. One thread per process rings them, because a call to the
channel layer from synchronous code would open an event loop and a connection each time (about 3 ms).
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

from celery import current_app
from channels.layers import get_channel_layer
from django.db import transaction

logger = logging.getLogger(__name__)

LIVE_GROUP = "live"  # one group: every web process has one listener that knows its own sockets
REST_AFTER_FAILURE = 2.0  # seconds; Redis may be away
GATHER = 0.02  # seconds in which equal bells become one: a busy door must not pay for a bell per call


class _Ringer:
    """Gathers bells and rings them from one background thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.waiting: set[tuple[str, str]] = set()
        self.lock = threading.Lock()
        self.wake = threading.Event()
        threading.Thread(target=self._run, name="bells", daemon=True).start()

    def ring(self, kind: str, name: str) -> None:
        with self.lock:
            self.waiting.add((kind, name))
        self.wake.set()

    def _run(self) -> None:
        loop = asyncio.new_event_loop()
        while True:
            self.wake.wait()
            time.sleep(GATHER)
            self.wake.clear()
            with self.lock:
                bells, self.waiting = self.waiting, set()
            try:
                self._ring_all(loop, bells)
            except Exception as error:
                # Whatever the broker raises, work goes on by the poller; the bells of this round are dropped.
                logger.warning("bells are silent for a moment: %s", type(error).__name__)
                time.sleep(REST_AFTER_FAILURE)

    def _ring_all(self, loop: asyncio.AbstractEventLoop, bells: set[tuple[str, str]]) -> None:
        layer = get_channel_layer()
        for kind, name in sorted(bells):
            if kind == "live" and layer is not None:
                message = {"type": "bell", "organization": name}
                loop.run_until_complete(asyncio.wait_for(layer.group_send(LIVE_GROUP, message), 2))
            elif kind == "about":
                task, _, pk = name.partition(" ")
                current_app.send_task(task, args=[pk], ignore_result=True, retry=False)
            elif kind == "work":
                current_app.send_task(name, ignore_result=True, retry=False)


_ringer: _Ringer | None = None


def _ring(kind: str, name: str) -> None:
    global _ringer
    if _ringer is None or _ringer.pid != os.getpid():  # a thread does not survive a fork
        _ringer = _Ringer()
    _ringer.ring(kind, name)


def ring_pages(organization_id: object) -> None:
    """Tell open pages of the organization to look at the ledger, once the transaction is committed."""
    transaction.on_commit(lambda: _ring("live", str(organization_id)))


def wake_workers(task: str) -> None:
    """Start a drain task soon, once the transaction is committed. Harmless when it runs for nothing."""
    transaction.on_commit(lambda: _ring("work", task))


def wake_worker_for(task: str, pk: object) -> None:
    """Start a task about one row, where it is no harm when nobody hears it: no row waits for it."""
    transaction.on_commit(lambda: _ring("about", f"{task} {pk}"))
