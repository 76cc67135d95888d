"""Finds due work in PostgreSQL, so that everything goes on when Redis or a hint is lost."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import OperationalError, close_old_connections

from conversations import (
    attendance,
    clockwork,
    hook_calls,
    intake,
    laters,
    overflows,
    reconcile,
    repair,
    router,
    sending,
    settling,
    sla,
)

logger = logging.getLogger(__name__)

APPLICATION = "pytake poller"  # as PostgreSQL lists it; the doctor looks there

# What runs how often, in seconds. The bot's pause is timed here, hence the short step.
ROUNDS: tuple[tuple[float, Callable[[], object]], ...] = (
    (0.2, clockwork.drain_deadlines),
    (0.3, router.drain),
    (0.5, intake.drain),
    (0.5, lambda: sending.drain(patient=True)),
    (1.0, intake.fetch_media),
    (1.0, laters.release_due),
    (1.0, hook_calls.drain),
    (5.0, settling.expire_leases),
    (5.0, reconcile.look_up_due),
    (10.0, reconcile.fetch_missed),
    (10.0, router.sweep),
    (10.0, attendance.sweep),
    (10.0, sla.review),
    (60.0, overflows.sweep),
    (60.0, repair.sweep),
)


class Command(BaseCommand):
    help = "Find due work in the database: deadlines, raw inbox, outbox, media. Runs until stopped."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        os.environ["PGAPPNAME"] = APPLICATION  # of every connection that its threads open
        stop = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
        threads = [threading.Thread(target=_repeat, args=(every, job, stop)) for every, job in ROUNDS]
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join()


def _repeat(every: float, job: Callable[[], object], stop: threading.Event) -> None:
    """One job in its own thread: a slow provider must not delay the bot's clock."""
    while not stop.wait(every):
        try:
            close_old_connections()
            job()
        except OperationalError as error:
            logger.warning("database away, waiting: %s", type(error).__name__)
            stop.wait(2)
        except Exception:
            logger.exception("a round of the poller failed")
            stop.wait(2)
