"""Every call of a platform can be read: what was said and answered, in words, and what to do about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import translation

from channels_hub.models import ChannelAccount
from conversations import troubles
from conversations.models import Attempt, DeadLetter, Delivery, Message, Receipt
from tests.admin.pages import page
from tests.admin.sendings import call, sending
from tests.admin.world import World

LIST = page(Attempt, "changelist")
HOUR = timedelta(hours=1)


def shown(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


def test_a_call_is_readable_and_tells_no_values(lead: Client, ours: World) -> None:
    html = shown(lead, page(Attempt, "change", ours[Attempt].pk))

    assert "POST https://api.example.com/x\n    Body, To\n→ 400 (118 ms)\n    code: 63016" in html
    assert "The 24-hour window is closed" in html
    assert "Send an approved template." in html  # the adapter's own advice


def test_a_call_under_way_says_so(lead: Client, ours: World) -> None:
    Attempt.objects.filter(pk=ours[Attempt].pk).update(ended_at=None, outcome="", request=None, response=None)

    assert "under way" in shown(lead, LIST)
    assert "under way" in shown(lead, page(Attempt, "change", ours[Attempt].pk))


def test_the_outbox_page_has_calls_reports_and_advice(lead: Client, ours: World) -> None:
    delivery = ours[DeadLetter]
    Receipt.objects.create(
        organization=ours.organization, delivery_id=delivery.pk, state="failed", code="63016",
        at=delivery.settled_at, detail="told by callback",
    )  # fmt: skip

    html = shown(lead, page(Delivery, "change", delivery.pk))

    assert page(Attempt, "change", ours[Attempt].pk) in html
    assert "told by callback" in html
    assert "Send an approved template, or wait until the customer writes." in html


def test_the_message_leads_to_its_deliveries(lead: Client, ours: World) -> None:
    delivery = ours[DeadLetter]

    assert page(Delivery, "change", delivery.pk) in shown(lead, page(Message, "change", delivery.message_id))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("delivery={delivery}", 1), ("delivery=nonsense", 0), ("outcome=window_closed", 1), ("code=63016", 1),
        ("code=none", 2), ("within=1h", 2), ("within=24h", 3), ("outcome=accepted&within=1h", 1), ("", 3),
        ("channel__id__exact={channel}", 3),
    ],
)  # fmt: skip
def test_the_list_is_narrowed(lead: Client, ours: World, asked: str, found: int) -> None:
    call(sending(ours), ago=HOUR / 2)
    call(sending(ours), ago=5 * HOUR)
    asked = asked.format(delivery=ours[DeadLetter].pk, channel=ours[ChannelAccount].pk)

    assert lead.get(f"{LIST}?{asked}").context["cl"].result_count == found


@pytest.mark.parametrize(
    ("status", "code", "step"),
    [
        ("failed", "63016", "Send an approved template"), ("failed", "21610", "Do not send it again"),
        ("failed", "blocked", "Unblock the contact"), ("failed", "30005", "Check the address"),
        ("failed", "20003", "Correct the channel's credentials"), ("failed", "not_sent", "Send it again"),
        ("failed", "21602", "Write it differently"), ("failed", "12345", "Read what the platform said"),
        ("expired", "expired", "Decide whether"), ("unknown", "no_answer", "Wait for the platform's report"),
        ("retrying", "20429", "Nothing: it is tried again"), ("delivered", "", ""), ("pending", "", ""),
    ],
)  # fmt: skip
def test_each_trouble_has_a_next_step(ours: World, status: str, code: str, step: str) -> None:
    with translation.override("en"):
        told = troubles.next_step(status, code, ours[ChannelAccount])

    assert told.startswith(step)
    assert bool(told) == bool(step)


def test_a_kind_that_is_gone_breaks_no_page(lead: Client, ours: World) -> None:
    ChannelAccount.objects.update(kind="gone")

    for url in (LIST, page(Delivery, "changelist"), page(DeadLetter, "changelist")):
        shown(lead, url)
    shown(lead, page(Delivery, "change", ours[DeadLetter].pk))
