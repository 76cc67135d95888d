"""Sending in a real browser: the window closes while one looks, a template goes out, a plan is sent once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from channels_hub.models import MessageTemplate
from contacts.models import Contact
from conversations.models import Conversation, Later
from conversations.moves import writing

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]
DAY, MARGIN = timedelta(hours=24), timedelta(minutes=2)


@pytest.fixture
def mine(ana, make_conversation) -> Conversation:
    conversation = make_conversation("human_handoff", agent=ana)
    Contact.objects.update(name="Mariana Souza")
    MessageTemplate.objects.create(
        organization_id=conversation.organization_id, account_id=conversation.channel_id, ref="HX1",
        name="saiu", language="pt_BR", body="Olá {{1}}, saiu o {{pedido}}.", approval="approved",
    )  # fmt: skip
    return conversation


def closes_in(conversation: Conversation, **left: float) -> None:
    with writing(conversation.pk) as locked:
        locked.last_inbound_at = timezone.now() - DAY + MARGIN + timedelta(**left)


def test_the_window_closes_while_looking_and_the_customer_opens_it(
    live_site, browser_page, enter, ana, mine, write_in
):
    page = browser_page
    closes_in(mine, seconds=12)
    enter(page, ana, f"/inbox/{mine.pk}/")
    page.fill("#b", "meu rascunho")
    page.wait_for_selector("[data-closing]:not([hidden])")
    page.wait_for_selector("pt-composer[data-mode=template] form[data-template]", timeout=30_000)
    page.fill("[name=v-pedido]", "31")
    assert page.text_content(".preview") == "Olá Mariana, saiu o 31."

    write_in(mine, "Voltei")
    page.wait_for_selector("pt-composer[data-mode=reply] #b")
    assert page.input_value("#b") == "meu rascunho"


def test_a_template_goes_out_from_the_foot(live_site, browser_page, enter, ana, mine):
    page = browser_page
    closes_in(mine, seconds=-60)
    enter(page, ana, f"/inbox/{mine.pk}/")
    page.fill("[name=v-pedido]", "31")
    page.click("form[data-template] .btn.p")
    page.wait_for_selector("#log .m.o:has-text('Olá Mariana, saiu o 31.')")

    assert mine.messages.get(direction="out").template["body"] == {"1": "Mariana", "pedido": "31"}


def test_a_draft_is_planned_and_goes_out_once(live_site, browser_page, enter, ana, mine):
    page = browser_page
    enter(page, ana, f"/inbox/{mine.pk}/")
    page.fill("#b", "até amanhã")
    page.click("#composer a[href$='/later/']")
    page.wait_for_selector("dialog [name=text]")
    assert page.input_value("dialog [name=text]") == "até amanhã"
    page.click("dialog .btn.p")
    page.wait_for_selector("#planned .plan:has-text('até amanhã')")
    assert page.input_value("#b") == ""

    Later.objects.update(send_at=timezone.now())
    page.wait_for_selector("#log .m.o:has-text('até amanhã')")
    page.wait_for_selector("#planned", state="hidden")
    assert mine.messages.filter(text="até amanhã").count() == 1
