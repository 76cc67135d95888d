"""Senders that die and fall asleep at every point of sending, before a provider that misbehaves.

What may happen: a message ends as unknown or failed, and the desk says so. What may not: one that the
provider took twice, one that nobody knows of, one that overtook an earlier one of its conversation.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils import timezone

from bench import seeds
from bench.kit import ROOT, Gate, Report, Size, database_url
from channels_hub.contract import Delivery as Told
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from conversations import outbox, receipts
from conversations.failpoints import POINTS
from conversations.invariants import findings
from conversations.models import Conversation, Delivery, Message
from conversations.moves import database_now, writing

SENDERS, TALKS = 6, 30
AHEAD = 40  # messages that wait while the storm goes on
LEASE, HOLDS, ASLEEP = 0.8, 0.3, 1.6  # seconds; who sleeps wakes after the lease
CALM = 180.0  # seconds at most until all is settled after the storm
WEATHER = (
    *["ok"] * 8, "drop_before", "drop_after", "half", "503", "500", "delay:0.2", "delay:1.2",
    {"status": 429, "retry_after": 0.2},
)  # fmt: skip
WAITING = ("pending", "retrying", "processing")


@dataclass
class Outcome:
    """What happened. `problems` is empty when every promise held."""

    seed: int
    seconds: float = 0.0
    kills: Counter[str] = field(default_factory=Counter)  # by fail point
    stops: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    taken: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    resolved: int = 0  # unknown ones that the provider's report settled
    problems: list[str] = field(default_factory=list)


def run(size: Size) -> Report:
    """The long form of `manage.py chaos`."""
    outcome = sending(kills=size.of(300, 6), stops=size.of(300, 6))
    report = Report("chaos", ("what", "how many"), figures={"seed": outcome.seed})
    report.rows = [
        ["seconds", outcome.seconds],
        ["messages", outcome.messages],
        ["taken by the provider", outcome.taken],
        *([f"killed: {point}", n] for point, n in sorted(outcome.kills.items())),
        *([f"stopped: {point}", n] for point, n in sorted(outcome.stops.items())),
        *([f"ended as {status}", n] for status, n in outcome.statuses.most_common()),
        ["unknown ones settled by a late report", outcome.resolved],
    ]
    report.gates = [Gate("I-18, I-19: what broke", len(outcome.problems), 0, at_most=True)]
    for problem in outcome.problems[:10]:
        print(f"seed {outcome.seed}: {problem}")
    return report


def sending(*, kills: int, stops: int, seed: int | None = None) -> Outcome:
    """Storm until so many senders were killed and stopped, spread over all fail points; then calm."""
    outcome = Outcome(seed if seed is not None else secrets.randbelow(10**6))
    rng, began = random.Random(outcome.seed), time.monotonic()
    seeds.clean()
    with seeds.desk(slug="chaos") as place, FakeProvider(callbacks=Callbacks(statuses=())) as fake:
        _point(place.channel, fake)
        talks = _talks(place)
        fake.script([rng.choice(WEATHER) for _n in range(100_000)])
        with _storm(fake, outcome, rng, kills, stops) as storm:
            while not storm.is_over.wait(0.05):
                _keep_busy(talks, outcome)
            fake.script([])
            storm.calm()
            _wait_until_settled(outcome)
        _judge(fake, place.channel, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


def _point(channel: ChannelAccount, fake: FakeProvider) -> None:
    channel.config = {**channel.config, "api_base": fake.url}
    channel.save(update_fields=["config"])


def _talks(place: seeds.Desk) -> list[Conversation]:
    ids = seeds.newcomers(place, TALKS)
    return list(Conversation.objects.filter(pk__in=ids).select_related("channel"))


def _keep_busy(talks: list[Conversation], outcome: Outcome) -> None:
    missing = AHEAD - Delivery.objects.filter(status__in=WAITING).count()
    for _n in range(max(0, missing)):
        talk = talks[outcome.messages % len(talks)]
        with writing(talk.pk, cause="chaos") as conversation:
            draft = outbox.Draft(
                text=f"{talk.pk}:{outcome.messages:06d}", sender="system", origin="api",
                priority=outcome.messages % 3, max_retries=20, retry_delay=0.05,
            )  # fmt: skip
            outbox.say(conversation, draft, now=database_now())
        outcome.messages += 1


# ---------------------------------------------------------------- the storm
class _Storm:
    """Six senders; each new one gets the next fail point and the next way to fail."""

    def __init__(
        self, fake: FakeProvider, outcome: Outcome, rng: random.Random, kills: int, stops: int
    ) -> None:
        self.outcome, self.rng, self.wanted = outcome, rng, (kills, stops)
        self.address = fake.url.removeprefix("http://")
        self.fates = itertools.cycle(itertools.product(POINTS, ("KILL", "STOP")))
        self.senders: dict[int, tuple[subprocess.Popen[bytes], str, str]] = {}
        self.asleep: dict[int, float] = {}
        self.is_over = threading.Event()
        self.watcher = threading.Thread(target=self._watch, name="storm")

    def _watch(self) -> None:
        """In a thread without a database: who sleeps may hold a lock that the feeder waits for."""
        while not self.is_over.is_set():
            if not self._goes_on():
                self.is_over.set()
            time.sleep(0.02)

    def _goes_on(self) -> bool:
        """Look after the senders; whether there is more to come."""
        for pid, (child, point, how) in list(self.senders.items()):
            if child.poll() is not None:
                self.outcome.kills[point] += 1
                del self.senders[pid]
            elif pid not in self.asleep and how == "STOP" and _is_stopped(pid):
                self.outcome.stops[point] += 1
                self.asleep[pid] = time.monotonic() + ASLEEP
            elif pid in self.asleep and time.monotonic() > self.asleep[pid]:
                del self.asleep[pid]
                os.kill(pid, signal.SIGCONT)
        while len(self.senders) < SENDERS:
            self._start(*self._fate())
        kills, stops = self.wanted
        return self.outcome.kills.total() < kills or self.outcome.stops.total() < stops

    def _fate(self) -> tuple[str, str]:
        """The next point, with a way to fail that there was not enough of yet."""
        kills, stops = self.wanted
        more = {"KILL": self.outcome.kills.total() < kills, "STOP": self.outcome.stops.total() < stops}
        return next((point, how) for point, how in self.fates if more[how] or not any(more.values()))

    def _start(self, point: str, how: str) -> None:
        own = {
            "PYTAKE_FAIL_POINT": f"{point}:{how}" if point else "",
            "PYTAKE_SENDING_LEASE_SECONDS": str(LEASE),
            "PYTAKE_UNKNOWN_HOLDS_SECONDS": str(HOLDS),
            "PYTAKE_ALLOW_PRIVATE_HOSTS": self.address,
            "PYTAKE_SENDER_THREADS": "3",
            "PYTAKE_TESTING": "1",
            "DATABASE_URL": database_url(),
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.sender"],
            cwd=ROOT, env={**os.environ, **own}, start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.senders[child.pid] = (child, point, how)

    def calm(self) -> None:
        """The stormy ones go, two that never fail come."""
        self.stop()
        self.asleep.clear()
        for _n in range(2):
            self._start("", "")

    def stop(self) -> None:
        self.is_over.set()
        self.watcher.join()
        for pid, (child, _point, _how) in self.senders.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            child.wait(10)
        self.senders.clear()


@contextmanager
def _storm(
    fake: FakeProvider, outcome: Outcome, rng: random.Random, kills: int, stops: int
) -> Iterator[_Storm]:
    storm = _Storm(fake, outcome, rng, kills, stops)
    storm.watcher.start()
    try:
        yield storm
    finally:
        storm.stop()


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


# ---------------------------------------------------------------- the judge
def _wait_until_settled(outcome: Outcome) -> None:
    end = time.monotonic() + CALM
    while Delivery.objects.filter(status__in=WAITING).exists():
        if time.monotonic() > end:
            outcome.problems.append(f"not settled: {_count(WAITING)} still wait")
            return
        time.sleep(0.2)


def _count(statuses: Any) -> int:
    return Delivery.objects.filter(status__in=statuses).count()


def _judge(fake: FakeProvider, channel: ChannelAccount, outcome: Outcome) -> None:
    taken = [request for request in fake.requests() if request["taken"]]
    outcome.taken = len(taken)
    twice = [body for body, n in Counter(request["body"] for request in taken).items() if n > 1]
    outcome.problems += [f"taken twice: {body}" for body in twice]
    outcome.resolved = _report_back(taken, channel)
    outcome.statuses = Counter(Message.objects.filter(direction="out").values_list("status", flat=True))
    handed = {request["body"] for request in taken}
    for text, status in Message.objects.filter(direction="out").values_list("text", "status"):
        if text in handed and status not in ("queued", "sent", "delivered"):
            outcome.problems.append(f"the provider has {text}, the desk says {status}")
        if text not in handed and status not in ("unknown", "failed", "expired"):
            outcome.problems.append(f"the provider never had {text}, the desk says {status}")
    outcome.problems += _overtaken(taken)
    outcome.problems += [f"invariant {found.invariant.name}: {found.count}" for found in findings()]


def _report_back(taken: list[dict[str, Any]], channel: ChannelAccount) -> int:
    """The provider's callbacks come late: each carries our reference."""
    before = _count(["unknown"])
    for request in taken:
        told = Told("SM" + request["ref"].replace("-", ""), State.SENT, timezone.now(), request["ref"])
        receipts.apply_report(channel, told)
    return before - _count(["unknown"])


def _overtaken(taken: list[dict[str, Any]]) -> list[str]:
    last: dict[str, str] = {}
    found = []
    for request in sorted(taken, key=lambda one: one["at"]):
        talk, _colon, number = request["body"].partition(":")
        if number < last.get(talk, ""):
            found.append(f"{talk}: {number} came after {last[talk]}")
        last[talk] = max(number, last.get(talk, ""))
    return found
