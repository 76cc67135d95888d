"""Presence in a real browser: the menu by mouse and keys, two tabs, leaving, and coming back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from conversations import attendance, handoff
from conversations.models import Conversation
from queues.models import AgentProfile, BreakReason

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def lunch(acme):
    return BreakReason.objects.create(organization=acme, name="Lunch")


def profile(member) -> AgentProfile:
    return AgentProfile.objects.select_related("break_reason").get(member=member)


def choose(page, name: str) -> None:
    page.click("#me-button")
    page.get_by_role("menuitemradio", name=name).click()


def test_a_break_chosen_in_one_tab_shows_in_the_other(live_site, browser_page, enter, ana, lunch):
    one = browser_page
    enter(one, ana)
    two = one.context.new_page()
    two.goto(f"{live_site.url}/inbox/")
    two.wait_for_selector("#me-dot .at-online")
    choose(one, "Lunch")
    one.wait_for_selector("#me-dot .at-away")
    two.wait_for_selector("#me-dot .at-away", timeout=5_000)

    assert two.locator("#me-presence .menu-note b").text_content() == "Lunch"
    assert one.locator("#me-menu:popover-open").count() == 0
    assert profile(ana).break_reason == lunch


def test_the_menu_works_with_keys_alone(live_site, browser_page, enter, ana):
    page = browser_page
    enter(page, ana)
    page.focus("#me-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#me-menu:popover-open [aria-checked=true]:focus")
    page.keyboard.press("Escape")
    page.wait_for_selector("#me-menu:not(:popover-open)", state="attached")
    assert page.evaluate("document.activeElement.id") == "me-button"
    page.keyboard.press("Enter")
    page.wait_for_selector("#me-menu:popover-open [aria-checked=true]:focus")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector("#me-dot .at-busy")

    assert profile(ana).presence == "busy"


def test_who_is_offline_sees_it_at_the_list_and_is_available_with_a_click(
    live_site, browser_page, enter, ana
):
    page = browser_page
    enter(page, ana)
    hint = page.locator(".off-duty")
    assert not hint.is_visible()
    choose(page, "Offline")
    hint.wait_for(state="visible")

    hint.get_by_role("button").click()
    hint.wait_for(state="hidden")
    assert profile(ana).presence == "online"


def test_going_offline_asks_and_puts_the_conversation_back(
    live_site, browser_page, enter, ana, bia, support, make_conversation
):
    page, conversation = browser_page, make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    enter(page, ana, f"/inbox/{conversation.pk}/")
    choose(page, "Offline")
    page.wait_for_selector("dialog[open] #leave-title:has-text('1 open conversation')")
    assert page.locator(f"dialog [value='agent:{bia.pk}']").count() == 1
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="hidden")
    assert profile(ana).presence == "online"

    choose(page, "Offline")
    page.check("dialog [value=queue]")
    page.click("dialog .btn.p")
    page.wait_for_selector(".toast:has-text('went back to the queue')")
    page.wait_for_selector("#me-dot .at-offline")
    assert page.locator("dialog[open]").count() == 0
    assert Conversation.objects.get(pk=conversation.pk).state == "queued"
    page.wait_for_selector("#count-mine:text-is('0')")


def test_logging_out_passes_the_conversation_to_a_colleague(
    live_site, browser_page, enter, ana, bia, make_conversation
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana)
    page.click("#me-button")
    page.get_by_role("menuitem", name="Log out").click()
    page.check(f"dialog [value='agent:{bia.pk}']")
    page.click("dialog .btn.p")
    page.wait_for_url("**/login/**")

    assert profile(ana).presence == "offline"
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == bia


def test_who_was_set_away_is_told_and_is_back_with_a_click(live_site, browser_page, enter, ana):
    page = browser_page
    enter(page, ana)
    page.wait_for_selector("#me-dot .at-online")
    old = timezone.now() - timedelta(minutes=30)
    AgentProfile.objects.filter(member=ana).update(presence_since=old, last_input_at=old)
    page.wait_for_selector("#me-told:not([hidden])", timeout=30_000)  # the poller's sweep
    assert (profile(ana).presence, profile(ana).is_automatic) == ("away", True)
    page.click("#me-told button")
    page.wait_for_selector("#me-told", state="hidden")

    assert (profile(ana).presence, profile(ana).is_automatic) == ("online", False)


def test_typing_alone_brings_back_who_was_set_away(live_site, browser_page, enter, ana):
    page = browser_page
    page.clock.install()
    enter(page, ana)
    page.wait_for_selector("#me-dot .at-online")
    AgentProfile.objects.filter(member=ana).update(
        presence="away", is_automatic=True, presence_since=timezone.now() - timedelta(minutes=1)
    )
    page.wait_for_selector("#me-dot .at-away")
    page.fill("#q", "alguém")
    page.keyboard.press("Backspace")
    page.clock.fast_forward(20_000)  # the page tells of what was touched every 18 seconds
    page.wait_for_selector("#me-dot .at-online", timeout=60_000)

    assert profile(ana).is_automatic is False


@pytest.mark.parametrize("path", ["/queues/", "/wall/", "/preferences/"])
def test_the_menu_works_on_every_page_with_the_rail(live_site, browser_page, enter, ana, lunch, path):
    page = browser_page
    enter(page, ana, path)
    page.wait_for_selector("#me-dot .at-online")
    choose(page, "Lunch")
    page.wait_for_selector("#me-dot .at-away")

    assert page.url.endswith(path)
    assert profile(ana).break_reason == lunch


def test_on_the_board_who_goes_offline_is_asked_and_a_change_from_elsewhere_shows(
    live_site, browser_page, enter, ana, make_conversation
):
    page = browser_page
    make_conversation("human_handoff", agent=ana)
    enter(page, ana, "/queues/")
    page.wait_for_selector("#me-dot .at-online")
    attendance.set_presence(ana, "busy")
    page.wait_for_selector("#me-dot .at-busy")
    choose(page, "Offline")
    page.wait_for_selector("dialog[open] #leave-title")
    page.click("dialog .btn.p")
    page.wait_for_selector("#me-dot .at-offline")

    assert page.locator("dialog[open]").count() == 0
    assert page.url.endswith("/queues/")


def test_a_note_closes_no_dialog_but_its_own_success_does(
    live_site, browser_page, enter, ana, support, make_conversation
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{conversation.pk}/")
    page.click("#head [data-key=t]")
    page.wait_for_selector("dialog[open] [name=to]")
    page.fill("dialog [name=note]", "sobre a troca")
    page.evaluate("document.dispatchEvent(new CustomEvent('pt:toast', {detail: {text: 'Outra coisa'}}))")
    page.evaluate("htmx.ajax('GET', location.pathname, {target: '#open', swap: 'outerHTML'})")
    page.wait_for_selector(".toast:has-text('Outra coisa')")
    page.wait_for_load_state("networkidle")
    assert page.input_value("dialog[open] [name=note]") == "sobre a troca"
    assert page.locator("#toasts:popover-open").count() == 1  # above the dialog, not below it

    page.locator("dialog [name=to]").first.check()
    page.click("dialog .btn.p")
    page.wait_for_selector("dialog[open]", state="detached")
