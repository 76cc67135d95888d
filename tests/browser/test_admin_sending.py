"""The admin's pages of sending before axe-core and on a phone, and dead letters sent again by a click."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from channels_hub.models import ChannelAccount
from conversations import admin_replay
from conversations.models import Attempt, DeadLetter, Delivery, Pace
from tests.admin.pages import page as address
from tests.admin.sendings import call, sending
from tests.admin.world import World, build, dead_letter
from tests.browser.chromium import until
from tests.browser.test_axe import LOOKS, TAGS

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
PICTURES = os.environ.get("PYTAKE_AXE_PICTURES", "")
# Nothing at all on what is ours; on the frame around it, which is Unfold's, nothing critical.
RUN = """async (tags) => {
    const asked = {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]};
    const told = (one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))];
    const run = async (where, keep) => (await axe.run(where, asked)).violations.filter(keep).map(told);
    const ours = [...document.querySelectorAll(".health, .plots, .graph, .report, .bulk, .code-view")];
    const inside = ours.length ? await run({include: ours}, () => true) : [];
    return [...inside, ...await run(document, (one) => one.impact === "critical")];
}"""


@pytest.fixture
def desk(acme: Any) -> World:
    """Something of everything: calls that worked and did not, a rest, three kinds of dead letters."""
    world = build(acme, "Loja", "+55113333000")
    ChannelAccount.objects.update(last_inbound_at=timezone.now(), health="ok")
    for n in range(60):
        ago = timedelta(minutes=n * n % 1400)
        status = (
            ("delivered", "read", "sent", "failed", "unknown")[min(4, n % 7)] if n % 7 < 5 else "delivered"
        )
        delivery = sending(world, status, ago=ago, error_code="30008" if status == "failed" else "")
        failed = {"outcome": "retryable", "code": "30008"} if status == "failed" else {}
        call(delivery, ago=ago, milliseconds=80 + n * 7, **failed)
    dead_letter(world, "unknown", "no_answer")
    sending(world, "pending", ago=timedelta(minutes=12))
    Pace.objects.update_or_create(
        organization=acme,
        channel=world[ChannelAccount],
        defaults={
            "rests_until": timezone.now() + timedelta(minutes=5), "rests_because": "unreachable",
            "failures": 5,
        },
    )  # fmt: skip
    return world


@pytest.fixture
def pages(desk: World) -> dict[str, str]:
    return {
        "health": address(ChannelAccount, "health"),
        "figures": f"{address(Delivery, 'figures')}?period=7d",
        "dead": address(DeadLetter, "changelist"),
        "attempts": address(Attempt, "changelist"),
        "attempt": address(Attempt, "change", desk[Attempt].pk),
        "delivery": address(Delivery, "change", desk[DeadLetter].pk),
        "channel": address(ChannelAccount, "change", desk[ChannelAccount].pk),
    }


@pytest.fixture
def inside(live_site: Any, browser_page: Any, enter: Any, sofia: Any, desk: World) -> Any:
    enter(browser_page, sofia, "/admin/")
    browser_page.emulate_media(reduced_motion="reduce")
    return browser_page


def seen(page: Any, name: str, scheme: str, width: int) -> None:
    """In Unfold a class of the page is the theme."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.evaluate("(dark) => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
    page.set_viewport_size({"width": width, "height": 860})
    page.wait_for_timeout(250)
    if PICTURES:
        page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", full_page=True)


def test_axe_finds_nothing_and_no_page_is_wider_than_a_phone(
    inside: Any, live_site: Any, pages: dict[str, str]
) -> None:
    axe = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
    found: dict[Any, Any] = {}
    for name, path in pages.items():
        inside.set_viewport_size({"width": 1366, "height": 860})
        assert inside.goto(f"{live_site.url}{path}").status == 200
        inside.wait_for_timeout(300)
        for summary in inside.locator("#content details > summary").all():
            summary.evaluate("node => node.parentElement.open = true")
        inside.evaluate(axe)
        for scheme, width in LOOKS:
            seen(inside, name, scheme, width)
            if violations := inside.evaluate(RUN, TAGS):
                found[name, scheme, width] = violations
        if (wide := inside.evaluate("document.documentElement.scrollWidth")) != 390:
            found[name, "width"] = wide
    assert found == {}


def test_all_that_match_are_sent_again_from_the_list(
    inside: Any, live_site: Any, desk: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(admin_replay.CHUNK + 30):
        sending(desk, "expired", ago=timedelta(minutes=n % 50), error_code="expired")
    inside.goto(f"{live_site.url}{address(DeadLetter, 'changelist')}?error=expired")
    inside.check("#action-toggle")
    inside.click(".question a")
    inside.select_option("select[name=action]", "replay_selected")
    inside.click("#changelist-actions button[type=submit]")
    inside.wait_for_selector("form.bulk")
    seen(inside, "replay", "light", 1366)
    inside.click("form.bulk button[type=submit]")
    inside.get_by_text("230 messages wait to be sent.").wait_for(timeout=60_000)
    inside.goto("about:blank")

    assert Delivery.objects.filter(error_code="expired").count() == 0


def test_the_open_health_page_renews_itself(
    inside: Any, live_site: Any, desk: World, pages: dict[str, str]
) -> None:
    inside.goto(f"{live_site.url}{pages['health']}")
    assert "nobody answers" in inside.inner_text("#healths") or inside.locator(".report-bad").count()
    Pace.objects.update(rests_until=None)

    until(inside, "!document.querySelector('#healths .report-bad')", 20)
