"""Real processes on the test database: started in their own groups, stopped by pid, gone after the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.kit import database_url

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One child in its own process group, its output in a file."""

    def __init__(self, arguments: list[str], log: Path, **environment: str) -> None:
        self.arguments, self.log = arguments, log
        self.environment = {**os.environ, "DATABASE_URL": database_url(), **environment}
        self.child: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=ROOT, env=self.environment, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """kill -9 of the whole group."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()

    def stop(self) -> None:
        """SIGTERM, then the axe."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGTERM)
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


class Nursery:
    """The desk loaded once: web and pollers with its environment and port, without the seconds of a start."""

    def __init__(self, home: Path, *hosts: str, **environment: str) -> None:
        """Logs go into `home`; the desk may call itself and these hosts."""
        port = free_port()
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        own = {"PORT": str(port), "PUBLIC_URL": self.url, "INTERNAL_URL": self.url, "PYTAKE_TESTING": "1"}
        own |= {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "pytake.settings"}
        own["PYTAKE_ALLOW_PRIVATE_HOSTS"] = ",".join([f"127.0.0.1:{port}", *hosts])
        with (home / "nursery.log").open("ab") as out:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "bench.nursery"], cwd=ROOT, env={**os.environ, **own, **environment},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing more to ask: it ends, and its children with it."""
        with self.child:
            assert self.child.stdin is not None
            self.child.stdin.close()

    def ask(self, **order: object) -> int:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(order) + "\n")
        self.child.stdin.flush()
        return int(json.loads(self.child.stdout.readline()))

    def web(self) -> Fork:
        return Fork(self, "web")

    def poller(self) -> Fork:
        return Fork(self, "poller")


class Fork:
    """A child of the nursery: the same verbs as Process, and there at once."""

    def __init__(self, nursery: Nursery, role: str) -> None:
        self.nursery, self.role, self.pid = nursery, role, 0
        self.start()

    def start(self) -> None:
        self.pid = self.nursery.ask(run=self.role, log=str(self.nursery.home / f"{self.role}.log"))

    def kill(self) -> None:
        """kill -9 of the whole group."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, then the axe."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.pid:
            os.killpg(self.pid, number)
            self.nursery.ask(bury=self.pid, patience=10)
            self.pid = 0


def poller(log: Path, **environment: str) -> Process:
    return Process(["-m", "django", "poller"], log, DJANGO_SETTINGS_MODULE="pytake.settings", **environment)


def wait_for_page(url: str, seconds: float = 30.0) -> None:
    """Until the address answers at all; raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(url)


@contextmanager
def running(*processes: Process | Fork) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.stop()
