"""Pulling from a long line, beside procrastinate's fetch on the same server: rates, order, limits (G8-G13).

Every puller is a process with a connection of its own. What was taken is closed after each round and the line
filled up again, so that it is as long as before while the history behind it grows.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import procrastinate
import psycopg
from django.db import OperationalError, connection, connections
from django_scopes import scope
from procrastinate.sql import queries

from bench import seeds
from bench.kit import Gate, Report, Size, median, percentile
from conversations import handoff
from conversations.invariants import findings
from conversations.models import Conversation, Event
from queues.models import AgentProfile, Queue

LINES = (10_000, 100_000)
PULLERS, FEW = (1, 8, 32), (1, 2, 4)  # the few only prove that it works
TAKES = {"procrastinate": 60, "claim": 60, "pull": 20}  # by each puller in a round
COLUMNS = (
    "take", "waiting", "pullers", "per second", "x of fetch", "p50 ms", "p95 ms", "server CPU us",
    "fetch's CPU x",
)  # fmt: skip
CAPACITY = 5  # of each agent, in the round of full agents: one for every four pullers
HANDED = 10  # hand-overs by each process, in the round of full queues
TOLD = {
    "procrastinate": "procrastinate_fetch_job_v2",
    "claim": "our claim statement",
    "pull": "whole pull_from_queue",
}

# What a pull asks of the database at the least: the product's own choice, taken in the same statement.
CLAIM = f"""
WITH first AS ({handoff.FIRST_OF_ONE})
UPDATE conversations_conversation c
SET state = 'human_handoff', assigned_agent_id = %(agent)s, queued_at = NULL
FROM first WHERE c.id = first.id RETURNING c.id
"""


@dataclass(frozen=True, slots=True)
class Shift:
    """What one process did: the time of each act in milliseconds, what it got, and when.

    `server` is the processor time that its connection took of the database server, in seconds: it tells the
    cost of statements also where the disk or other work sets the pace.
    """

    started: float
    ended: float
    latencies: Sequence[float]
    taken: Sequence[tuple[float, str]]
    server: float


@dataclass
class Audit:
    """What went wrong in all rounds together."""

    doubles: int = 0
    overtaken: int = 0  # the most that a single one was taken ahead of better ones, beyond the pullers
    over_capacity: int = 0
    over_places: int = 0
    empty: int = 0  # pulls that got nothing although many waited
    broken: list[str] = field(default_factory=list)


Key = tuple[str, int, int]  # what is taken, how many wait, how many pull
Found = dict[Key, list[Sequence[Shift]]]


def run(size: Size) -> Report:
    found: Found = {}
    audit = Audit()
    crowds = FEW if size.name == "tiny" else PULLERS
    with seeds.desk(agents=max(PULLERS)) as place, ExitStack() as stack:
        statements = _statements(place)
        seeds.clean()
        lines = {
            size.of(n, 250 * (1 + i)): q for i, (n, q) in enumerate(zip(LINES, _queues(place), strict=True))
        }
        for waiting, queue in lines.items():
            seeds.waiting_line(place, waiting, among=[queue])
            stack.enter_context(_jobs(waiting))
        _settle(lines)
        # Long and short, theirs and ours by turns: what else the machine does meanwhile meets all alike.
        for _ in range(size.rounds):
            for pullers, name, waiting in itertools.product(crowds, TAKES, lines):
                line = Line(waiting, lines[waiting])
                shifts = _round(name, place, line, pullers, size.of(TAKES[name], 4))
                found.setdefault((name, waiting, pullers), []).append(shifts)
                if name != "procrastinate":
                    _look_at(shifts, pullers, audit)
                _fill_up(name, place, line, shifts)
        _full_agents(place, max(crowds), size, audit)
        audit.broken += [finding.invariant.name for finding in findings()]
        _full_queues(place, max(crowds), size, audit)
        audit.broken += [finding.invariant.name for finding in findings()]
    return _report(found, audit, statements)


def _queues(place: seeds.Desk) -> list[Queue]:
    return [place.queue, *seeds.more_queues(place, 1)]


# ---------------------------------------------------------------- the other queue
def _dsn() -> dict[str, Any]:
    known = connection.get_connection_params()
    return {name: known[name] for name in ("dbname", "host", "port", "user", "password") if known.get(name)}


def _ours() -> psycopg.Connection[Any]:
    return psycopg.connect(**_dsn(), autocommit=True)


def _theirs(waiting: int) -> psycopg.Connection[Any]:
    return psycopg.connect(**_dsn(), options=f"-c search_path=bench_jobs_{waiting}", autocommit=True)


@contextmanager
def _jobs(waiting: int) -> Iterator[None]:
    """Procrastinate in a schema of its own, with as many jobs in one queue."""
    schema = f"bench_jobs_{waiting}"
    with _ours() as server:
        server.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        server.execute(f"CREATE SCHEMA {schema}")
    place = procrastinate.SyncPsycopgConnector(kwargs={**_dsn(), "options": f"-c search_path={schema}"})
    with procrastinate.App(connector=place).open() as app:
        app.schema_manager.apply_schema()
    _defer(waiting, waiting)
    yield
    with _ours() as server:
        server.execute(f"DROP SCHEMA {schema} CASCADE")


def _defer(waiting: int, number: int) -> None:
    with _theirs(waiting) as server:
        server.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, priority)"
            " SELECT 'bench', 'answer', CASE WHEN n %% 5 = 0 THEN 80 ELSE 50 END"
            " FROM generate_series(1, %s) n",
            [number],
        )


def _settle(lines: Iterable[int]) -> None:
    """Statistics and visibility as after some quiet minutes, for both."""
    for server in (_ours(), *map(_theirs, lines)):
        with server:
            server.execute("VACUUM ANALYZE")


# ---------------------------------------------------------------- a round
@dataclass(frozen=True, slots=True)
class Line:
    """A queue, and how many wait in it when a round begins."""

    waiting: int
    queue: Queue


def _round(name: str, place: seeds.Desk, line: Line, pullers: int, takes: int) -> list[Shift]:
    def prepare(n: int) -> Act:
        match name:
            case "procrastinate":
                return _fetch(line)
            case "claim":
                return _claim(place.agents[n].pk, line.queue.pk)
            case _:
                return _pull(place.agents[n].pk, line.queue.pk)

    return crowd(place, pullers, takes, prepare)


@dataclass(frozen=True, slots=True)
class Act:
    """What a process does again and again, and the server's process that does it for it."""

    do: Callable[[int], Any]
    backend: int = 0

    def spent(self) -> float:
        """Seconds of processor time so far; nothing where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.backend}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            return 0.0


def _fetch(line: Line) -> Act:
    server = _theirs(line.waiting)
    worker = server.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id").fetchone()[0]
    asked = {"queues": ["bench"], "worker_id": worker}
    statement = queries["fetch_job"]
    return Act(lambda n: server.execute(statement, asked).fetchone()[0], server.info.backend_pid)


def _claim(agent: UUID, queue: UUID) -> Act:
    server = _ours()
    asked = {"queue": queue, "agent": agent}
    return Act(lambda n: (server.execute(CLAIM, asked).fetchone() or [None])[0], server.info.backend_pid)


def _pull(agent: UUID, queue: UUID) -> Act:
    def act(n: int) -> UUID | None:
        conversation = handoff.pull_from_queue(agent, queue).conversation
        return conversation.pk if conversation else None

    return Act(act, connection.connection.info.backend_pid)


def crowd(place: seeds.Desk, size: int, times: int, prepare: Callable[[int], Act]) -> list[Shift]:
    """`size` processes start together; each does its act so many times, one after the other."""
    connections.close_all()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(size), context.Queue()
    workers = [
        context.Process(target=_work, args=(place, n, times, prepare, barrier, results)) for n in range(size)
    ]
    for worker in workers:
        worker.start()
    shifts = [results.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join(30)
    if failed := [shift for shift in shifts if isinstance(shift, str)]:
        raise RuntimeError(f"{len(failed)} of {size} processes failed, one with: {failed[0]}")
    return shifts


def _work(
    place: seeds.Desk, number: int, times: int, prepare: Callable[[int], Act], barrier: Any, results: Any
) -> None:
    """In a forked process; its result is a Shift, or what went wrong."""
    try:
        with scope(organization=place.organization):
            connection.ensure_connection()
            act = prepare(number)
            barrier.wait(60)
            results.put(_shift(act, times))
    except Exception:
        barrier.abort()
        results.put(traceback.format_exc())
    finally:
        connections.close_all()


def _shift(act: Act, times: int) -> Shift:
    latencies, taken = [], []
    began, spent = time.monotonic(), act.spent()
    for n in range(times):
        started = time.monotonic()
        got = act.do(n)
        ended = time.monotonic()
        latencies.append((ended - started) * 1000)
        if got is not None:
            taken.append((ended, str(got)))
    return Shift(began, time.monotonic(), latencies, taken, act.spent() - spent)


def _fill_up(name: str, place: seeds.Desk, line: Line, shifts: Sequence[Shift]) -> None:
    if name == "procrastinate":
        _defer(line.waiting, sum(len(shift.taken) for shift in shifts))
    else:
        _line_up(place, line)


def _line_up(place: seeds.Desk, line: Line) -> None:
    """What was taken has its end; the line is as long as before."""
    seeds.close_taken()
    missing = line.waiting - Conversation.objects.filter(state="queued", queue=line.queue).count()
    seeds.waiting_line(place, missing, among=[line.queue], seconds_apart=0.001)


# ---------------------------------------------------------------- was it right?
def _look_at(shifts: Sequence[Shift], pullers: int, audit: Audit) -> None:
    taken = sorted(one for shift in shifts for one in shift.taken)
    ids = [pk for _at, pk in taken]
    moved = Event.objects.filter(type="claim", conversation__in=ids).values_list("conversation", flat=True)
    audit.doubles += sum(n - 1 for n in Counter(ids).values()) + len(moved) - len(set(moved))
    audit.empty += sum(len(shift.latencies) - len(shift.taken) for shift in shifts)
    audit.overtaken = max(audit.overtaken, most_overtaken(_ranks(ids)) - pullers)


def _ranks(ids: Sequence[str]) -> list[tuple[int, Any]]:
    """How each stood in line: the lower, the better."""
    rows = Conversation.objects.filter(pk__in=ids).values_list("pk", "queue_priority", "last_message_at")
    stood = {str(pk): (-priority, came) for pk, priority, came in rows}
    return [stood[pk] for pk in ids]


def most_overtaken(ranks: Sequence[tuple[int, Any]]) -> int:
    """Ahead of how many better ones, taken later, one was at most taken; others in flight explain some."""
    return max((sum(later < rank for later in ranks[n + 1 :]) for n, rank in enumerate(ranks)), default=0)


def _full_agents(place: seeds.Desk, pullers: int, size: Size, audit: Audit) -> None:
    """More pulls than places, by several processes for each agent."""
    few = place.agents[: pullers // 4]
    AgentProfile.objects.filter(member__in=few).update(capacity=CAPACITY)
    seeds.clean()
    line = Line(CAPACITY * pullers, place.queue)
    _line_up(place, line)
    for _ in range(size.rounds):
        crowd(place, pullers, CAPACITY, lambda n: _pull(few[n % len(few)].pk, place.queue.pk))
        rows = Conversation.objects.filter(state="human_handoff").values_list("assigned_agent", flat=True)
        loads = Counter(rows)
        audit.over_capacity += sum(max(0, load - CAPACITY) for load in loads.values())
        audit.empty += len(few) * CAPACITY - sum(loads.values())
        _line_up(place, line)
    AgentProfile.objects.filter(member__in=few).update(capacity=seeds.CAPACITY)


def _full_queues(place: seeds.Desk, pullers: int, size: Size, audit: Audit) -> None:
    """Ten hand-overs by each of many processes into a queue with few places, which overflows into another."""
    _own, other = _queues(place)
    handed = HANDED * pullers
    places = handed // 6
    Queue.objects.filter(pk=place.queue.pk).update(max_queue_size=places, overflow_queue=other)
    for _ in range(2 * size.rounds):
        seeds.clean()
        ids = seeds.newcomers(place, handed)
        acts = [_hand_over(ids[n::pullers], place.queue.pk) for n in range(pullers)]
        crowd(place, pullers, HANDED, acts.__getitem__)
        audit.over_places += abs(Conversation.objects.filter(queue=place.queue).count() - places)
        audit.over_places += abs(Conversation.objects.filter(queue=other).count() - (handed - places))
    Queue.objects.filter(pk=place.queue.pk).update(max_queue_size=None, overflow_queue=None)


def _hand_over(ids: Sequence[UUID], queue: UUID) -> Act:
    def act(n: int) -> UUID:
        """Who waits too long for the queue's lock tries again, as the doors do."""
        while True:
            try:
                return handoff.request_handoff(ids[n], queue_id=queue).pk
            except OperationalError:
                connection.close()

    return Act(act)


def _statements(place: seeds.Desk) -> dict[str, int]:
    """SQL statements of one pull and of one claim."""
    seeds.clean()
    ids = seeds.waiting_line(place, 4)
    agent = place.agents[0].pk
    acts: dict[str, Callable[[], Any]] = {
        "pull": lambda: handoff.pull_from_queue(agent, place.queue.pk),
        "claim": lambda: handoff.claim(ids[1], agent_id=agent),
    }
    return {name: _count(act) for name, act in acts.items()}


def _count(act: Callable[[], Any]) -> int:
    seen = []

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        act()
    return len(seen)


# ---------------------------------------------------------------- the table
def _rate(shifts: Sequence[Shift]) -> float:
    """Takes per second while at least one process worked."""
    seconds = max(s.ended for s in shifts) - min(s.started for s in shifts)
    return sum(len(s.taken) for s in shifts) / seconds


def _report(found: Found, audit: Audit, statements: dict[str, int]) -> Report:
    report = Report("pull", COLUMNS, figures={"statements": statements, "broken": audit.broken})
    rates = {key: median([_rate(shifts) for shifts in rounds]) for key, rounds in found.items()}
    costs = {key: _cost(rounds) for key, rounds in found.items()}
    for key, rounds in found.items():
        every = [ms for shifts in rounds for shift in shifts for ms in shift.latencies]
        theirs = ("procrastinate", *key[1:])
        report.rows.append([
            TOLD[key[0]], *key[1:], rates[key], rates[key] / rates[theirs], percentile(every, 0.5),
            percentile(every, 0.95), costs[key], costs[theirs] / costs[key],
        ])  # fmt: skip
    report.gates = [*_speed(rates), *_truth(audit)]
    return report


def _cost(rounds: Sequence[Sequence[Shift]]) -> float:
    """Microseconds of the server's processors for one take, all rounds together."""
    shifts = [shift for round_ in rounds for shift in round_]
    return (sum(s.server for s in shifts) * 1e6 / sum(len(s.latencies) for s in shifts)) or 1.0


def _speed(rates: dict[Key, float]) -> Iterator[Gate]:
    short, long = sorted({waiting for _name, waiting, _pullers in rates})
    crowds = sorted({pullers for _name, _waiting, pullers in rates})
    for pullers in crowds[1:]:
        fetched = rates["procrastinate", long, pullers]
        for gate, name, wanted in (("G8", "claim", 2), ("G9", "pull", 1)):
            ratio = rates[name, long, pullers] / fetched
            yield Gate(f"{gate} {TOLD[name]}, of procrastinate's fetch; {pullers} pullers", ratio, wanted)
    for name in ("claim", "pull"):
        ratio = median([rates[name, long, pullers] / rates[name, short, pullers] for pullers in crowds])
        yield Gate(f"G11 {TOLD[name]} with ten times as many waiting, of the rate before", ratio, 0.8)


def _truth(audit: Audit) -> Iterator[Gate]:
    yield Gate("G12 conversations given twice", audit.doubles, 0, at_most=True)
    yield Gate("G12 conversations above an agent's capacity", audit.over_capacity, 0, at_most=True)
    yield Gate("G12 better ones passed over, beyond the number of pullers", audit.overtaken, 0, at_most=True)
    yield Gate("G12 pulls that came back empty while others waited", audit.empty, 0, at_most=True)
    yield Gate("G13 off the places of a full queue and its overflow", audit.over_places, 0, at_most=True)
    yield Gate("invariants broken afterwards", len(audit.broken), 0, at_most=True)
