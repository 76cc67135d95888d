"""Sending in figures: numbers that agree with the lists they lead to, in the zone of the desk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from accounts.models import Membership, Organization
from channels_hub.models import ChannelAccount
from conversations import periods
from conversations.models import Delivery
from insights import sending as figures
from tests.admin.pages import page
from tests.admin.sendings import sending
from tests.admin.world import World

PAGE = page(Delivery, "figures")
STATUSES = (
    "queued", "sent", "delivered", "read", "failed", "expired", "unknown", "pending", "retrying",
    "processing", "cancelled",
)  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    figures.recent.known.clear()
    yield
    figures.recent.known.clear()


@pytest.fixture
def written(ours: World) -> World:
    """Some of everything, of today, of this week, of this month and older, on two channels."""
    Delivery.objects.all().delete()
    other = ChannelAccount.objects.create(
        organization=ours.organization, kind="phone", name="Other", address="1"
    )
    for n, status in enumerate(STATUSES):
        code = "63016" if status == "failed" else "no_answer" if status == "unknown" else ""
        for days in (0, 2, 10, 40)[: 1 + n % 4]:
            sending(ours, status, ago=timedelta(days=days), error_code=code)
        sending(ours, status, channel=other, origin="bulk" if n % 2 else "bot", error_code=code)
    return ours


def shown(client: Client, **asked: str) -> Any:
    figures.recent.known.clear()
    response = client.get(PAGE, asked)
    assert response.status_code == 200
    return response.context["page"]


def numbers(line: Any) -> dict[str, int]:
    return {figure.name: figure.count for figure in line.figures}


@pytest.mark.parametrize("period", periods.PERIODS)
def test_every_figure_agrees_with_its_list(lead: Client, written: World, period: str) -> None:
    found = shown(lead, period=period)

    lines = [found.total, *found.channels, *found.origins]
    checked = [line.total for line in lines] + [figure for line in lines for figure in line.figures]
    checked += [error.figure for error in found.errors]
    assert len(checked) > 40
    wrong = {
        figure.link: (figure.count, count)
        for figure in checked
        if (count := lead.get(figure.link).context["cl"].result_count) != figure.count
    }
    assert wrong == {}


def test_figures_of_one_channel_agree_as_well(lead: Client, written: World) -> None:
    found = shown(lead, period="30d", channel=str(written[ChannelAccount].pk))

    assert [line.name for line in found.channels] == ["OURMARK channel"]
    for figure in [*found.total.figures, *(error.figure for error in found.errors)]:
        assert lead.get(figure.link).context["cl"].result_count == figure.count


def test_what_was_read_was_delivered_and_sent(lead: Client, ours: World) -> None:
    Delivery.objects.all().delete()
    for status in ("queued", "sent", "delivered", "read", "failed", "expired", "unknown", "cancelled"):
        sending(ours, status)

    found = shown(lead)

    assert numbers(found.total) == {
        "sent": 4, "delivered": 2, "read": 1, "failed": 2, "unknown": 1, "waiting": 0, "cancelled": 1,
    }  # fmt: skip
    assert found.total.total.count == 8


def test_a_period_takes_whole_days_of_the_desk(lead: Client, written: World) -> None:
    counts = [shown(lead, period=period).total.total.count for period in ("24h", "7d", "30d")]

    # one of each status and channel; then those of two and of ten days ago
    assert counts == [22, 30, 35]


def test_hours_and_weekdays_are_those_of_the_desk(lead: Client, ours: World) -> None:
    Delivery.objects.all().delete()
    Organization.objects.filter(pk=ours.organization.pk).update(
        timezone="Asia/Kathmandu"
    )  # five and 3/4 hours
    now = datetime.now(UTC)
    at = now.replace(hour=20, minute=30, second=0, microsecond=0) - timedelta(days=2)
    sending(ours, "sent", at=at)
    sending(ours, "failed", at=at)

    found = shown(lead, period="7d")

    local = at.astimezone(ZoneInfo("Asia/Kathmandu"))
    assert (local.hour, local.minute) == (2, 15)
    assert found.hours.rows[2] == ("2h", (1, 1))
    assert dict(found.week.figures) == {(local.weekday(), 2): 2}


def test_another_organizations_deliveries_do_not_count(lead: Client, ours: World, theirs: World) -> None:
    before = shown(lead).total.total.count
    sending(theirs, "failed")

    assert shown(lead).total.total.count == before
    assert shown(lead, channel=str(theirs[ChannelAccount].pk)).total.total.count == before
    assert theirs.mark not in lead.get(PAGE).content.decode()


def test_charts_have_their_figures_as_tables(lead: Client, written: World) -> None:
    html = lead.get(PAGE).content.decode()

    assert html.count("<svg viewBox") >= 2
    assert html.count("Show as a table") == 2
    assert "style=" not in html[html.index('<figure class="plot">') : html.rindex("</figure>")]


def test_the_navigation_shows_where_one_is(lead: Client, ours: World) -> None:
    def active(url: str) -> list[str]:
        groups = lead.get(url).context["sidebar_navigation"]
        return [str(item["title"]) for group in groups for item in group["items"] if item["active"]]

    assert active(PAGE) == ["Sending in figures"]
    assert active(page(Delivery, "changelist")) == ["Outbox"]
    assert active(page(Delivery, "change", ours[Delivery].pk)) == ["Outbox"]
    assert active(page(ChannelAccount, "health")) == ["Channel health"]
    assert active("/admin/") == ["Overview"]


def test_an_empty_period_says_so(lead: Client, ours: World) -> None:
    Delivery.objects.all().delete()

    assert "Nothing was written in this period." in lead.get(PAGE).content.decode()


@pytest.mark.parametrize("asked", ["period=nonsense", "channel=nonsense", "period=&channel="])
def test_odd_questions_are_answered_as_if_not_asked(lead: Client, ours: World, asked: str) -> None:
    assert lead.get(f"{PAGE}?{asked}").status_code == 200


@pytest.mark.parametrize("role", ["agent", "viewer"])
def test_agents_see_no_figures_of_the_admin(
    ours: World, enter: Callable[[Membership], Client], role: str
) -> None:
    client = enter(ours.members[role])
    for url in (PAGE, page(ChannelAccount, "health")):
        assert client.get(url).status_code == 302


def test_the_day_begins_at_midnight_also_where_clocks_change() -> None:
    zone = ZoneInfo("America/New_York")
    now = datetime(2026, 11, 2, 12, tzinfo=UTC)  # clocks went back on the first

    assert periods.start_of("7d", now, zone) == datetime(2026, 10, 27, 4, tzinfo=UTC)
    assert periods.start_of("24h", now, zone) == datetime(2026, 11, 1, 13, tzinfo=UTC)
