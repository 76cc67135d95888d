"""Twilio in a real browser: a channel is set up, and a template goes out while the window is closed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels_hub.fake_provider import FakeProvider
from channels_hub.models import MessageTemplate
from conversations.models import Conversation, Message
from tests.browser.chromium import until
from tests.browser.test_axe import LOOKS, PICTURES, RUN, TAGS, VENDOR

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]
TICK = "document.querySelector('#log .m.o:not(.sending) footer .vh')?.textContent"


@pytest.fixture
def shut(ana, make_conversation, make_contact, provider: FakeProvider) -> Conversation:
    """The customer's 24 hours are over; the platform keeps one template."""
    contact = make_contact("Mariana Souza")
    conversation = make_conversation("human_handoff", agent=ana, contact=contact)
    Conversation.objects.update(last_inbound_at=timezone.now() - timedelta(days=2))
    body = "Olá {{1}}, saiu o {{pedido}}."
    sid = provider.add_content({"friendly_name": "saiu", "types": {"twilio/text": {"body": body}}})
    MessageTemplate.objects.create(
        organization_id=conversation.organization_id, account_id=conversation.channel_id, ref=sid,
        name="saiu", language="pt_BR", body=body, approval="approved",
    )  # fmt: skip
    return conversation


def test_a_template_goes_out_while_the_window_is_closed_and_its_ticks_rise(
    live_site, browser_page, enter, ana, provider: FakeProvider, shut
):
    page = browser_page
    provider.callbacks(statuses=["sent", "delivered"], delay=0.3, gap=0.3)
    enter(page, ana, f"/inbox/{shut.pk}/")
    page.wait_for_selector("pt-composer[data-mode=template] form[data-template]")
    page.fill("[name=v-pedido]", "31")
    assert page.text_content(".preview") == "Olá Mariana, saiu o 31."
    page.click("form[data-template] .btn.p")
    page.wait_for_selector("#log .m.o:has-text('Olá Mariana, saiu o 31.')")
    until(page, f"{TICK} === 'delivered'")

    (request,) = provider.requests()
    form, template = request["form"], MessageTemplate.objects.get()
    assert form["ContentSid"] == template.ref
    assert json.loads(form["ContentVariables"]) == {"1": "Mariana", "pedido": "31"}
    assert "Body" not in form
    assert request["body"] == Message.objects.get(direction="out").text == "Olá Mariana, saiu o 31."


def test_a_channel_is_set_up_on_its_own_page(
    live_site, browser_page, enter, olivia, provider: FakeProvider, twilio_channel, make_conversation
):
    page = browser_page
    provider.callbacks(statuses=["sent", "delivered"], delay=0.3)
    customer = make_conversation("pending").contact.identities.get().value
    enter(page, olivia, f"/admin/channels_hub/channelaccount/{twilio_channel.pk}/change/")
    page.click("a[href$='/set-up/'], a[href*='/set-up']")
    page.click(".set-up-checks button[type=submit]")
    page.wait_for_selector(".set-up-senders")
    assert page.locator(".set-up-hook .report-bad").count() == 3
    looked_at(page, "set-up-wrong")

    page.click("form:has([value=connect]) button[type=submit]")
    page.wait_for_selector(".set-up-hook .report-fine")
    assert page.locator(".set-up-hook .report-bad").count() == 0
    page.fill("[name=phone]", customer)
    page.click("form:has([value=test]) button[type=submit]")
    page.wait_for_selector("#test-status.is-success")
    until(page, "!document.querySelector('#test-status').hasAttribute('hx-get')")
    copied = page.evaluate("""async () => {
        let text = ""
        navigator.clipboard.writeText = async (given) => { text = given }
        document.querySelector("[data-copy=hook-inbound]").click()
        return text
    }""")
    assert copied == f"{live_site.url}/webhooks/twilio/{twilio_channel.public_id}/inbound#rc=3&rp=all"
    looked_at(page, "set-up-right")


def looked_at(page: Any, name: str) -> None:
    """Before axe, light and dark, on a desk and on a phone, where nothing is wider than the page."""
    page.evaluate((VENDOR / "axe.min.js").read_text())
    found = {}
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate("(dark) => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
        page.set_viewport_size({"width": width, "height": 860})
        page.wait_for_timeout(300)
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", full_page=True)
        violations = page.evaluate(RUN.replace("document,", "document.querySelector('.set-up'),"), TAGS)
        if violations or page.evaluate("document.documentElement.scrollWidth") > width:
            found[scheme, width] = violations
    page.set_viewport_size({"width": 1366, "height": 860})
    assert found == {}
