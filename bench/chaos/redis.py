"""Redis killed, silent, emptied and paused while a whole desk works: real processes, real HTTP, signed calls.

What may happen: pages live by polling, work starts a moment later. What may not: a webhook or page that waits
for Redis, a message lost, doubled or faster than the channel's rate, threads that pile up, pushes that stay
away when Redis is back.
"""

from __future__ import annotations

import math
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from django.conf import settings

from bench import seeds
from bench.chaos import desk, kit
from bench.kit import Gate, Report, Size, free_port, percentile
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from conversations.bells import LIVE_GROUP
from conversations.models import Delivery, Message, Pace
from pytake import embedded

RATE = 10.0  # messages a second that the channel may send
BACK = 30.0  # seconds at most until a page is pushed to again
CALM = 240.0  # seconds at most until everything is settled
LIMITS = (  # what, which share of the calls, milliseconds at most
    ("webhooks", 0.5, 250),
    ("webhooks", 0.99, 1000),
    ("pages", 0.99, 3000),
    ("frames that show what came in", 0.5, 5000),
)
SLOWER = 3
MORE_THREADS = 12  # of one process, beyond what it had with Redis there, or has while it sends
COLUMNS = (
    "Redis is", "seconds", "webhooks", "p50 ms", "p99 ms", "pages p99 ms", "on a page p50 ms",
    "sent a second", "pushes back after s",
)  # fmt: skip


class Broker(embedded.Redis):
    """One that listens to TCP and remembers nothing, to be broken."""

    def __init__(self, home: Path, away: float) -> None:
        super().__init__(home, throwaway=True)
        self.away = away  # seconds, each time
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        return [*super()._command(), "--port", str(self.port), "--bind", "127.0.0.1"]

    @property
    def pid(self) -> int | None:
        """The child's own number: listening to TCP, Redis calls itself by its port and not by its socket."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def hit(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def pushes_to(self) -> int:
        """How many processes with open pages listen to it."""
        try:
            with self.client() as client:
                return int(client.pubsub_numsub(f"asgi__group__{LIVE_GROUP}")[0][1])
        except redis.RedisError:
            return 0


# ---------------------------------------------------------------- the ways
@contextmanager
def killed(broker: Broker) -> Iterator[None]:
    """kill -9: connections are refused; it comes back empty."""
    broker.hit(signal.SIGKILL)
    yield
    broker.start()


@contextmanager
def silent(broker: Broker) -> Iterator[None]:
    """A black hole: the kernel still takes connections, nobody ever answers."""
    broker.hit(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.hit(signal.SIGCONT)


@contextmanager
def emptied(broker: Broker) -> Iterator[None]:
    """FLUSHALL: every hint and counter is gone."""
    with broker.client() as client:
        client.flushall()
    yield


@contextmanager
def paused(broker: Broker) -> Iterator[None]:
    """CLIENT PAUSE: it is there and lets everybody wait, who would end the pause included."""
    with broker.client() as client:
        client.client_pause(round(broker.away * 1000))
    yield


WAYS: Sequence[Callable[[Broker], AbstractContextManager[None]]] = (killed, silent, emptied, paused)


# ---------------------------------------------------------------- the run
@dataclass
class Stretch:
    """Some time with Redis there, or without, and what the desk did in it."""

    name: str
    began: float = 0.0
    ended: float = 0.0
    threads: dict[str, int] = field(default_factory=dict)  # the most of each process
    back_after: float = 0.0  # seconds until a page was pushed to again

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def has(self, at: float) -> bool:
        return self.began <= at < self.ended


@dataclass
class Outcome:
    """What happened. `problems` is empty when every promise held."""

    stretches: list[Stretch] = field(default_factory=list)
    webhooks: Sequence[desk.Call] = ()
    pages: Sequence[desk.Call] = ()
    shown: Sequence[desk.Call] = ()
    sent_at: Sequence[float] = ()
    fullest: int = 0
    missed: int = 0  # messages that no webhook told and the platform's list did
    problems: list[str] = field(default_factory=list)


def run(size: Size) -> Report:
    outcome = redis_away(seconds=max(2.0, 60 * size.scale))
    report = Report("chaos.redis", COLUMNS, figures={"rate": RATE, "problems": outcome.problems})
    for one in outcome.stretches:
        calls, _calls, pages, shown = _times(outcome, one)
        report.rows.append([
            one.name, one.seconds, len(calls), percentile(calls, 0.5), percentile(calls, 0.99),
            percentile(pages, 0.99), percentile(shown, 0.5), _per_second(outcome, one), one.back_after,
        ])  # fmt: skip
    report.gates = [
        Gate("I-31: what broke", len(outcome.problems), 0, at_most=True),
        Gate("I-22: calls in the fullest second", outcome.fullest, RATE, at_most=True),
        Gate("I-24: messages that only the platform's list told", outcome.missed, 1),
    ]
    for problem in outcome.problems[:10]:
        print(problem)
    return report


def redis_away(*, seconds: float) -> Outcome:
    """Each way for so long, with as much calm before the first."""
    outcome = Outcome()
    seeds.clean()
    with ExitStack() as stack:
        broker = stack.enter_context(_broker(seconds))
        fake = stack.enter_context(FakeProvider(callbacks=Callbacks(statuses=("delivered",))))
        place = stack.enter_context(seeds.desk(slug="redis"))
        Pace.objects.all().delete()
        kit.lead_to(fake, place.channel, rate=RATE)
        processes = stack.enter_context(desk.processes(broker.url, fake))
        with desk.at_work(place, fake, processes.url) as work:
            _wait_for_pushes(broker, outcome)
            _stretch("there", seconds, outcome, processes)
            for way in WAYS:
                with way(broker):
                    _stretch(way.__name__, seconds, outcome, processes)
                outcome.stretches[-1].back_after = _wait_for_pushes(broker, outcome)
        _calm_down(work, outcome)
        outcome.problems += processes.ended()
        _judge(work, fake, outcome)
    return outcome


@contextmanager
def _broker(away: float) -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="pytake-redis-") as home:
        broker = Broker(Path(home), away)
        broker.start()
        try:
            yield broker
        finally:
            broker.stop()


def _stretch(name: str, seconds: float, outcome: Outcome, processes: desk.Processes) -> None:
    one = Stretch(name, time.time())
    outcome.stretches.append(one)
    while time.time() < one.began + seconds:
        for process, threads in processes.threads().items():
            one.threads[process] = max(threads, one.threads.get(process, 0))
        time.sleep(0.2)
    one.ended = time.time()


def _wait_for_pushes(broker: Broker, outcome: Outcome) -> float:
    began = time.monotonic()
    if not kit.wait_until(lambda: broker.pushes_to() > 0, BACK):
        outcome.problems.append(f"no page is pushed to {BACK:g} s after Redis was back")
    return time.monotonic() - began


def _calm_down(work: desk.Work, outcome: Outcome) -> None:
    """No more load: what waits goes out, what no webhook told is found by the reconciler."""
    Pace.objects.update(next_look_at=None)
    expected = len(work.written)
    arrived = Message.objects.filter(direction="in", provider_id__in=work.written)
    # Steady, for what comes in last is answered by a notice a moment later.
    if not kit.wait_until(lambda: arrived.count() >= expected and not kit.waiting(), CALM, steady=5):
        outcome.problems.append(f"not settled: {arrived.count()} of {expected} in, {kit.waiting()} wait")


# ---------------------------------------------------------------- the judge
def _judge(work: desk.Work, fake: FakeProvider, outcome: Outcome) -> None:
    handed = kit.taken(fake)
    outcome.webhooks, outcome.pages, outcome.shown = work.webhooks, work.pages, work.shown
    outcome.missed = len(work.untold)
    outcome.sent_at = [one["at"] for one in fake.requests()]
    outcome.fullest = kit.fullest_second(outcome.sent_at)
    outcome.problems += [
        *work.problems,
        *kit.judge(handed),
        *_inbound(work),
        *(one for stretch in outcome.stretches for one in _slow(outcome, stretch)),
        *_piled_up(outcome.stretches),
    ]
    if outcome.fullest > RATE:
        outcome.problems.append(f"{outcome.fullest} calls within a second, {RATE:g} were allowed")


def _inbound(work: desk.Work) -> Iterator[str]:
    """Everything that a customer wrote is a message, once."""
    stored = list(
        Message.objects.filter(direction="in", provider_id__gt="").values_list("provider_id", flat=True)
    )
    if lost := set(work.written) - set(stored):
        yield f"lost: {len(lost)} of {len(work.written)} that customers wrote"
    if len(stored) > len(set(stored)):
        yield f"taken in twice: {len(stored) - len(set(stored))}"
    if unsent := Delivery.objects.exclude(status__in=("queued", "sent", "delivered")).count():
        yield f"{unsent} not sent or unconfirmed although the provider always answered"


def _slow(outcome: Outcome, one: Stretch) -> Iterator[str]:
    """I-07, or on a busy machine not much slower than with Redis there. Sending at half its speed or more."""
    usual = _times(outcome, outcome.stretches[0])
    for (what, share, most), times, normal in zip(LIMITS, _times(outcome, one), usual, strict=True):
        took = percentile(times, share)
        if took > max(most, SLOWER * percentile(normal, share)):
            yield f"{one.name}: {what} took {took:.0f} ms (share {share:g}), {most} is the most"
    before, now = _per_second(outcome, outcome.stretches[0]), _per_second(outcome, one)
    if now < before / 2:
        yield f"{one.name}: {now:.1f} sent a second, {before:.1f} before"


def _piled_up(stretches: Sequence[Stretch]) -> Iterator[str]:
    sending = 1 + settings.PYTAKE_SENDER_THREADS  # the calm may be over before a process has its first turn
    usual = {name: max(threads, sending) for name, threads in stretches[0].threads.items()}
    for one in stretches[1:]:
        for process, threads in one.threads.items():
            if threads > usual.get(process, sending) + MORE_THREADS:
                yield f"{one.name}: {threads} threads of the {process}, {usual.get(process)} are usual"


def _times(outcome: Outcome, one: Stretch) -> list[list[float]]:
    """Milliseconds of webhooks, webhooks again, pages and frames; infinite where nothing was answered."""
    return [
        [call.seconds * 1000 for call in calls if one.has(call.at)] or [math.inf]
        for calls in (outcome.webhooks, outcome.webhooks, outcome.pages, outcome.shown)
    ]


def _per_second(outcome: Outcome, one: Stretch) -> float:
    return sum(one.has(at) for at in outcome.sent_at) / one.seconds
