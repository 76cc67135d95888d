"""Queries per page at two sizes: a page asks the same number of questions whatever it shows (G22)."""

from __future__ import annotations

import time
from typing import Any

from django.db import connection
from django.test import Client

from bench import seeds
from bench.kit import LOOPBACK, Gate, Report, Size, median

LINES = (50, 1000)
VISITS = 5
COLUMNS = ("page", "conversations", "queries", "ms")
INBOX_QUERIES = 6


def run(size: Size) -> Report:
    report = Report("pages", COLUMNS)
    with seeds.desk() as place:
        for length in (size.of(n, 30 + i) for i, n in enumerate(LINES)):
            seeds.clean()
            newest = seeds.waiting_line(place, length)[-1]
            client = Client(SERVER_NAME=LOOPBACK)
            client.force_login(place.supervisor.user)
            for name, path in _pages(newest).items():
                report.rows.append([name, length, *_visit(client, path)])
    _judge(report)
    return report


def _pages(newest: Any) -> dict[str, str]:
    return {
        "inbox": "/inbox/?tab=all",
        "inbox rows": "/inbox/rows/?tab=all",
        "thread": f"/inbox/{newest}/?tab=all",
        "api conversations": "/api/v1/conversations",
        "api messages": f"/api/v1/conversations/{newest}/messages",
        "admin changelist": "/admin/conversations/conversation/",
    }


def _visit(client: Client, path: str) -> tuple[int, float]:
    """(queries, median milliseconds) of a page that was opened before."""
    client.get(path)
    times, counted = [], [0]

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        counted[0] += 1
        return execute(sql, params, many, context)

    for _ in range(VISITS):
        counted[0] = 0
        started = time.perf_counter()
        with connection.execute_wrapper(count):
            answer = client.get(path)
        times.append((time.perf_counter() - started) * 1000)
        if answer.status_code != 200:
            raise RuntimeError(f"{path} answered {answer.status_code}")
    return counted[0], median(times)


def _judge(report: Report) -> None:
    queries: dict[str, list[int]] = {}
    for name, _length, number, _ms in report.rows:
        queries.setdefault(name, []).append(number)
    for name, numbers in queries.items():
        report.gates.append(
            Gate(f"{name}: queries that come with size", max(numbers) - min(numbers), 0, at_most=True)
        )
    report.gates.append(
        Gate("G22 queries of the inbox page", max(queries["inbox"]), INBOX_QUERIES, at_most=True)
    )
