"""Signed Twilio webhooks per second, against a bare one-insert Django view served the same way (G1, G7)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection
from django.test import Client

from bench import bare, seeds
from bench.kit import LOOPBACK, Gate, Report, Size, free_port, median, running
from bench.load import Run, burst, new_sid, request, signed, twilio_form

CLIENTS = (1, 16)
REQUESTS = {1: 800, 16: 4000}
COLUMNS = ("path", "clients", "req/s", "p50 ms", "p95 ms", "x of bare")


def run(size: Size) -> Report:
    with seeds.desk() as place:
        seeds.clean()
        with connection.cursor() as cursor:
            cursor.execute(bare.TABLE)
        product_port, bare_port = int(os.environ["PORT"]), free_port()
        path = f"/webhooks/twilio/{place.channel.public_id}/inbound"
        statements = _statements(path)
        with (
            running("-m", "bench.server", "pytake.asgi:application", str(product_port), port=product_port),
            running("-m", "bench.server", "bench.bare:application", str(bare_port), port=bare_port),
        ):
            subjects: dict[str, Callable[[int, int], Run]] = {
                "bare": lambda n, c: burst(bare_port, _bare_requests(n), c),
                "product": lambda n, c: burst(product_port, _product_requests(path, n), c),
            }
            found = _measure(size, subjects)
    return _report(found, statements)


def _product_requests(path: str, number: int) -> list[bytes]:
    """Unique messages of 20,000 different people; the URL is the one that was signed for."""
    return [signed(settings.PUBLIC_URL, path, _form(n), seeds.TOKEN) for n in range(number)]


def _form(number: int) -> dict[str, str]:
    sid = new_sid()
    sender = f"+55119{int(sid[-9:]) * 7919 % 20000 + 80000000:08d}"
    return twilio_form(sid, sender, f"Preciso de ajuda {number}", seeds.SID, seeds.ADDRESS)


def _bare_requests(number: int) -> list[bytes]:
    return [request("/bare", urlencode(_form(n)).encode()) for n in range(number)]


def _measure(size: Size, subjects: dict[str, Callable[[int, int], Run]]) -> dict[tuple[str, int], list[Run]]:
    found: dict[tuple[str, int], list[Run]] = {}
    for send in subjects.values():
        send(size.of(400, 20), 4)  # warm: connections, caches, code paths
    for _ in range(size.rounds):
        for clients in CLIENTS:
            for name, send in subjects.items():
                found.setdefault((name, clients), []).append(send(size.of(REQUESTS[clients], 20), clients))
    return found


def _statements(path: str) -> int:
    """SQL statements of one webhook on a channel that was called before, counted by the connection itself."""
    counted = [0]

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        counted[0] += 1
        return execute(sql, params, many, context)

    _post_here(path)
    with connection.execute_wrapper(count):
        _post_here(path)
    return counted[0]


def _post_here(path: str) -> None:
    """One signed webhook in this process."""
    fields = _form(0)
    content = signed(settings.PUBLIC_URL, path, fields, seeds.TOKEN)
    signature = content.decode().partition("X-Twilio-Signature: ")[2].partition("\r\n")[0]
    client = Client(SERVER_NAME=LOOPBACK, headers={"X-Twilio-Signature": signature})
    answer = client.post(path, urlencode(fields), content_type="application/x-www-form-urlencoded")
    if answer.status_code >= 300:
        raise RuntimeError(f"the webhook answered {answer.status_code}")


def _report(found: dict[tuple[str, int], list[Run]], statements: int) -> Report:
    report = Report("webhook", COLUMNS, figures={"statements_per_webhook": statements})
    rates = {key: median([run.rate for run in runs]) for key, runs in found.items()}
    for (name, clients), runs in found.items():
        report.rows.append([
            name, clients, rates[name, clients], median([r.at(0.5) for r in runs]),
            median([r.at(0.95) for r in runs]), rates[name, clients] / rates["bare", clients],
        ])  # fmt: skip
    refused = sum(run.refused for runs in found.values() for run in runs)
    report.gates = [
        Gate(
            "G1 accepted per second at 16 clients, of the bare view",
            rates["product", 16] / rates["bare", 16],
            0.75,
        ),
        Gate("G7 SQL statements per webhook", statements, 1, at_most=True),
        Gate("answers that were not 2xx", refused, 0, at_most=True),
    ]
    return report
