"""The bench command works from end to end; what it measures here means nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from bench.kit import Gate, percentile
from tests.house.tree import ROOT


@pytest.mark.slow
@pytest.mark.django_db
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
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "x of bare" in done.stdout
    assert "answers that were not 2xx: 0" in done.stdout
    figures = json.loads((tmp_path / "webhook.json").read_text())
    assert figures["size"] == "tiny"
    assert {row[0] for row in figures["rows"]} == {"bare", "product"}
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
