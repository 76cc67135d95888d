"""A running installation of its own for the start-up tests: own home, own port, own stores."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pytake import home

OURS = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PORT", "BIND", "PUBLIC_URL", "INTERNAL_URL", "DEBUG")
CHILDREN = {"web", "worker", "beat", "poller", "provider"}
PATIENCE = 60.0


def bare_environment() -> dict[str, str]:
    """What a new user has: nothing of the test run leaks into the installation under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTAKE_", "PYTEST_"))}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    # Empty means "not set" and, unlike missing, keeps a developer's .env out.
    return kept | dict.fromkeys(OURS, "") | {"PYTAKE_NO_BOOTSTRAP": "1"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def eventually(condition: Callable[[], object], patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Installation:
    """`manage.py up`, started from another directory as a user would start it from a shell."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.output = place / "output"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = bare_environment() | {"PYTAKE_HOME": str(self.home), "PORT": str(self.port)}

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self._command("up"),
                env=self.environment,
                cwd="/",
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        assert eventually(lambda: self.answers() or self.process.poll() is not None), self.said()
        assert self.answers(), self.said()
        assert eventually(lambda: "PyTake is ready" in self.said()), self.said()

    def command(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(*arguments),
            env=self.environment | environment,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def answers(self) -> bool:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", "/healthz")
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            client.close()

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def children(self) -> dict[str, int]:
        return home.read_json(self.home / "up.json").get("children", {})

    def complete(self) -> dict[str, int]:
        """All children, once all of them run."""
        assert eventually(lambda: set(self.children()) == CHILDREN), self.children()
        return self.children()

    def pids(self) -> set[int]:
        """The supervisor, its children, theirs, and the stores."""
        top = psutil.Process(self.process.pid)
        return {top.pid} | {process.pid for process in top.children(recursive=True)}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(home.ROOT / "manage.py"), *arguments]


@contextmanager
def open_directory() -> Iterator[Path]:
    """Outside pytest's own directories: they are closed to the user that root's PostgreSQL runs as."""
    place = Path(tempfile.mkdtemp(prefix="pytake-startup-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def open_place() -> Iterator[Path]:
    with open_directory() as place:
        yield place


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Running already; every test may hurt it, for it has to recover."""
    with open_directory() as place:
        yield from _running(Installation(place))


def _running(installation: Installation) -> Iterator[Installation]:
    try:
        installation.start()
        yield installation
    finally:
        if installation.process.poll() is None:
            installation.stop()


@pytest.fixture
def bare_env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """This process without any of our variables."""
    for name in list(os.environ):
        if name.startswith("PYTAKE_") or name in OURS:
            monkeypatch.delenv(name)
    return monkeypatch
