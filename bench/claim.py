"""Pull and claim from several processes, against a plain job-queue fetch through Django (G11, G12)."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, connections
from django_scopes import scope

from bench import seeds
from bench.kit import Gate, Report, Size, median, percentile
from conversations import handoff
from conversations.invariants import findings
from conversations.models import Conversation, Event

QUEUED = (1000, 10000)
PROCESSES = (1, 4)
TAKES = 100  # per process and round
COLUMNS = ("take", "SQL", "queued", "processes", "per second", "p50 ms", "p95 ms", "x of plain fetch")
PLAIN_TABLE = """
CREATE TABLE IF NOT EXISTS bench_jobs (
    id bigserial PRIMARY KEY, state text NOT NULL DEFAULT 'new', priority int NOT NULL DEFAULT 50,
    queued_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS bench_jobs_waiting
    ON bench_jobs (priority DESC, queued_at, id) WHERE state = 'new';
"""
PLAIN_FETCH = """
UPDATE bench_jobs SET state = 'done' WHERE id = (
    SELECT id FROM bench_jobs WHERE state = 'new' ORDER BY priority DESC, queued_at, id
    LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Shift:
    """What one process did: the time of each take in milliseconds and what it got."""

    started: float
    ended: float
    latencies: Sequence[float]
    taken: Sequence[str]


Take = Callable[[int], Any]


def run(size: Size) -> Report:
    found: dict[tuple[str, int, int], list[Sequence[Shift]]] = {}
    doubles = 0
    with seeds.desk(agents=max(PROCESSES)) as place:
        statements = _statements(place)
        for _ in range(size.rounds):
            for queued in (size.of(n, 40 * (1 + i)) for i, n in enumerate(QUEUED)):
                for processes in PROCESSES:
                    for name in ("plain", "pull", "claim"):
                        shifts = _round(name, place, queued, processes, size.of(TAKES, 5))
                        doubles += _doubles(shifts)
                        found.setdefault((name, queued, processes), []).append(shifts)
        broken = [finding.invariant.name for finding in findings()]
    return _report(found, doubles, broken, statements)


def _round(name: str, place: seeds.Desk, queued: int, processes: int, takes: int) -> list[Shift]:
    """A fresh line of `queued`, then all processes at once."""
    seeds.clean()
    ids = seeds.waiting_line(place, queued) if name != "plain" else _fill_plain(queued)
    connections.close_all()
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_work, args=(name, place, ids[n::processes], n, takes, barrier, results))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    shifts = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(30)
    return shifts


def _fill_plain(queued: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(PLAIN_TABLE)
        cursor.execute("TRUNCATE bench_jobs")
        cursor.execute(
            "INSERT INTO bench_jobs (priority, queued_at) SELECT CASE WHEN n %% 5 = 0 THEN 80 ELSE 50 END,"
            " now() + n * interval '1 second' FROM generate_series(1, %s) n",
            [queued],
        )
        cursor.execute("ANALYZE bench_jobs")
    return []


def _work(
    name: str, place: seeds.Desk, ids: Sequence[Any], number: int, takes: int, barrier: Any, results: Any
) -> None:
    """In a forked process with a connection of its own."""
    agent = place.agents[number % len(place.agents)].pk
    take: dict[str, Take] = {
        "plain": _plain,
        "pull": lambda n: handoff.pull_from_queue(agent, place.queue.pk).conversation.pk,
        "claim": lambda n: handoff.claim(ids[n], agent_id=agent).pk,
    }
    with scope(organization=place.organization):
        connection.ensure_connection()
        barrier.wait(60)
        latencies, taken, began = [], [], time.monotonic()
        for n in range(takes):
            started = time.perf_counter()
            taken.append(str(take[name](n)))
            latencies.append((time.perf_counter() - started) * 1000)
        ended = time.monotonic()
    connections.close_all()
    results.put(Shift(began, ended, latencies, taken))


def _plain(number: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(PLAIN_FETCH)
        return cursor.fetchone()[0]


def _doubles(shifts: Sequence[Shift]) -> int:
    """How often one thing was given to two."""
    given = Counter(pk for shift in shifts for pk in shift.taken)
    moved = Event.objects.filter(type="claim").values_list("conversation", flat=True)
    return sum(n - 1 for n in given.values()) + len(moved) - len(set(moved))


def _statements(place: seeds.Desk) -> dict[str, int]:
    """SQL statements of one pull and of one claim."""
    counted = {}
    seeds.clean()
    ids = seeds.waiting_line(place, 4)
    agent = place.agents[0].pk
    acts = {
        "pull": lambda: handoff.pull_from_queue(agent, place.queue.pk),
        "claim": lambda: handoff.claim(
            Conversation.objects.filter(pk__in=ids, state="queued")[0].pk, agent_id=agent
        ),
    }
    for name, act in acts.items():
        seen: list[str] = []

        def count(
            execute: Any, sql: str, params: Any, many: bool, context: Any, seen: list[str] = seen
        ) -> Any:
            seen.append(sql)
            return execute(sql, params, many, context)

        with connection.execute_wrapper(count):
            act()
        counted[name] = len(seen)
    return counted


def _rate(shifts: Sequence[Shift]) -> float:
    """Takes per second while at least one process worked."""
    seconds = max(s.ended for s in shifts) - min(s.started for s in shifts)
    return sum(len(s.taken) for s in shifts) / seconds


def _report(
    found: dict[tuple[str, int, int], list[Sequence[Shift]]],
    doubles: int,
    broken: list[str],
    statements: dict[str, int],
) -> Report:
    statements = {"plain": 1, **statements}
    report = Report("claim", COLUMNS, figures={"statements": statements, "broken": broken})
    rates = {key: median([_rate(shifts) for shifts in rounds]) for key, rounds in found.items()}
    for (name, queued, processes), rounds in found.items():
        every = [ms for shifts in rounds for shift in shifts for ms in shift.latencies]
        report.rows.append([
            name, statements[name], queued, processes, rates[name, queued, processes], percentile(every, 0.5),
            percentile(every, 0.95), rates[name, queued, processes] / rates["plain", queued, processes],
        ])  # fmt: skip
    small, large = sorted({key[1] for key in found})
    for name in ("pull", "claim"):
        ratio = rates[name, large, 4] / rates[name, small, 4]
        report.gates.append(
            Gate(f"G11 {name} with ten times as many waiting, of the rate before", ratio, 0.8)
        )
    report.gates += [
        Gate("G12 conversations given twice", doubles, 0, at_most=True),
        Gate("invariants broken afterwards", len(broken), 0, at_most=True),
    ]
    return report
