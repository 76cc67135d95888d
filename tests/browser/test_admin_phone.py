"""The admin's forms of queues and channels on a phone: nothing is wider than the page."""

from __future__ import annotations

import pytest

from queues.models import Calendar, OverflowRule, SlaPolicy

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_no_form_is_wider_than_a_phone(
    live_site, browser_page, enter, olivia, acme, support, make_queue, make_conversation, phone_channel
):
    other = make_queue("geral", max_queue_size=5, overflow_queue=support)
    calendar = Calendar.objects.create(organization=acme, name="Comercial", timezone="America/Sao_Paulo")
    policy = SlaPolicy.objects.create(organization=acme, name="Ouro", clock="calendar", wait_minutes=10)
    OverflowRule.objects.create(
        organization=acme, queue=support, target=other, condition="waited", after_minutes=5
    )
    waiting = make_conversation("queued", queue=support)
    enter(browser_page, olivia, "/admin/")
    browser_page.set_viewport_size({"width": 390, "height": 844})
    found = {}
    for path in (
        f"queues/calendar/{calendar.pk}/change/", f"queues/slapolicy/{policy.pk}/change/",
        f"queues/queue/{support.pk}/change/", "queues/queue/", "queues/agentprofile/",
        f"conversations/conversation/{waiting.pk}/change/", "conversations/routingdecision/",
        "conversations/webhookendpoint/add/", "conversations/delivery/",
        "conversations/delivery/figures", "conversations/deadletter/", "conversations/attempt/",
        "channels_hub/channelaccount/health",
        f"channels_hub/channelaccount/{phone_channel.pk}/change/",
    ):  # fmt: skip
        answer = browser_page.goto(f"{live_site.url}/admin/{path}")
        found[path] = (answer.status, browser_page.evaluate("document.documentElement.scrollWidth"))
    assert found == dict.fromkeys(found, (200, 390))
