"""Real processes on the test database: started in their own groups, stopped by pid, gone after the test."""

from __future__ import annotations

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


def web(port: int, log: Path, **environment: str) -> Process:
    arguments = ["-m", "uvicorn", "pytake.asgi:application", "--port", str(port), "--lifespan", "off"]
    arguments += ["--no-access-log", "--log-level", "warning"]
    url = f"http://127.0.0.1:{port}"
    return Process(arguments, log, PORT=str(port), PUBLIC_URL=url, INTERNAL_URL=url, **environment)


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
            time.sleep(0.1)
    raise TimeoutError(url)


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.stop()
