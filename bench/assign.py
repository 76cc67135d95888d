"""From an agent's "close" to the next conversation on the same agent's screen, with and without Redis.

Server, worker and poller are real processes; the agent's page is a socket of the inbox. Beside it, how many
conversations a second the router gives away when many wait and many are free.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from websockets.asyncio.client import connect

from accounts import tokens
from accounts.models import Membership
from bench import seeds
from bench.kit import LOOPBACK, Gate, Report, Size, free_port, median, percentile, running
from bench.live import WORKER, session_of
from bench.pull import Act, crowd
from conversations import frames, router
from conversations.invariants import findings
from conversations.models import Conversation, State
from queues.models import AgentProfile, Queue

PAGES, CLOSES = 8, 120
AGENTS, PLACES = 40, 10  # of the router's round
ROUTERS = (1, 4)
PATIENCE = 15.0  # seconds
WARMING, QUICK = 60, 3000.0  # closes at most; milliseconds
COLUMNS = ("from the close to", "how often", "p50 ms", "p95 ms", "worst ms")
TOLD = {True: "with Redis", False: "without Redis"}


@dataclass
class Page:
    """An agent's inbox on a socket: what it showed last, and when."""

    agent: Membership
    token: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    left: str = ""  # the conversation just closed
    shown: float = 0.0

    def hear(self, frame: str) -> None:
        now = time.monotonic()
        for op in json.loads(frame).get("ops", ()):
            placed = op["op"] in ("top", "upsert") and op["target"].startswith("row-")
            if placed and self.left and op["target"] != f"row-{self.left}":
                self.shown, self.left = now, ""
                self.news.set()


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds from the call to its answer, and to the next one on the screen."""

    answered: float
    shown: float | None


def run(size: Size) -> Report:
    seen: dict[bool, Sequence[Seen]] = {}
    with seeds.desk(agents=AGENTS, slug="assign") as place:
        routed = {"auto_assign_conversations": True, "routing_mode": "load_balance"}
        Queue.objects.filter(pk=place.queue.pk).update(**routed)
        for with_redis in (True, False):
            _open(place, agents=PAGES, places=1, waiting=size.of(CLOSES, 8) + PAGES + WARMING)
            with _processes(with_redis=with_redis) as port:
                seen[with_redis] = asyncio.run(_day(port, place, size.of(CLOSES, 8)))
        rates = {n: median([_routed(place, size, n) for _ in range(size.rounds)]) for n in ROUTERS}
        broken = [finding.invariant.name for finding in findings()]
    return _report(seen, rates, broken)


def _open(place: seeds.Desk, *, agents: int, places: int, waiting: int) -> None:
    """So many agents are there, nobody has anything, so many wait."""
    seeds.clean()
    AgentProfile.objects.update(presence="offline", is_automatic=False, capacity=places)
    AgentProfile.objects.filter(member__in=place.agents[:agents]).update(presence="online")
    seeds.waiting_line(place, waiting)


@contextmanager
def _processes(*, with_redis: bool) -> Iterator[int]:
    """Server and poller, and a worker when there is a broker; else everybody finds nothing at its address."""
    port, more = int(os.environ["PORT"]), {}
    if not with_redis:
        more = {"REDIS_URL": f"redis://{LOOPBACK}:{free_port()}/0"}
    with ExitStack() as stack:
        if with_redis:
            quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
            stack.enter_context(running(*WORKER, *quiet))
        stack.enter_context(running("-m", "django", "poller", **more))
        server = ("-m", "bench.server", "pytake.asgi:application", str(port))
        stack.enter_context(running(*server, port=port, **more))
        yield port


# ---------------------------------------------------------------- at the screen
async def _day(port: int, place: seeds.Desk, closes: int) -> list[Seen]:
    """Every page closes what it has, one after the other."""
    await sync_to_async(router.sweep)()
    pages = [
        Page(agent, (await sync_to_async(tokens.open_family)(agent)).access) for agent in place.agents[:PAGES]
    ]
    listeners = [asyncio.create_task(_listen(port, page)) for page in pages]
    turns = itertools.cycle(pages)
    await _warm_up(port, turns)
    seen = [await _close(port, next(turns)) for _ in range(closes)]
    for listener in listeners:
        listener.cancel()
    return seen


async def _warm_up(port: int, turns: Iterator[Page]) -> None:
    """Until all processes have come up: every page once, and the last few closes came through quickly."""
    quick = 0
    for n in range(WARMING):
        seen = await _close(port, next(turns))
        quick = quick + 1 if seen.shown is not None and seen.shown < QUICK else 0
        if n >= PAGES and quick >= 4:
            return
    raise RuntimeError("the next conversation does not come to the screen")


async def _listen(port: int, page: Page) -> None:
    cookie = await sync_to_async(session_of)(page.agent)
    cursor = await sync_to_async(frames.current_cursor)()
    url = f"ws://{LOOPBACK}:{port}/ws/inbox/?tab=mine&since={cursor}"
    origin: Any = f"http://{LOOPBACK}:{port}"
    async with connect(url, origin=origin, additional_headers={"Cookie": cookie}, max_size=None) as socket:
        async for frame in socket:
            page.hear(str(frame))


async def _close(port: int, page: Page) -> Seen:
    mine = await sync_to_async(_in_hand)(page.agent)
    page.left, page.shown = str(mine), 0.0
    page.news.clear()
    called = time.monotonic()
    status = await _post(port, f"/api/v1/conversations/{mine}/close", page.token)
    answered = time.monotonic()
    if status >= 300:
        raise RuntimeError(f"closing was answered with {status}")
    try:
        await asyncio.wait_for(page.news.wait(), PATIENCE)
    except TimeoutError:
        return Seen((answered - called) * 1000, None)
    return Seen((answered - called) * 1000, (page.shown - called) * 1000)


def _in_hand(agent: Membership) -> UUID:
    rows = Conversation.objects.filter(assigned_agent=agent, state=State.HUMAN_HANDOFF)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := rows.first():
            return found.pk
        time.sleep(0.05)
    raise RuntimeError("the router gave nothing")


async def _post(port: int, path: str, token: str) -> int:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nAuthorization: Bearer {token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    return int(answer.split()[1])


# ---------------------------------------------------------------- the router alone
def _routed(place: seeds.Desk, size: Size, routers: int) -> float:
    """Conversations given per second by so many routers at once, until everybody is full."""
    places = size.of(PLACES, 1)
    _open(place, agents=AGENTS, places=places, waiting=2 * AGENTS * places)
    shifts = crowd(place, routers, 1, lambda n: Act(lambda turn: _give_all()))
    given = Conversation.objects.filter(state=State.HUMAN_HANDOFF).count()
    if given != AGENTS * places:
        raise RuntimeError(f"{given} of {AGENTS * places} places were filled")
    return given / (max(s.ended for s in shifts) - min(s.started for s in shifts))


def _give_all() -> int:
    given = 0
    while more := router.sweep():
        given += more
    return given


# ---------------------------------------------------------------- the table
def _report(seen: dict[bool, Sequence[Seen]], rates: dict[int, float], broken: list[str]) -> Report:
    figures = {f"assignments per second, {n} routers": rate for n, rate in rates.items()}
    report = Report("assign", COLUMNS, figures={**figures, "broken": broken})
    for with_redis, found in seen.items():
        for name, values in (
            ("answer", [one.answered for one in found]),
            ("next one on the screen", [one.shown for one in found if one.shown is not None]),
        ):
            if values:
                at = [percentile(values, 0.5), percentile(values, 0.95), max(values)]
                report.rows.append([f"{name}, {TOLD[with_redis]}", len(values), *at])
        missing = sum(one.shown is None for one in found)
        p95 = percentile([one.shown or 1e9 for one in found], 0.95)
        report.gates += [
            Gate(f"next ones that no frame showed, {TOLD[with_redis]}", missing, 0, at_most=True),
            Gate(
                f"close to screen p95 ms, {TOLD[with_redis]}", p95, 500 if with_redis else 2000, at_most=True
            ),
        ]
    for routers, rate in rates.items():
        report.rows.append([f"given per second by {routers} router(s), {AGENTS} agents", rate, "", "", ""])
    report.gates.append(Gate("invariants broken afterwards", len(broken), 0, at_most=True))
    return report
