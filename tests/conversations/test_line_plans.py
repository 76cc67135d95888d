"""A long line is read by its index: what pulls and the router ask never sorts or scans all who wait."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bench import seeds
from conversations import handoff, router
from queues.models import Queue

pytestmark = pytest.mark.django_db
WAITING = 3000


@pytest.fixture
def place() -> Iterator[seeds.Desk]:
    with seeds.desk() as desk:
        yield desk


@pytest.fixture
def lines(place: seeds.Desk) -> list[Queue]:
    """Twenty queues with three thousand waiting in them."""
    queues = [place.queue, *seeds.more_queues(place, 19, auto_assign_conversations=True)]
    seeds.waiting_line(place, WAITING, among=queues)
    return queues


def plan_of(statement: str, asked: dict[str, Any] | None = None) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", asked)
        return [row[0] for row in cursor.fetchall()]


def rows_read(plan: Sequence[str], index: str) -> int:
    """How many rows came from an index, over all its loops; the plan must use it."""
    line = next(line for line in plan if f"using {index}" in line)
    rows, loops = line.partition("actual rows=")[2].rstrip(")").split(" loops=")
    return round(float(rows) * int(loops))


def test_the_first_of_one_queue_is_the_first_of_its_index(place: seeds.Desk, lines: list[Queue]) -> None:
    asked = {"queue": place.queue.pk, "agent": place.agents[0].pk}
    plan = plan_of(handoff.FIRST_OF_ONE, asked)
    assert rows_read(plan, "waiting_in_order") == 1, plan
    assert not any("Sort" in line for line in plan)


def test_the_first_of_twenty_queues_reads_the_beginning_of_each(
    place: seeds.Desk, lines: list[Queue]
) -> None:
    asked = {"queues": [q.pk for q in lines], "agent": place.agents[0].pk, "some": 5}
    plan = plan_of(handoff.FIRST_OF_SEVERAL, asked)
    assert rows_read(plan, "waiting_in_order") == 5 * len(lines), plan
    assert not any("Seq Scan on conversations_conversation" in line for line in plan)


def test_the_router_reads_a_short_queue_beside_a_long_one(place: seeds.Desk) -> None:
    (short,) = seeds.more_queues(place, 1)
    seeds.waiting_line(place, 50, among=[short])
    seeds.waiting_line(place, WAITING)
    with CaptureQueriesContext(connection) as seen:
        assert len(router._first_of(short)) == 50
    plan = plan_of(seen.captured_queries[0]["sql"])
    assert all(int(rows) <= 50 for rows in re.findall(r"actual rows=(\d+)", "".join(plan))), plan
    assert not any("Rows Removed" in line for line in plan), plan


def test_the_router_reads_no_more_of_a_long_queue_than_it_looks_at(place: seeds.Desk) -> None:
    seeds.waiting_line(place, WAITING)
    with CaptureQueriesContext(connection) as seen:
        assert len(router._first_of(place.queue)) == router.BATCH
    plan = plan_of(seen.captured_queries[0]["sql"])
    index = "waiting_in_order" if any("waiting_in_order" in line for line in plan) else "waiting_for_router"
    assert rows_read(plan, index) == router.BATCH, plan


def test_of_twenty_queues_the_first_of_all_is_pulled(place: seeds.Desk, lines: list[Queue]) -> None:
    """By priority, then age, whichever queue it stands in."""
    found = [handoff.pull_from_queue(place.agents[0].pk).conversation for _ in range(4)]
    assert all(c is not None and c.queue_priority == 80 for c in found)
    came = [c.last_message_at for c in found if c]
    assert came == sorted(came)
    assert len({c.queue_id for c in found if c}) > 1
