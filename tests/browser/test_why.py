"""The reason beside the conversation, in a real browser: asked for only when it is unfolded."""

from __future__ import annotations

import pytest

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
