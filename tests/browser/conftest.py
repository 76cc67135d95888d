"""A real web process, a real poller and a real Chromium on the test database.

`live_site` starts them and stops them by their ids; `browser_page` is a fresh page. Both work on committed
rows: mark the test with `django_db(transaction=True)`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import Membership
from tests.conftest import PASSWORD
from tests.pages.conftest import settled, write_in

__all__ = ["settled", "write_in"]
ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Site:
    """The running desk. `kill_web` and `start_web` are for tests of what happens when it breaks."""

    home: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        db = connection.settings_dict
        password = f":{db['PASSWORD']}" if db["PASSWORD"] else ""
        # An embedded server listens on a socket in a directory: that goes into the query.
        host, query = (db["HOST"], "") if not db["HOST"].startswith("/") else ("", f"?host={db['HOST']}")
        port = f":{db['PORT']}" if db["PORT"] and host else ""
        return {
            **os.environ,
            "DATABASE_URL": f"postgresql://{db['USER']}{password}@{host}{port}/{db['NAME']}{query}",
            "REDIS_URL": settings.REDIS_URL,
            "SECRET_KEY": settings.SECRET_KEY,
            "PYTAKE_FIELD_KEYS": ",".join(settings.PYTAKE_FIELD_KEYS),
            "DJANGO_SETTINGS_MODULE": "pytake.settings",
            "PYTAKE_HOME": str(self.home),
            "PYTAKE_TESTING": "1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "INTERNAL_URL": self.url,
            "PYTAKE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{self.port}",
            "PYTAKE_COALESCE_SECONDS": "0.2",
        }

    def run(self, name: str, *command: str) -> None:
        log = (self.home / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environment(), stdout=log, stderr=log
        )
        log.close()

    def start_web(self) -> None:
        self.run(
            "web",
            "-m",
            "uvicorn",
            "pytake.asgi:application",
            "--port",
            str(self.port),
            "--log-level",
            "warning",
        )
        until = time.monotonic() + 40
        while time.monotonic() < until:
            if self.processes["web"].poll() is not None:
                break
            try:
                urllib.request.urlopen(f"{self.url}/login/", timeout=5).close()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the web process did not start:\n" + self.log("web"))

    def kill_web(self) -> None:
        """As a crash: no good-bye to anybody."""
        self.processes["web"].send_signal(signal.SIGKILL)
        self.processes.pop("web").wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.processes.clear()

    def log(self, name: str) -> str:
        path = self.home / f"{name}.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


@pytest.fixture(scope="module")
def site_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the collected static files in it."""
    home = tmp_path_factory.mktemp("site")
    environment = {
        **os.environ,
        "PYTAKE_HOME": str(home),
        "PYTAKE_TESTING": "1",
        "DJANGO_SETTINGS_MODULE": "pytake.settings",
    }
    command = [sys.executable, "-m", "django", "collectstatic", "--noinput", "--link", "-v0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    return home


@pytest.fixture
def live_site(transactional_db: None, site_home: Path) -> Iterator[Site]:
    """The desk on the test database: web and poller. Yields an object with `.url`."""
    site = Site(site_home, free_port())
    try:
        site.start_web()
        site.run("poller", "manage.py", "poller")
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Per module: Playwright keeps an event loop running, which tests of other modules must not find."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        reason = "Chromium is missing: install Debian's package `chromium` to run the browser tests"
        print(reason)
        pytest.skip(reason)
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = (
        "true"  # its loop runs in this thread; nothing of ours is async here
    )
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
    else:
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


@pytest.fixture
def browser_page(chromium: Any) -> Iterator[Any]:
    """A page of its own; a script error or a report of the content security policy fails the test."""
    context = chromium.new_context(locale="en-US", viewport={"width": 1366, "height": 860})
    page = context.new_page()
    page.set_default_timeout(20_000)
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None
    )
    yield page
    context.close()
    assert troubles == []


@pytest.fixture
def enter(live_site: Site) -> Callable[..., None]:
    """Log a member in through the page, as a person does."""

    def log_in(page: Any, member: Membership, then: str = "/inbox/") -> None:
        page.goto(f"{live_site.url}/login/?next={then}")
        page.fill("#id_email", member.user.email)
        page.fill("#id_password", PASSWORD)
        page.click("button.wide")
        page.wait_for_url(lambda url: "/login" not in url)

    return log_in
