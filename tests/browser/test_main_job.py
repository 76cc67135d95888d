"""The main job in a real browser: a phone writes, the bot hands over, an agent answers, ticks come back.

With PYTAKE_SCREENSHOTS=1 the pictures of docs/img are made anew from this very run.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command

from conversations.invariants import findings
from conversations.models import Conversation, Message
from tests import processes
from tests.browser.chromium import launch

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PASSWORD = "a-demo-password-for-tests"
PICTURES = processes.ROOT / "docs" / "img"


@pytest.fixture
def desk(transactional_db: None, nursery: processes.Nursery, settings: Any) -> Iterator[str]:
    """The demo, served by the real web process and drained by the real poller."""
    settings.PUBLIC_URL = settings.INTERNAL_URL = nursery.url
    call_command("load_demo", password=PASSWORD, stdout=io.StringIO())
    with processes.running(nursery.web(), nursery.poller()):
        processes.wait_for_page(f"{nursery.url}/healthz")
        yield nursery.url


def log_in(page: object, url: str, who: str) -> None:
    page.goto(f"{url}/login/")
    page.fill("input[name=email]", f"{who}@demo.pytake")
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda address: "/login/" not in address)


def picture(page: object, name: str) -> None:
    if os.environ.get("PYTAKE_SCREENSHOTS"):
        PICTURES.mkdir(parents=True, exist_ok=True)
        # The caret stays: hiding it is an inline style, which our own policy refuses.
        page.screenshot(path=PICTURES / f"{name}.png", caret="initial")


def test_from_the_customers_phone_to_the_agent_and_back(everywhere: None, desk: str) -> None:
    with launch() as browser:
        watcher = browser.new_context(viewport={"width": 1366, "height": 820}, locale="pt-BR").new_page()
        agent = browser.new_context(viewport={"width": 1366, "height": 820}, locale="pt-BR").new_page()
        violations: list[str] = []
        for page in (watcher, agent):
            page.on("console", lambda m: violations.append(m.text) if "Content Security" in m.text else None)
            page.on("pageerror", lambda error: violations.append(str(error)))
        log_in(watcher, desk, "supervisor")
        watcher.goto(f"{desk}/simulator/")
        phone = watcher.locator("[data-phone]").first
        log_in(agent, desk, "bruno")
        agent.goto(f"{desk}/inbox/?tab=queue")

        phone.locator("input[name=text]").fill("Oi, preciso de ajuda")
        phone.locator("input[name=text]").press("Enter")
        phone.locator(".sim-option").first.wait_for(timeout=20_000)
        picture(watcher, "simulator")
        phone.locator(".sim-option", has_text="Acompanhar pedido").click()
        phone.get_by_text("número do pedido").wait_for(timeout=20_000)
        phone.locator("input[name=text]").fill("48213")
        phone.locator("input[name=text]").press("Enter")
        phone.get_by_text("Transferindo").wait_for(timeout=20_000)

        row = agent.locator("li[id^=row-]", has_text="Mariana Souza")
        row.wait_for(timeout=20_000)  # it came by the socket: the page was open all the time
        picture(agent, "queue")
        row.locator("a").click()
        agent.locator("#head").get_by_text("Mariana Souza").wait_for()
        agent.keyboard.press("a")
        composer = agent.locator("textarea#b")
        composer.wait_for(timeout=10_000)
        assert "48213" in agent.locator(".sum").inner_text()
        composer.fill("Olá Mariana! Seu pedido 48213 chega hoje.")
        composer.press("Enter")
        phone.get_by_text("Seu pedido 48213 chega hoje.").wait_for(timeout=20_000)
        bubble = agent.locator("article.m", has_text="chega hoje")
        bubble.locator("svg.rd").wait_for(timeout=20_000)  # the blue ticks
        picture(agent, "inbox")

        agent.keyboard.press("Escape")
        agent.keyboard.press("e")
        agent.locator("#composer textarea#b").wait_for(state="detached", timeout=10_000)
        assert violations == []
    # After the browser: its event loop has a database connection of its own.
    message = Message.objects.select_related("conversation").get(text__contains="chega hoje")
    assert (message.status, message.conversation.state) == ("read", "closed")
    assert list(findings()) == []


def test_nothing_of_it_is_left_unsaid_in_the_database(everywhere: None, desk: str) -> None:
    seeded = Conversation.objects.count()
    assert seeded >= 3
    assert list(findings()) == []
