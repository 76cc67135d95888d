"""Every page of people before axe-core: light and dark, on a desk and on a phone. No rule is switched off."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from channels_hub.models import MessageTemplate
from conversations import laters, outbox
from conversations.models import Conversation, Later
from conversations.moves import writing
from queues.models import AgentProfile, BreakReason

VENDOR = Path(__file__).parent / "vendor"
PICTURES = os.environ.get("PYTAKE_AXE_PICTURES", "")
LOOKS = [(scheme, width) for scheme in ("light", "dark") for width in (1366, 390)]
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """(tags) => axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]})
    .then((found) => found.violations.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160)
        + (node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? ""))]))"""


def test_the_vendored_file_is_what_it_claims_to_be():
    (file,) = json.loads((VENDOR / "MANIFEST.json").read_text())["files"]
    assert hashlib.sha256((VENDOR / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert file["version"] in (VENDOR / file["path"]).read_text()[:200]
    assert (VENDOR / file["license_file"]).stat().st_size > 500


@pytest.fixture(scope="module")
def axe() -> str:
    return (VENDOR / "axe.min.js").read_text()


@pytest.fixture
def desk(acme, ana, sofia, support, make_queue, make_conversation, make_contact, write_in) -> Conversation:
    """Something of everything; the conversation that is opened is ana's."""
    BreakReason.objects.create(organization=acme, name="Almoço")
    make_queue("geral")
    for n in range(3):
        waiting = make_conversation("queued", queue=support, contact=make_contact(f"Espera {n}"))
        write_in(waiting, "Alguém aí?")
    mine = make_conversation("human_handoff", agent=ana, queue=support, contact=make_contact("Mariana"))
    write_in(mine, "Meu pedido não chegou")
    make_conversation("pending")
    Conversation.objects.filter(pk=waiting.pk).update(queue_priority=100)
    AgentProfile.objects.filter(member=sofia).update(presence="busy")
    shut = _shut(ana, make_conversation, make_contact)
    Conversation.objects.filter(pk=shut.pk).update(last_inbound_at=None)
    return mine


def _shut(ana, make_conversation, make_contact) -> Conversation:
    """The window is closed: templates to choose from, one that failed, one unconfirmed, two planned."""
    shut = make_conversation("human_handoff", agent=ana, contact=make_contact("Fechada"))
    for name in ("pedido_saiu", "boleto"):
        MessageTemplate.objects.create(
            organization_id=shut.organization_id, account_id=shut.channel_id, ref=f"HX-{name}", name=name,
            language="pt_BR", category="utility", body="Olá {{1}}, seu {{2}} está pronto.",
            approval="approved", variables={"2": "pedido"},
        )  # fmt: skip
    for status, code in (("failed", "63016"), ("failed", "content"), ("unknown", "no_answer")):
        message, _new = outbox.reply(shut.pk, agent=ana, text="Seu pedido saiu")
        message.deliveries.update(status=status, error_code=code, settled_at=timezone.now())
        with writing(shut.pk) as locked:
            outbox.refresh_status(locked, message)
    for _n in range(2):
        when = timezone.now() + timedelta(days=1)
        plan, _new = laters.plan(shut.pk, agent=ana, text="Bom dia!", send_at=when)
    Later.objects.filter(pk=plan.pk).update(state="refused", reason="window_closed")
    return shut


def opened(selector: str) -> Callable[[Any], None]:
    def act(page: Any) -> None:
        page.locator(selector).first.evaluate("node => node.click()")

    return act


def why(page: Any) -> None:
    page.locator("#why > summary").evaluate("node => node.click()")
    page.wait_for_selector("#why-told", state="attached")
    for summary in page.locator("#why-told summary").all():
        summary.evaluate("node => node.click()")
    page.evaluate("document.body.dataset.panel = 'open'")


def nothing(_page: Any) -> None:
    """As it is when it has come."""


PAGES: dict[str, tuple[str, str, Callable[[Any], None]]] = {
    "login": ("", "/login/", nothing),
    "list": ("ana", "/inbox/?tab=queue", nothing),
    "narrowed": ("sofia", "/inbox/?tab=all&only=unhandled", nothing),
    "nothing": ("ana", "/inbox/?q=ninguém", nothing),
    "thread": ("ana", "/inbox/{pk}/?tab=mine", nothing),
    "why": ("sofia", "/inbox/{pk}/?tab=all", why),
    "transfer": ("ana", "/inbox/{pk}/", opened("#head [data-key=t]")),
    "snooze": ("ana", "/inbox/{pk}/", opened("#head [data-key=h]")),
    "template": ("ana", "/inbox/{pk}/", opened("#composer a[href$='/template/']")),
    "later": ("ana", "/inbox/{pk}/", opened("#composer a[href$='/later/']")),
    "closed": ("ana", "/inbox/{shut}/", nothing),
    "presence": ("ana", "/queues/", opened("#me-button")),
    "leaving": ("ana", "/queues/", opened("#me-presence [value=offline]")),
    "board": ("sofia", "/queues/", nothing),
    "card": ("sofia", "/queues/", opened("[data-menu]")),
    "wall": ("sofia", "/wall/", nothing),
    "tv": ("sofia", "/wall/?tv=1", nothing),
    "preferences": ("ana", "/preferences/", nothing),
    "simulator": ("sofia", "/simulator/", nothing),
    "why_alone": ("ana", "/inbox/{pk}/why/", nothing),
}


@pytest.fixture
def entered(live_site, browser_page, enter, ana, sofia, desk) -> Iterator[Callable[[str], Any]]:
    people = {"ana": ana, "sofia": sofia}

    def go(name: str) -> Any:
        who, path, _act = PAGES[name]
        shut = Conversation.objects.get(contact__name="Fechada")
        path = path.format(pk=desk.pk, shut=shut.pk)
        if who:
            enter(browser_page, people[who], "/preferences/")
        browser_page.emulate_media(reduced_motion="reduce")
        assert browser_page.goto(f"{live_site.url}{path}").ok
        return browser_page

    return go


@pytest.mark.django_db(transaction=True)
@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(entered, axe, phone_channel, name):
    page, found = entered(name), {}
    PAGES[name][2](page)
    page.wait_for_timeout(400)
    page.evaluate(axe)
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size({"width": width, "height": 860})
        page.wait_for_timeout(150)
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", caret="initial")
        if violations := page.evaluate(RUN, TAGS):
            found[scheme, width] = violations

    assert found == {}
