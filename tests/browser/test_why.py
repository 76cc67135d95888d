"""The reason beside the conversation, in a real browser: asked for only when it is unfolded."""

from __future__ import annotations

import pytest

from conversations import handoff
from queues.models import AgentProfile

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]


def test_the_reason_unfolds_beside_the_conversation(
    live_site, browser_page, enter, ana, support, make_conversation
):
    conversation = make_conversation("queued", queue=support)
    enter(browser_page, ana)
    browser_page.goto(f"{live_site.url}/inbox/{conversation.pk}/")
    assert not browser_page.is_visible("#why-told")

    browser_page.focus(".why summary")
    browser_page.keyboard.press("Enter")

    browser_page.wait_for_selector("#why-told")
    assert "Suporte" in browser_page.text_content("#why-told")
    browser_page.click("#why-told .agents summary")
    assert browser_page.is_visible("#why-told .agents li.yes")


def test_what_is_unfolded_stays_so_and_becomes_true_again(
    live_site, browser_page, enter, sofia, ana, bia, support, make_conversation
):
    conversation, page = make_conversation("queued", queue=support), browser_page
    enter(page, sofia, f"/inbox/{conversation.pk}/?tab=all")
    page.click("#why > summary")
    page.wait_for_selector("#why-told:has-text('Waits in Suporte')")
    page.click(f"#why-{ana.pk} summary")
    page.evaluate("window.stays = true")
    handoff.claim(conversation.pk, agent_id=bia.pk)
    page.wait_for_selector("#why-told:has-text('Bia has it')")

    assert page.evaluate("window.stays && document.getElementById('why').open")
    assert page.is_visible("#why-told")


def test_a_reason_without_a_move_is_seen_too(
    live_site, browser_page, enter, sofia, ana, support, make_conversation, write_in
):
    conversation, page = make_conversation("queued", queue=support), browser_page
    enter(page, sofia, f"/inbox/{conversation.pk}/?tab=all")
    page.click("#why > summary")
    page.click(f"#why-{ana.pk} summary")
    AgentProfile.objects.filter(member=ana).update(capacity=0)
    write_in(conversation, "Alguém?")
    page.wait_for_selector(f"#why-{ana.pk} summary:not(:has-text('can take it'))")

    assert page.locator(f"#why-{ana.pk}[open]").count() == 1
