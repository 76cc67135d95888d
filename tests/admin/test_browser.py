"""In a real browser: the test client neither runs scripts nor obeys a content security policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Membership
from conversations.models import Conversation
from flows.models import Flow
from tests.admin.pages import page
from tests.admin.world import World
from tests.browser.chromium import launch

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def session_of(member: Membership) -> str:
    client = Client()
    client.force_login(member.user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


@contextmanager
def desk(url: str, session: str) -> Iterator[tuple[Any, list[str]]]:
    """A page that is logged in, and what went wrong on it. Only the browser works in here: no queries."""
    with launch() as browser:
        context = browser.new_context(viewport={"width": 1366, "height": 900})
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": url}])
        tab = context.new_page()
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
        yield tab, wrong


def test_an_act_on_a_row_opens_its_dialog_and_is_carried_out(ours: World, live_server: Any) -> None:
    session = session_of(ours.members["supervisor"])

    with desk(live_server.url, session) as (tab, wrong):
        tab.goto(live_server.url + page(Conversation, "changelist"))
        row = tab.locator("#result_list tr", has_text="OURMARK contact")
        row.locator(".field-actions_holder span").first.click()
        tab.locator(f'nav:visible a[href="{page(Conversation, "close", ours[Conversation].pk)}"]').click()
        tab.locator("#dialog button[type=submit]").click()
        tab.get_by_text("The conversation is closed.").wait_for()

    assert wrong == []
    assert Conversation.objects.get(pk=ours[Conversation].pk).state == "closed"


def test_an_act_on_the_page_says_what_is_missing_and_then_moves(ours: World, live_server: Any) -> None:
    session = session_of(ours.members["supervisor"])

    with desk(live_server.url, session) as (tab, wrong):
        tab.goto(live_server.url + page(Conversation, "change", ours[Conversation].pk))
        tab.locator("ul.container > li > a", has_text="Move").click()
        tab.locator(f'nav:visible a[href="{page(Conversation, "assign", ours[Conversation].pk)}"]').click()
        tab.locator("#dialog button[type=submit]").click()
        tab.locator("#dialog .errors").wait_for()
        tab.select_option("#dialog select", label="OURMARK agent (available)")
        tab.locator("#dialog button[type=submit]").click()
        tab.get_by_text("OURMARK agent has the conversation.").wait_for()

    assert wrong == []
    assert Conversation.objects.get(pk=ours[Conversation].pk).assigned_agent == ours.members["agent"]


def test_the_save_button_outside_the_form_saves(ours: World, live_server: Any) -> None:
    session = session_of(ours.members["supervisor"])

    with desk(live_server.url, session) as (tab, wrong):
        tab.goto(live_server.url + page(Flow, "change", ours[Flow].pk))
        tab.fill("input[name=name]", "Renamed")
        tab.locator("button[name=_save]").click()
        tab.wait_for_url("**/flow/")

    assert wrong == []
    assert Flow.objects.get(pk=ours[Flow].pk).name == "Renamed"
