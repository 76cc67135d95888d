"""Board and wall in a real browser: live without a reload, by mouse and by keys, on a screen on the wall."""

from __future__ import annotations

import time
from typing import Any

import pytest

from conversations import handoff
from conversations.models import Conversation, State
from queues.models import AgentProfile, Department, Queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser, pytest.mark.slow]


def now_in(conversation: Conversation) -> Conversation:
    return Conversation.objects.select_related("queue").get(pk=conversation.pk)


def until(what: Any, seconds: float = 10) -> bool:
    """Whether it becomes true in time."""
    ends = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < ends:
        time.sleep(0.1)
    return bool(done)


@pytest.fixture
def other_queue(make_queue) -> Queue:
    return make_queue("geral")


def test_the_board_follows_without_a_reload(
    live_site, browser_page, enter, sofia, ana, support, make_conversation
):
    page = browser_page
    enter(page, sofia, "/queues/")
    page.evaluate("window.same = true")
    first = make_conversation("queued", queue=support)
    page.wait_for_selector(f"#card-{first.pk}")
    second = make_conversation("queued", queue=support, priority=100)
    page.wait_for_selector(f"#card-{second.pk} + #card-{first.pk}")
    handoff.claim(first.pk, agent_id=ana.pk)
    page.wait_for_selector(f"#card-{first.pk}", state="detached")

    assert page.evaluate("window.same")
    assert page.locator(f"#card-{second.pk}").count() == 1


def test_what_has_the_focus_keeps_it_while_the_board_changes(
    live_site, browser_page, enter, sofia, support, make_conversation
):
    page, card = browser_page, make_conversation("queued", queue=support)
    enter(page, sofia, "/queues/")
    page.locator(f"#card-{card.pk} [data-menu]").focus()
    urgent = make_conversation("queued", queue=support, priority=100)
    page.wait_for_selector(f"#card-{urgent.pk}")

    assert page.evaluate(f"document.activeElement.closest('#card-{card.pk}') !== null")


def test_a_card_is_dragged_to_another_queue_and_to_another_priority(
    live_site, browser_page, enter, sofia, support, other_queue, make_conversation
):
    page, card = browser_page, make_conversation("queued", queue=support)
    enter(page, sofia, "/queues/")
    page.drag_and_drop(f"#card-{card.pk}", f"#col-{other_queue.pk} .none")
    page.wait_for_selector(f"#col-{other_queue.pk} #card-{card.pk}")
    assert (now_in(card).queue, now_in(card).queue_priority) == (other_queue, 50)

    page.locator(f"#card-{card.pk}").hover()
    page.mouse.down()
    page.mouse.move(700, 300, steps=5)
    page.locator(f"#col-{other_queue.pk} [data-drop='100']").hover()
    page.mouse.up()
    page.wait_for_selector(f"#card-{card.pk}[data-priority='100']")

    assert now_in(card).queue_priority == 100


def test_everything_a_drag_does_is_done_by_keyboard(
    live_site, browser_page, enter, sofia, support, other_queue, make_conversation
):
    page, card = browser_page, make_conversation("queued", queue=support)
    enter(page, sofia, "/queues/")
    menu = page.locator(f"#card-{card.pk} [data-menu]")
    menu.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#dialog[open]", state="detached")
    assert menu.evaluate("node => node === document.activeElement")

    page.keyboard.press("Enter")
    page.wait_for_selector("#dialog[open]")
    page.locator("#dialog [name=priority]:checked").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#card-{card.pk}[data-priority='80']")
    page.locator(f"#card-{card.pk} [data-menu]").focus()
    page.keyboard.press("Enter")
    page.locator("#act-queue").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"#col-{other_queue.pk} #card-{card.pk}")

    assert (now_in(card).queue, now_in(card).queue_priority) == (other_queue, 80)
    assert page.locator(".toast").count() == 2


def test_a_refusal_is_a_sentence(live_site, browser_page, enter, sofia, ana, support, make_conversation):
    page, card = browser_page, make_conversation("queued", queue=support)
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    enter(page, sofia, "/queues/")
    page.click(f"#card-{card.pk} [data-menu]")
    page.wait_for_selector("#dialog[open]")
    make_conversation("human_handoff", agent=ana)
    page.select_option("#act-agent", str(ana.pk))
    page.click("#dialog form:has(#act-agent) button")
    page.wait_for_selector(".toast.bad:has-text('Ana has no room')")

    assert now_in(card).state == State.QUEUED


def test_p_pulls_the_next_one(live_site, browser_page, enter, ana, support, make_conversation):
    page, card = browser_page, make_conversation("queued", queue=support)
    enter(page, ana, "/queues/")
    page.wait_for_selector(f"#card-{card.pk}")
    page.keyboard.press("p")
    page.wait_for_url(f"**/inbox/{card.pk}/**")

    assert now_in(card).assigned_agent == ana


def test_the_wall_is_live_and_its_clocks_run(
    live_site, browser_page, enter, sofia, ana, support, make_conversation
):
    page = browser_page
    enter(page, sofia, "/wall/")
    make_conversation("queued", queue=support)
    page.wait_for_selector("#tile-waiting .v:text-is('1')")
    before = page.inner_text("#tile-waiting pt-time")
    assert until(lambda: page.inner_text("#tile-waiting pt-time") != before)
    page.click("#hours summary")
    AgentProfile.objects.filter(member=ana).update(presence="busy")
    page.wait_for_selector(f"#agent-{ana.pk} .at-busy")
    make_conversation("queued", queue=support)
    page.wait_for_selector("#tile-waiting .v:text-is('2')")

    assert page.locator("#hours details[open]").count() == 1


def test_old_figures_say_how_old_they_are_and_come_back(
    live_site, browser_page, enter, sofia, support, make_conversation
):
    page = browser_page
    enter(page, sofia, "/wall/")
    page.wait_for_selector("#live.ok")
    live_site.kill_web()
    page.wait_for_selector("#live.warn:has-text('s old')", timeout=30_000)
    make_conversation("queued", queue=support)
    live_site.start_web()
    page.wait_for_selector("#tile-waiting .v:text-is('1')", timeout=60_000)

    assert until(lambda: page.locator("#live.ok").count() == 1)


def test_f_makes_it_a_screen_that_turns_from_department_to_department(
    live_site, browser_page, enter, acme, sofia, support, make_queue
):
    sales = Department.objects.create(organization=acme, name="Vendas", slug="vendas")
    Queue.objects.filter(pk=make_queue("vendas").pk).update(department=sales)
    page = browser_page
    # Before the page's own modules run, which read it once.
    page.add_init_script("document.onreadystatechange = () => { document.body.dataset.turn = '1' }")
    enter(page, sofia, "/wall/?department=suporte")
    page.wait_for_selector("#lines tbody tr")
    page.keyboard.press("f")
    page.wait_for_selector("body[data-tv]")
    assert page.is_hidden(".rail")
    assert "tv=1" in page.url

    page.wait_for_url("**department=vendas**")
    page.wait_for_selector("#lines tbody th:has-text('Vendas')")
    assert until(lambda: page.locator("#lines tbody tr").count() == 1)
    page.keyboard.press("f")
    page.wait_for_selector("body:not([data-tv])")
    assert page.is_visible(".rail")


@pytest.mark.parametrize("path", ["/queues/", "/wall/"])
def test_on_a_phone_nothing_is_cut_off(
    live_site, browser_page, enter, sofia, support, make_conversation, path
):
    make_conversation("queued", queue=support)
    enter(browser_page, sofia, path)
    browser_page.set_viewport_size({"width": 390, "height": 800})
    wide, beyond, rail_top = browser_page.evaluate(
        "() => { const main = document.querySelector('main'), rail = document.querySelector('.rail');"
        " return [document.documentElement.scrollWidth, main.scrollWidth - main.clientWidth,"
        " rail.getBoundingClientRect().top] }"
    )
    assert (wide <= 390, beyond <= 0, rail_top > 700) == (True, True, True)


def test_the_walls_table_fits_a_phone_in_portuguese(
    live_site, browser_page, enter, sofia, support, make_queue, make_conversation
):
    """The longest of the three languages."""
    sofia.user.locale = "pt-br"
    sofia.user.save(update_fields=["locale"])
    make_queue("vendas")
    make_conversation("queued", queue=support)
    enter(browser_page, sofia, "/wall/")
    browser_page.set_viewport_size({"width": 390, "height": 800})
    assert "Puxar" in browser_page.text_content("#lines")
    beyond = browser_page.evaluate(
        "(() => { const box = document.querySelector('#lines .scroll');"
        " return box.scrollWidth - box.clientWidth })()"
    )
    assert beyond <= 0
