"""What every bench needs: child processes, medians, a report with ratios and gates."""

from __future__ import annotations

import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from django.db import connection

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
LOOPBACK = "127.0.0.1"
START_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: `tiny` only proves that a bench works."""

    name: str
    rounds: int
    scale: float

    def of(self, full: int, least: int = 1) -> int:
        return max(least, round(full * self.scale))


SIZES = {"full": Size("full", 5, 1.0), "quick": Size("quick", 3, 0.25), "tiny": Size("tiny", 1, 0.01)}


@dataclass(frozen=True, slots=True)
class Gate:
    """A target of performance.md: `value` must be at least (or at most) `target`."""

    name: str
    value: float
    target: float
    at_most: bool = False

    @property
    def holds(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target

    def line(self) -> str:
        sign = "<=" if self.at_most else ">="
        verdict = "ok  " if self.holds else "MISS"
        return f"  {verdict} {self.name}: {self.value:.3g} (wanted {sign} {self.target:g})"


@dataclass
class Report:
    """One bench's table, its gates and its raw figures."""

    name: str
    columns: Sequence[str]
    rows: list[list[Any]] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        cells = [list(map(_cell, row)) for row in [list(self.columns), *self.rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join(
                c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join(["", f"== {self.name}", *lines, *(gate.line() for gate in self.gates)])

    def save(self, size: Size, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
        gates = [
            {"name": g.name, "value": g.value, "target": g.target, "at_most": g.at_most, "holds": g.holds}
            for g in self.gates
        ]
        content = {
            "bench": self.name, "size": size.name, "machine": machine, "columns": list(self.columns),
            "rows": self.rows, "gates": gates, **self.figures,
        }  # fmt: skip
        path.write_text(json.dumps(content, indent=1, default=str) + "\n")
        return path


def _cell(value: Any) -> str:
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and value < 100
        else (f"{value:,.0f}" if isinstance(value, int | float) else str(value))
    )


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# ---------------------------------------------------------------- processes
def database_url() -> str:
    """The address of the database that this test writes to, for another process."""
    settings = connection.settings_dict
    # A socket's directory comes as an option of the URL, a TCP host as its host.
    host, port = settings["OPTIONS"].get("host") or settings["HOST"] or "", settings["PORT"] or ""
    user = quote(settings["USER"] or "postgres")
    password = f":{quote(settings['PASSWORD'])}" if settings["PASSWORD"] else ""
    if host.startswith("/"):
        return f"postgresql://{user}{password}@/{settings['NAME']}?host={host}" + (
            f"&port={port}" if port else ""
        )
    return f"postgresql://{user}{password}@{host}:{port or 5432}/{settings['NAME']}"


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def running(*command: str, port: int = 0, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a process group of its own, ended by its pid; with a port, ready when that answers."""
    # Into a file: a child that says much would wait for ever before a full pipe.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **environment},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=said if not os.environ.get("PYTAKE_BENCH_LOUD") else None,
        ) as child,
    ):
        try:
            if port:
                _wait_for(port, child, said)
            yield child
        finally:
            child.terminate()
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()


def _wait_for(port: int, child: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            said.seek(0)
            why = said.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"a bench's child ended with {child.returncode}: {why}")
        try:
            socket.create_connection((LOOPBACK, port), timeout=0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers on port {port}")
