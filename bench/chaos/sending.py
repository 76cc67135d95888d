"""Senders that die and fall asleep at every point of sending, before a provider that misbehaves.

What may happen: a message ends as unknown or failed, and the desk says so. What may not: one that the
provider took twice, one that nobody knows of, one that overtook an earlier one of its conversation.
"""

from __future__ import annotations

import itertools
import json
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
from bench.chaos import kit
from bench.kit import ROOT, Gate, Report, Size, database_url
from channels_hub.contract import Delivery as Told
from channels_hub.contract import State
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from conversations import outbox, receipts
from conversations.failpoints import POINTS
from conversations.models import Conversation, Delivery, Message
from conversations.moves import database_now, writing

SENDERS, TALKS = 6, 30
EACH = 30  # messages to one person, then others: WhatsApp takes 45 calls at once, tries again included
AHEAD = 40  # messages that wait while the storm goes on
LEASE, HOLDS, ASLEEP = 0.8, 0.3, 1.6  # seconds; who sleeps wakes after the lease
NAPS = 2  # so often a sender sleeps; the next time it is killed instead of woken
CALM = 180.0  # seconds at most until all is settled after the storm
LONGEST = 6.0  # seconds for each kill and stop, until the storm is given up
WEATHER = (
    *["ok"] * 8, "drop_before", "drop_after", "half", "503", "500", "delay:0.2", "delay:1.2",
    {"status": 429, "retry_after": 0.2},
)  # fmt: skip


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
    outcome = storm(kills=size.of(300, 6), stops=size.of(300, 6))
    figures = {"seed": outcome.seed, "problems": outcome.problems}
    report = Report("chaos.sending", ("what", "how many"), figures=figures)
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


def storm(*, kills: int, stops: int, seed: int | None = None) -> Outcome:
    """Until so many senders were killed and stopped, spread over all fail points; then calm."""
    outcome = Outcome(seed if seed is not None else secrets.randbelow(10**6))
    rng, began = random.Random(outcome.seed), time.monotonic()
    seeds.clean()
    with seeds.desk(slug="chaos") as place, FakeProvider(callbacks=Callbacks(statuses=())) as fake:
        kit.lead_to(fake, place.channel)
        writer = _Writer(place, outcome)
        fake.script([rng.choice(WEATHER) for _n in range(100_000)])
        with _senders(fake, outcome, kills, stops) as senders:
            while not senders.is_over.wait(0.05):
                writer.keep_busy()
            fake.script([])
            senders.calm()
            if not kit.wait_until(lambda: not kit.waiting(), CALM):
                outcome.problems.append(f"not settled: {kit.waiting()} still wait")
        _judge(fake, place.channel, outcome)
    outcome.seconds = time.monotonic() - began
    return outcome


class _Writer:
    """Sees to it that there is always something to send, in turn to thirty people, now and then to others."""

    def __init__(self, place: seeds.Desk, outcome: Outcome) -> None:
        self.place, self.outcome = place, outcome
        self.talks: list[Conversation] = []

    def keep_busy(self) -> None:
        for _n in range(AHEAD - kit.waiting()):
            number = self.outcome.messages
            if number % (TALKS * EACH) == 0:
                ids = seeds.newcomers(self.place, TALKS)
                self.talks = list(Conversation.objects.filter(pk__in=ids))
            self._write(self.talks[number % TALKS], number)
            self.outcome.messages += 1

    def _write(self, talk: Conversation, number: int) -> None:
        with writing(talk.pk, cause="chaos") as conversation:
            draft = outbox.Draft(
                text=f"{talk.pk}:{number:06d}", sender="system", origin="api",
                priority=number % 3, max_retries=20, retry_delay=0.05,
            )  # fmt: skip
            outbox.say(conversation, draft, now=database_now())


# ---------------------------------------------------------------- the senders
@dataclass
class _Sender:
    """A process with its fail point, and how it fails there."""

    pid: int
    point: str
    how: str
    naps: int = 0
    wakes: float = 0.0  # when it sleeps: until then

    def is_stopped(self) -> bool:
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False


class _Brood:
    """Loaded once, it forks the senders: a start would cost more than all that is looked at here."""

    def __init__(self, fake: FakeProvider) -> None:
        own = {
            "PYTAKE_SENDING_LEASE_SECONDS": str(LEASE),
            "PYTAKE_UNKNOWN_HOLDS_SECONDS": str(HOLDS),
            "PYTAKE_ALLOW_PRIVATE_HOSTS": fake.url.removeprefix("http://"),
            "PYTAKE_SENDER_THREADS": "3",
            "PYTAKE_LOG_LEVEL": "ERROR",
            "PYTAKE_TESTING": "1",
            "DATABASE_URL": database_url(),
        }
        self.child = subprocess.Popen(
            [sys.executable, "-m", "bench.sender", "brood"], cwd=ROOT, env={**os.environ, **own},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def ask(self, order: str) -> Any:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(f"{order}\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def end(self) -> None:
        """Its forks end with it."""
        with self.child:
            self.child.kill()


class _Senders:
    """Always six; each new one gets the next fail point and the next way to fail."""

    def __init__(self, fake: FakeProvider, outcome: Outcome, kills: int, stops: int) -> None:
        self.outcome, self.wanted = outcome, (kills, stops)
        self.brood = _Brood(fake)
        self.fates = itertools.cycle(itertools.product(("KILL", "STOP"), POINTS))
        self.at_work: dict[int, _Sender] = {}
        self.until = time.monotonic() + 60 + LONGEST * (kills + stops)
        self.is_over = threading.Event()
        self.watcher = threading.Thread(target=self._watch, name="storm")

    def _watch(self) -> None:
        """In a thread without a database: who sleeps may hold a lock that the writer waits for."""
        try:
            while not self.is_over.is_set() and not self._has_enough():
                self._look_around()
                time.sleep(0.02)
        finally:
            self.is_over.set()

    def _look_around(self) -> None:
        while len(self.at_work) < SENDERS:
            how, point = next(self.fates)
            self._start(point, how)
        for pid, code in self.brood.ask("ended"):
            self._count(self.at_work.pop(pid), code)
        for sender in self.at_work.values():
            self._look_after(sender)

    def _count(self, sender: _Sender, code: int) -> None:
        if code == -signal.SIGKILL:
            self.outcome.kills[sender.point] += 1
        else:
            self.outcome.problems.append(f"a sender ended by itself: {code}")

    def _look_after(self, sender: _Sender) -> None:
        now = time.monotonic()
        if sender.wakes and now > sender.wakes:
            sender.wakes = 0.0
            os.kill(sender.pid, signal.SIGCONT)
        elif not sender.wakes and sender.how == "STOP" and sender.is_stopped():
            self._put_to_rest(sender, now)

    def _put_to_rest(self, sender: _Sender, now: float) -> None:
        """It fell asleep: it wakes when its lease is over, or never."""
        if sender.naps == NAPS:
            os.kill(sender.pid, signal.SIGKILL)
            return
        sender.naps += 1
        sender.wakes = now + ASLEEP
        self.outcome.stops[sender.point] += 1

    def _has_enough(self) -> bool:
        kills, stops = self.wanted
        if time.monotonic() > self.until:
            self.outcome.problems.append("the storm took too long and was given up")
            return True
        return self.outcome.kills.total() >= kills and self.outcome.stops.total() >= stops

    def _start(self, point: str, how: str) -> None:
        pid = self.brood.ask(f"{point}:{how}" if point else "")
        self.at_work[pid] = _Sender(pid, point, how)

    def calm(self) -> None:
        """The stormy ones go, two that never fail come."""
        self.watcher.join()
        for pid in self.at_work:
            os.kill(pid, signal.SIGKILL)
        for _n in range(2):
            self._start("", "")

    def stop(self) -> None:
        self.is_over.set()
        self.watcher.join()
        self.brood.end()


@contextmanager
def _senders(fake: FakeProvider, outcome: Outcome, kills: int, stops: int) -> Iterator[_Senders]:
    senders = _Senders(fake, outcome, kills, stops)
    senders.watcher.start()
    try:
        yield senders
    finally:
        senders.stop()


# ---------------------------------------------------------------- the judge
def _judge(fake: FakeProvider, channel: ChannelAccount, outcome: Outcome) -> None:
    handed = kit.taken(fake)
    outcome.taken = len(handed)
    outcome.resolved = _report_back(handed, channel)
    outcome.statuses = Counter(Message.objects.filter(direction="out").values_list("status", flat=True))
    outcome.problems += kit.judge(handed)


def _report_back(handed: kit.Requests, channel: ChannelAccount) -> int:
    """The provider's callbacks come late: each carries our reference."""
    unknown = Delivery.objects.filter(status="unknown")
    before = unknown.count()
    for request in handed:
        told = Told("SM" + request["ref"].replace("-", ""), State.SENT, timezone.now(), request["ref"])
        receipts.apply_report(channel, told)
    return before - unknown.count()
