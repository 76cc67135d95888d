"""A real web process, a real poller and a real Chromium on the test database.

`live_site` starts them and stops them by their ids; `browser_page` is a fresh page. Both work on committed
rows: mark the test with `django_db(transaction=True)`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Membership
from tests import processes
from tests.browser.chromium import CHROMIUM, FLAGS, launch
from tests.conftest import PASSWORD
from tests.pages.conftest import settled, write_in

__all__ = ["settled", "write_in"]


@dataclass
class Site:
    """The running desk. `kill_web` and `start_web` are for tests of what happens when it breaks."""

    home: Path
    port: int

    def __post_init__(self) -> None:
        own = {
            "PYTAKE_HOME": str(self.home),
            "PYTAKE_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{self.port}",
            "PYTAKE_COALESCE_SECONDS": "0.2",
        }
        self.web = processes.web(self.port, self.home / "web.log", **own)
        self.poller = processes.poller(
            self.home / "poller.log", PORT=str(self.port), PUBLIC_URL=self.url, INTERNAL_URL=self.url, **own
        )
        processes.wait_for_page(f"{self.url}/login/", 40)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_web(self) -> None:
        self.web.start()
        processes.wait_for_page(f"{self.url}/login/", 40)

    def kill_web(self) -> None:
        """As a crash: no good-bye to anybody."""
        self.web.kill()

    def stop(self) -> None:
        self.web.stop()
        self.poller.stop()


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
    subprocess.run(command, cwd=processes.ROOT, env=environment, check=True, timeout=120)
    return home


@pytest.fixture
def live_site(transactional_db: None, site_home: Path) -> Iterator[Site]:
    """The desk on the test database: web and poller. Yields an object with `.url`."""
    site = Site(site_home, processes.free_port())
    try:
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Per module: Playwright keeps an event loop running, which tests of other modules must not find."""
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    # Its loop runs in this thread; nothing of ours is async here.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with launch() as browser:
        yield browser
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


@pytest.fixture
def chromium_with_sound(chromium: Any) -> Iterator[Any]:
    """A page whose microphone hums; Chromium takes that as a flag of its start."""
    arguments = [*FLAGS, "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    browser = chromium.browser_type.launch(executable_path=str(CHROMIUM), args=arguments)
    page = browser.new_context(locale="en-US", permissions=["microphone"]).new_page()
    page.set_default_timeout(20_000)
    yield page
    browser.close()
