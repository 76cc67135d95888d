"""From the composer to the customer and back in a real browser: ticks, doubt, plans and files."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from channels_hub.fake_provider import FakeProvider
from channels_hub.models import ChannelAccount, InboundEvent
from channels_hub.simulated import SimMessage, SimPhone
from channels_hub.simulator import services, wire
from conversations.models import Conversation, Later, Message, Receipt
from conversations.moves import writing
from tests import twilio
from tests.browser.chromium import until
from tests.channels_hub.files import photo, picture, recording

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]
AT_END = "(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight < 2)(log)"
TICKS = """() => {
  window.told = [];
  const look = () => {
    const tick = document.querySelector("#log .m.o:not(.sending) footer .vh")?.textContent;
    if (tick && tick !== window.told.at(-1)) window.told.push(tick);
  };
  new MutationObserver(look).observe(document.getElementById("log"), { childList: true, subtree: true });
}"""


@pytest.fixture
def with_phone(phone, ana, make_contact, make_conversation) -> Conversation:
    """Ana talks with the owner of the phone."""
    contact = make_contact(phone.name, phone.number)
    return make_conversation("human_handoff", agent=ana, contact=contact, channel=phone.account)


@pytest.fixture
def by_twilio(provider, ana, make_conversation) -> Conversation:
    return make_conversation("human_handoff", agent=ana)


def say(page: Any, text: str) -> None:
    page.fill("#b", text)
    page.press("#b", "Enter")
    page.wait_for_selector(f"#log .m.o:not(.sending):has-text('{text}')")


def plan(page: Any, text: str) -> None:
    page.click("#composer a[href$='/later/']")
    page.fill("dialog [name=text]", text)
    page.click("dialog .btn.p")
    page.wait_for_selector(f"#planned .plan:has-text('{text}')")


def arrived(page: Any, phone: SimPhone, text: str) -> int:
    """How often it stands on the phone, once it does and the desk has heard that it was read."""
    page.wait_for_selector(f"#log .m.o:has-text('{text}') svg.rd")
    return phone.messages.filter(is_mine=False, text=text).count()


# ---------------------------------------------------------------- plans
def test_a_plan_is_moved_another_withdrawn_and_the_first_arrives_once(
    live_site, browser_page, enter, ana, phone, with_phone
):
    page = browser_page
    enter(page, ana, f"/inbox/{with_phone.pk}/")
    plan(page, "até amanhã")
    planned = page.text_content("#planned .plan b")
    page.click("#planned .plan a:has-text('Change the time')")
    page.check("dialog [value=tomorrow]")
    page.click("dialog .btn.p")
    page.wait_for_selector("dialog[open]", state="detached")
    assert page.text_content("#planned .plan b") != planned

    plan(page, "melhor não")
    page.click("#planned .plan:has-text('melhor não') button:has-text('Do not send')")
    page.wait_for_selector("#planned .plan:has-text('melhor não')", state="detached")
    Later.objects.update(send_at=timezone.now())
    assert arrived(page, phone, "até amanhã") == 1
    page.wait_for_selector("#planned", state="hidden")
    assert list(phone.messages.values_list("text", flat=True)) == ["até amanhã"]


def test_what_waits_for_the_customer_goes_out_once_when_they_write(
    live_site, browser_page, enter, ana, phone, with_phone
):
    page, long_ago = browser_page, timezone.now() - timedelta(days=2)
    SimPhone.objects.update(wrote_at=long_ago)
    with writing(with_phone.pk) as locked:
        locked.last_inbound_at = long_ago
    enter(page, ana, f"/inbox/{with_phone.pk}/")
    plan(page, "a chave chegou")
    assert "when the customer writes" in page.text_content("#planned .plan b")

    services.write(phone.account, phone.pk, services.Written(text="Alguma novidade?"))
    assert arrived(page, phone, "a chave chegou") == 1
    page.wait_for_selector("pt-composer[data-mode=reply]")
    assert with_phone.messages.filter(direction="out").count() == 1


# ---------------------------------------------------------------- nobody knows whether it arrived
def test_an_unconfirmed_message_is_found_in_the_platforms_list(
    live_site, browser_page, enter, ana, provider: FakeProvider, by_twilio
):
    page = browser_page
    provider.script(["drop_after"])
    enter(page, ana, f"/inbox/{by_twilio.pk}/")
    say(page, "seu código é 31")
    page.wait_for_selector("#log .m.o .chip.bad:has-text('Unconfirmed')")

    page.click("#log .m.o button:has-text('Check again')")
    page.wait_for_selector("#log .m.o .chip.bad", state="detached")
    assert page.text_content("#log .m.o footer .vh") == "sent"
    assert provider.report()["taken"] == 1


def test_an_unconfirmed_message_that_nobody_knows_is_sent_once_more_by_hand(
    live_site, browser_page, enter, ana, provider: FakeProvider, by_twilio
):
    page = browser_page
    provider.script(["drop_before"])
    enter(page, ana, f"/inbox/{by_twilio.pk}/")
    say(page, "seu código é 31")
    page.click("#log .m.o button:has-text('Check again')")
    page.wait_for_selector(".toast:has-text('still does not know')")
    page.click("#log .m.o a:has-text('Send anyway')")
    page.wait_for_selector("dialog[open] h2:has-text('a second time?')")
    page.click("dialog .btn.p")
    page.wait_for_selector("#log .m.o footer .vh:text-is('sent')", state="attached")

    assert page.locator("dialog[open]").count() == 0
    assert page.locator("#log .m.o").count() == 1
    assert [one["taken"] for one in provider.requests()] == [False, True]


# ---------------------------------------------------------------- ticks
def test_ticks_rise_on_the_open_page_and_a_late_report_lowers_none(
    live_site, browser_page, enter, ana, by_twilio, twilio_channel
):
    page = browser_page
    enter(page, ana, f"/inbox/{by_twilio.pk}/")
    page.evaluate(TICKS)
    say(page, "chega hoje")
    until(page, "window.told.at(-1) === 'sent'")
    for word in ("delivered", "read"):
        report(twilio_channel, word)
        until(page, f"window.told.at(-1) === '{word}'")
    report(twilio_channel, "sent")
    while InboundEvent.objects.filter(state="new").exists():
        page.wait_for_timeout(50)
    say(page, "até já")
    page.wait_for_selector("#log .m.o:has-text('até já') footer .vh:text-is('sent')", state="attached")

    told = page.evaluate("window.told")
    assert [tick for tick in told if tick != "being sent"] == ["sent", "delivered", "read"]
    assert Receipt.objects.filter(delivery__message__text="chega hoje").count() == 3


def report(channel: ChannelAccount, word: str, **more: str) -> None:
    """What the platform says of the first message that it took."""
    delivery = Message.objects.get(text="chega hoje").deliveries.get()
    answer = twilio.post_status(channel, delivery.provider_id, word, str(delivery.pk), **more)
    assert answer.status_code in (200, 204)


# ---------------------------------------------------------------- files
def test_a_file_goes_to_the_phone_and_a_picture_and_a_voice_note_come_back(
    live_site, browser_page, enter, ana, phone, with_phone, tmp_path
):
    page = browser_page
    enter(page, ana, "/simulator/")
    phones, page = page, page.context.new_page()
    page.goto(f"{live_site.url}/inbox/{with_phone.pk}/")
    file = {"name": "recibo.jpg", "mimeType": "image/jpeg", "buffer": photo((900, 600))}
    page.set_input_files("[data-pick]", file)
    page.wait_for_selector(".files li[data-state=ok] img")
    say(page, "Segue o recibo")
    phones.wait_for_selector("[data-phone] .is-theirs:has-text('Segue o recibo') img.sim-photo")
    until(phones, "document.querySelector('.is-theirs img.sim-photo').naturalWidth > 0")
    assert arrived(page, phone, "Segue o recibo") == 1

    sent = services.Written(text="E esta?", photo=picture((1200, 800), colour="teal"), photo_type="image/png")
    services.write(phone.account, phone.pk, sent)
    page.wait_for_selector("#log .m.i2:has-text('E esta?') .pic img[src$='/thumbnail/']")
    until(page, "document.querySelector('#log .m.i2 .pic img').naturalWidth > 0")
    until(page, AT_END)
    voice = recording(tmp_path / "voice.ogg", "ogg")
    assert speak(phone, voice) == 200
    page.wait_for_selector("#log .m.i2 audio")
    until(page, "document.querySelector('#log .m.i2 audio').duration > 0.5")


def speak(phone: SimPhone, voice: bytes) -> int:
    """The page of the phones has no microphone; its webhook takes a voice note all the same."""
    message = SimMessage(phone=phone, at=timezone.now())
    data = base64.b64encode(voice).decode()
    note = {"kind": "voice", "mime": "audio/ogg", "filename": "nota.ogg", "data": data}
    return wire.post(phone.account, wire.message_event(phone.account, phone, message) | {"media": [note]})
