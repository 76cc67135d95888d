"""A real web process, a real poller and a real Chromium on the test database.

`live_site` starts them and stops them by their ids; `browser_page` is a fresh page. Both work on committed
rows: mark the test with `django_db(transaction=True)`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership
from channels_hub.fake_provider import FakeProvider
from channels_hub.fake_script import Callbacks
from channels_hub.models import ChannelAccount
from channels_hub.simulated import SimPhone
from channels_hub.simulator import services
from tests import processes
from tests.browser.chromium import CHROMIUM, FLAGS, launch
from tests.conftest import PASSWORD
from tests.pages.conftest import settled, write_in

__all__ = ["settled", "write_in"]


class Site:
    """The running desk. `kill_web` and `start_web` are for tests of what happens when it breaks."""

    def __init__(self, nursery: processes.Nursery) -> None:
        self.url, self.web, self.poller = nursery.url, nursery.web(), nursery.poller()

    def start_web(self) -> None:
        self.web.start()
        self.wait()

    def wait(self) -> None:
        processes.wait_for_page(f"{self.url}/login/", 40)

    def kill_web(self) -> None:
        """As a crash: no good-bye to anybody."""
        self.web.kill()


@pytest.fixture(scope="session")
def provider_port() -> int:
    """Of the fake provider: the desk has to know from its start that it may call it."""
    return processes.free_port()


@pytest.fixture(scope="session")
def nursery(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory, provider_port: int
) -> Iterator[processes.Nursery]:
    """The desk is loaded once per run; every test still gets processes that no other test has used."""
    home = tmp_path_factory.mktemp("site")
    own = {"PYTAKE_HOME": str(home), "PYTAKE_COALESCE_SECONDS": "0.2"}
    with processes.Nursery(home, f"127.0.0.1:{provider_port}", **own) as loaded:
        yield loaded


@pytest.fixture
def live_site(transactional_db: None, nursery: processes.Nursery) -> Iterator[Site]:
    """The desk on the test database: web and poller. Yields an object with `.url`."""
    site = Site(nursery)
    with processes.running(site.web, site.poller):
        site.wait()
        yield site


@pytest.fixture
def provider(live_site: Site, twilio_channel: ChannelAccount, provider_port: int) -> Iterator[FakeProvider]:
    """What the Twilio channel sends to; it reports nothing by itself."""
    with FakeProvider(port=provider_port, callbacks=Callbacks(statuses=())) as fake:
        twilio_channel.config["api_base"] = fake.url
        twilio_channel.save(update_fields=["config"])
        yield fake


@pytest.fixture
def phone(live_site: Site, phone_channel: ChannelAccount, settings: Any) -> SimPhone:
    """A customer's phone that is on, and whose owner looks at it."""
    settings.INTERNAL_URL, settings.PYTAKE_ALLOW_PRIVATE_HOSTS = live_site.url, [live_site.url[7:]]
    phone_channel.config["api_base"] = live_site.url
    phone_channel.save(update_fields=["config"])
    phone = services.add_phone(phone_channel, "Mariana Souza")
    SimPhone.objects.update(always_on=True, wrote_at=timezone.now())
    return phone


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
