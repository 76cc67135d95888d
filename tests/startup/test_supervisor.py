"""The supervisor with children of a few lines."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pytake import home
from pytake.supervisor import FIRST_PAUSE, LOG_LIMIT, STEADY_SECONDS, Child, Log, Supervisor, _Seat
from tests.startup.conftest import eventually, is_running

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from pytake.supervisor import Child, Supervisor

place = Path(sys.argv[1])

def steady():
    print("here I am", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: (note("steady"), sys.exit(0)))
    time.sleep(60)

def last():
    signal.signal(signal.SIGTERM, lambda *_: (note("last"), sys.exit(0)))
    time.sleep(60)

def deaf():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)

def parent():
    if not os.fork():
        time.sleep(60)
    time.sleep(60)

def note(text):
    with (place / "stopped").open("a") as file:
        file.write(text + "\\n")

def changed(pids):
    (place / "pids").write_text(" ".join(str(pid) for pid in pids.values()))

CHILDREN = [
    Child("steady", steady),
    Child("last", last, phase=1),
    Child("deaf", deaf, grace=0.2),
    Child("parent", parent),
]
wanted = sys.argv[2].split(",")
Supervisor(
    [child for child in CHILDREN if child.name in wanted], place / "logs", print, changed=changed
).run()
"""


class Run:
    """A supervisor in a process of its own."""

    def __init__(self, place: Path, names: str) -> None:
        self.place = place
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), str(place), names],
            cwd=home.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert eventually(lambda: len(self.pids()) == len(names.split(",")))

    def pids(self) -> list[int]:
        path = self.place / "pids"
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []

    def log(self, name: str) -> str:
        path = self.place / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture
def supervise(tmp_path):
    runs: list[Run] = []

    def start(names: str) -> Run:
        runs.append(Run(tmp_path, names))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()


def test_what_a_child_prints_goes_to_its_log(supervise):
    run = supervise("steady")

    assert eventually(lambda: run.log("steady") == "here I am\n")


def test_a_killed_child_starts_again(supervise):
    run = supervise("steady")
    first = run.pids()[0]
    os.kill(first, signal.SIGKILL)

    assert eventually(lambda: run.pids() not in ([], [first]))
    assert is_running(run.pids()[0])


def test_children_stop_in_their_order(supervise, tmp_path):
    run = supervise("last,steady")
    assert eventually(lambda: run.log("steady"))

    assert run.stop() == 0
    assert (tmp_path / "stopped").read_text().split() == ["steady", "last"]


def test_a_child_that_does_not_listen_is_killed_after_its_grace(supervise):
    run = supervise("deaf")
    pid = run.pids()[0]

    assert run.stop() == 0
    assert not is_running(pid)


def test_children_end_when_the_supervisor_is_killed(supervise):
    run = supervise("steady,last")
    pids = run.pids()
    run.process.kill()
    run.process.wait()

    assert eventually(lambda: not any(is_running(pid) for pid in pids))


def test_what_a_killed_child_had_started_ends_too(supervise):
    run = supervise("parent")
    top = run.pids()[0]
    assert eventually(lambda: _children(top))
    stragglers = _children(top)
    os.kill(top, signal.SIGKILL)

    assert eventually(lambda: not any(is_running(pid) for pid in stragglers))


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def test_the_pause_doubles_while_a_child_keeps_failing_and_has_an_end(tmp_path):
    supervisor = Supervisor([], tmp_path, lambda text: None)
    seat = _Seat(Child("web", print), Log(tmp_path / "web.log"))
    pauses = []
    for _ in range(9):
        seat.started = time.monotonic()
        supervisor._plan_return(seat, 1)
        pauses.append(round(seat.due - seat.started, 1))

    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_child_that_lived_long_starts_with_a_short_pause_again(tmp_path):
    supervisor = Supervisor([], tmp_path, lambda text: None)
    seat = _Seat(Child("web", print), Log(tmp_path / "web.log"), failures=7)
    seat.started = time.monotonic() - STEADY_SECONDS - 1
    supervisor._plan_return(seat, 1)

    assert round(seat.due - time.monotonic(), 1) == FIRST_PAUSE


def test_a_full_log_is_put_aside(tmp_path):
    log = Log(tmp_path / "web.log")
    for letter in (b"a", b"b", b"c"):
        log.write(letter * (LOG_LIMIT - 1) + b"\n")

    assert (tmp_path / "web.log").read_bytes()[:1] == b"c"
    assert (tmp_path / "web.log.1").read_bytes()[:1] == b"b"
    assert (tmp_path / "web.log.2").read_bytes()[:1] == b"a"
