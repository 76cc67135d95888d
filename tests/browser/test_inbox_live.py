"""The inbox in a real browser: live without a reload, and nothing lost when the server dies."""

from __future__ import annotations

import pytest

from conversations import handoff
from conversations.models import Conversation, State
from tests.browser.chromium import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]


def all_ids(page) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")


def test_25_messages_missed_while_the_server_was_dead_come_back_once_and_the_draft_stays(
    live_site, browser_page, enter, ana, make_conversation, write_in
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{conversation.pk}/")
    write_in(conversation, "antes da queda")
    page.get_by_text("antes da queda").first.wait_for()
    page.fill("#b", "meu rascunho")

    live_site.kill_web()
    for n in range(25):
        write_in(conversation, f"perdida {n:02d}")
    page.wait_for_selector("#offline:not([hidden])")
    live_site.start_web()
    page.wait_for_selector("#log .m:has-text('perdida 24')", timeout=60_000)

    shown = page.eval_on_selector_all("#log .m.i2 .text", "all => all.map((e) => e.textContent)")
    assert [text for text in shown if text.startswith("perdida")] == [f"perdida {n:02d}" for n in range(25)]
    ids = all_ids(page)
    assert len(ids) == len(set(ids))
    assert page.input_value("#b") == "meu rascunho"
    assert page.is_hidden("#offline")


def test_an_answer_written_while_the_server_is_dead_goes_out_exactly_once(
    live_site, browser_page, enter, ana, make_conversation
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{conversation.pk}/")
    page.wait_for_selector("pt-composer #b")
    live_site.kill_web()
    page.fill("#b", "volto já")
    page.press("#b", "Enter")
    page.wait_for_selector("#log .m.sending:has-text('volto já')")
    live_site.start_web()
    page.wait_for_selector("#log .m.o:not(.sending):has-text('volto já')", timeout=60_000)

    assert page.locator("#log .m.o:has-text('volto já')").count() == 1
    assert conversation.messages.filter(text="volto já").count() == 1


def test_a_row_that_changes_while_it_is_pressed_still_opens(
    live_site, browser_page, enter, ana, make_conversation, write_in
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    write_in(conversation, "olá")
    enter(page, ana)
    row = page.locator(f"#row-{conversation.pk}")
    row.locator(".pv").hover()
    page.mouse.down()
    write_in(conversation, "mais uma coisa")
    row.get_by_text("mais uma coisa").wait_for()
    page.mouse.up()

    page.wait_for_selector(f"#open[data-pk='{conversation.pk}'] #log")


def test_take_the_next_answer_it_and_close_it_with_the_keyboard(
    live_site, browser_page, enter, ana, support, make_conversation, write_in
):
    page, conversation = browser_page, make_conversation("queued", queue=support)
    write_in(conversation, "preciso de ajuda")
    enter(page, ana)
    page.wait_for_selector(f"#row-{conversation.pk}")
    page.keyboard.press("p")
    page.wait_for_url(f"**/inbox/{conversation.pk}/**")
    page.wait_for_selector("#b")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.type("Oi, já vejo")
    page.keyboard.press("Enter")
    page.wait_for_selector("#log .m.o:not(.sending):has-text('Oi, já vejo')")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.type("cliente antigo")
    page.keyboard.press("Enter")
    page.wait_for_selector("#log .m.n:has-text('cliente antigo')")
    page.keyboard.press("Escape")
    page.keyboard.press("e")
    page.wait_for_selector("pt-composer[data-mode=closed]")

    assert Conversation.objects.get(pk=conversation.pk).state == State.CLOSED
    assert conversation.messages.filter(direction="out", text="Oi, já vejo").count() == 1


def test_another_agents_list_follows_without_a_reload(
    live_site, browser_page, enter, ana, bia, support, make_conversation
):
    page = browser_page
    enter(page, ana, "/inbox/?tab=queue")
    conversation = make_conversation("queued", queue=support)
    page.wait_for_selector(f"#row-{conversation.pk}")
    until(page, "document.getElementById('count-queue').textContent === '1'")
    handoff.claim(conversation.pk, agent_id=bia.pk)
    page.wait_for_selector(f"#row-{conversation.pk}", state="detached")

    until(page, "document.getElementById('count-queue').textContent === '0'")


def test_a_draft_stays_with_its_conversation(live_site, browser_page, enter, ana, make_conversation):
    one, two = make_conversation("human_handoff", agent=ana), make_conversation("human_handoff", agent=ana)
    page = browser_page
    enter(page, ana, f"/inbox/{one.pk}/?tab=mine")
    page.fill("#b", "só para a primeira")
    page.click(f"#row-{two.pk} a")
    page.wait_for_selector(f"pt-composer[data-pk='{two.pk}'] #b")
    assert page.input_value("#b") == ""
    page.click(f"#row-{one.pk} a")
    page.wait_for_selector(f"pt-composer[data-pk='{one.pk}'] #b")

    assert page.input_value("#b") == "só para a primeira"


def test_the_transfer_dialog_passes_it_on_and_the_page_says_so(
    live_site, browser_page, enter, ana, bia, make_conversation
):
    page, conversation = browser_page, make_conversation("human_handoff", agent=ana)
    enter(page, ana, f"/inbox/{conversation.pk}/")
    page.wait_for_selector("#b")
    page.locator("#ct").click()
    page.keyboard.press("t")
    page.check(f"input[value='agent:{bia.pk}']")
    page.fill("dialog [name=note]", "fala com ela")
    page.click("dialog .btn.p")
    page.wait_for_selector("main.nothing")

    assert page.locator("dialog[open]").count() == 0
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == bia


@pytest.mark.parametrize("path", ["/inbox/", "/preferences/", "/simulator/"])
def test_on_a_phone_nothing_is_cut_off_and_the_rail_lies_below(
    live_site, browser_page, enter, ana, phone_channel, path
):
    enter(browser_page, ana, path)
    browser_page.set_viewport_size({"width": 390, "height": 800})
    wide, beyond, rail_top = browser_page.evaluate(
        "() => { const main = document.querySelector('main'), rail = document.querySelector('.rail');"
        " return [document.documentElement.scrollWidth, main.scrollWidth - main.clientWidth,"
        " rail.getBoundingClientRect().top] }"
    )
    assert (wide <= 390, beyond <= 0, rail_top > 700) == (True, True, True)
