"""The bench command works from end to end; what it measures here means nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection

from bench import pull, seeds
from bench.kit import Gate, percentile
from conversations import handoff
from conversations.invariants import findings
from conversations.models import Conversation
from tests.house.tree import ROOT


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)  # no transaction stays open here while the benches run
def test_the_bench_prints_ratios_and_leaves_no_database(tmp_path: Path) -> None:
    """Real server processes, a database of its own on the suite's server, and a file with the figures."""
    before = databases()
    command = [
        sys.executable,
        "-m",
        "django",
        "bench",
        "engine",
        "webhook",
        "pull",
        "--tiny",
        "--here",
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "x of bare" in done.stdout
    assert "answers that were not 2xx: 0" in done.stdout
    figures = json.loads((tmp_path / "webhook.json").read_text())
    assert figures["size"] == "tiny"
    assert {row[0] for row in figures["rows"]} == {"bare", "product"}
    truth = [line for line in done.stdout.splitlines() if re.search(r"G1[23] |invariants broken", line)]
    assert len(truth) == 6
    assert all(line.strip().startswith("ok") for line in truth), truth
    assert databases() <= before


def databases() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE starts_with(datname, 'pytake_bench_')")
        return {row[0] for row in cursor.fetchall()}


def test_a_gate_looks_the_right_way() -> None:
    assert Gate("rate", 0.8, 0.75).holds
    assert not Gate("rate", 0.7, 0.75).holds
    assert not Gate("statements", 2, 1, at_most=True).holds
    assert percentile([5, 1, 3, 2, 4], 0.5) == 3


def test_who_was_passed_over_is_counted() -> None:
    """Taken in this order, the second one went ahead of two that are older; the urgent one of none."""
    taken = [(-80, 1), (-50, 9), (-50, 2), (-50, 3)]
    assert pull.most_overtaken(taken) == 2
    assert pull.most_overtaken(sorted(taken)) == 0


@pytest.mark.django_db
def test_a_line_made_for_a_bench_is_as_the_verbs_would_have_made_it() -> None:
    """Also after some were pulled and their end was written by SQL."""
    with seeds.desk() as place:
        seeds.waiting_line(place, 10)
        seeds.newcomers(place, 5)
        for _ in range(3):
            handoff.pull_from_queue(place.agents[0].pk, place.queue.pk)
        seeds.close_taken()
        states = Counter(Conversation.objects.values_list("state", flat=True))
    assert states == {"queued": 7, "pending": 5, "closed": 3}
    assert [(f.invariant.name, f.examples) for f in findings()] == []
