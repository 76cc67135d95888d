"""Offers in a real browser: they come, run down, go to the colleague and open the conversation."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from conversations.models import Conversation, Offer, State
from queues.models import AgentProfile
from tests.browser.chromium import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def offers(make_queue):
    """A queue that asks the one who was asked the longest ago: ana, then bia."""
    return make_queue("plantao", routing_mode="round_robin", auto_assign_conversations=True, offer_seconds=60)


@pytest.fixture
def another_page(chromium):
    """A colleague's window, with cookies of its own."""
    context = chromium.new_context(locale="en-US", viewport={"width": 1366, "height": 860})
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def asked_first(ana: Any, bia: Any) -> None:
    AgentProfile.objects.filter(member=bia).update(last_assigned_at=timezone.now())


def live(page: Any) -> None:
    """The page's socket is up: what comes now comes by it."""
    page.wait_for_load_state("networkidle")


def left(page: Any) -> int:
    minutes, seconds = page.text_content(".offer pt-left").split(":")
    return int(minutes) * 60 + int(seconds)


def test_an_offer_comes_live_counts_down_and_when_declined_goes_to_the_colleague_who_accepts(
    live_site, browser_page, another_page, enter, ana, bia, offers, make_conversation, make_contact
):
    asked_first(ana, bia)
    mine, theirs = browser_page, another_page
    enter(mine, ana)
    enter(theirs, bia)
    live(mine)
    live(theirs)
    began = time.monotonic()
    conversation = make_conversation("queued", queue=offers, contact=make_contact("Mariana"))
    mine.wait_for_selector(f"#offer-{conversation.pk}")
    assert time.monotonic() - began < 10  # seconds; about one on a quiet machine
    assert "Mariana" in mine.text_content("#live-status")

    first = left(mine)
    mine.wait_for_timeout(2100)
    assert first - 5 < left(mine) < first <= 60
    assert theirs.locator(".offer").count() == 0

    mine.keyboard.press("d")
    mine.wait_for_selector(".offer", state="detached")
    assert mine.locator("#offers").is_hidden()
    theirs.wait_for_selector(f"#offer-{conversation.pk}")
    theirs.keyboard.press("y")
    theirs.wait_for_url(re.compile(f"/inbox/{conversation.pk}/"))
    theirs.wait_for_selector("pt-composer[data-mode=reply]")
    theirs.wait_for_selector(".offer", state="detached")
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == bia


def test_an_offer_that_nobody_answers_vanishes(
    live_site, browser_page, enter, ana, offers, make_conversation
):
    page = browser_page
    enter(page, ana)
    live(page)
    make_conversation("queued", queue=offers)
    page.wait_for_selector(".offer")
    Offer.objects.update(expires_at=timezone.now() + timedelta(seconds=4))
    page.reload()
    page.wait_for_selector(".offer .left.bad")
    page.wait_for_selector(".offer.over button[disabled]")
    page.wait_for_selector(".offer", state="detached")

    assert page.locator("#offers").is_hidden()


def test_two_windows_of_one_agent_accepting_in_one_takes_the_card_from_the_other(
    live_site, browser_page, another_page, enter, ana, offers, make_conversation
):
    enter(browser_page, ana)
    enter(another_page, ana)
    live(another_page)
    conversations = [make_conversation("queued", queue=offers) for _n in range(2)]
    for page in (browser_page, another_page):
        page.wait_for_selector(".offer + .offer")
    browser_page.click(f"#accept-{conversations[1].pk}")
    another_page.wait_for_selector(f"#offer-{conversations[1].pk}", state="detached")

    assert another_page.locator(f"#offer-{conversations[0].pk}").is_visible()
    browser_page.wait_for_selector("pt-composer[data-mode=reply]")


def test_what_was_offered_while_the_line_was_down_stands_there_when_it_is_back(
    live_site, browser_page, enter, ana, offers, make_conversation
):
    page = browser_page
    enter(page, ana)
    live(page)
    live_site.kill_web()
    make_conversation("queued", queue=offers)
    page.wait_for_selector("#offline:not([hidden])")
    live_site.start_web()
    page.wait_for_selector(".offer", timeout=40_000)

    assert Offer.objects.get().outcome == ""


def test_on_a_phone_the_card_stands_above_the_open_conversation(
    live_site, browser_page, enter, ana, offers, make_conversation
):
    page, open_one = browser_page, make_conversation("human_handoff", agent=ana)
    page.set_viewport_size({"width": 390, "height": 800})
    enter(page, ana, f"/inbox/{open_one.pk}/")
    live(page)
    make_conversation("queued", queue=offers)
    page.wait_for_selector(".offer")
    until(page, "document.querySelector('.offer').getBoundingClientRect().height > 0")
    card, header = (page.locator(name).bounding_box() for name in (".offer", "#head"))

    assert card["y"] + card["height"] <= header["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert card["height"] > 100
    page.click("#hold")
    page.wait_for_selector("#resume")
    wide, room = page.eval_on_selector("#head", "head => [head.scrollWidth, head.clientWidth]")
    assert wide <= room


def test_hold_snooze_and_resume_by_mouse_and_key(live_site, browser_page, enter, ana, make_conversation):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{conversation.pk}/?tab=mine")
    page.click("#hold")
    page.wait_for_selector("#head .chip:has-text('On hold')")
    page.wait_for_selector(f"#row-{conversation.pk} .chip:has-text('On hold')")
    page.locator("#ct").click()
    page.keyboard.press("h")
    page.wait_for_selector("dialog[open] [name=until]")
    tomorrow = (timezone.localtime() + timedelta(days=1)).date().isoformat()
    page.fill("dialog [name=date]", tomorrow)
    page.fill("dialog [name=time]", "14:30")
    page.click("dialog .btn.p")
    page.wait_for_selector("#head .chip:has-text('Snoozed until')")
    assert "14:30" in page.text_content("#head .chip:has-text('Snoozed until')")
    assert page.locator("dialog[open]").count() == 0
    page.click("#resume")
    page.wait_for_selector("#hold")

    rested = Conversation.objects.get(pk=conversation.pk)
    assert (rested.held_at, rested.snoozed_until) == (None, None)


def test_a_supervisor_confirms_above_capacity_in_the_dialog(
    live_site, browser_page, enter, ana, sofia, support, make_conversation
):
    AgentProfile.objects.filter(member=ana).update(capacity=0)
    page, conversation = browser_page, make_conversation("queued", queue=support)
    enter(page, sofia, f"/inbox/{conversation.pk}/")
    page.wait_for_selector("#head")
    page.keyboard.press("t")
    page.check(f"input[value='agent:{ana.pk}']")
    page.click("dialog .btn.p")
    page.wait_for_selector("dialog[open] :text('Ana has 0 of 0. Give it all the same?')")
    assert Conversation.objects.get(pk=conversation.pk).state == State.QUEUED
    page.click("dialog .btn.p")
    page.wait_for_selector("#head .chip:has-text('Ana')")

    assert page.locator("dialog[open]").count() == 0
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == ana
