"""Channel health: figures from the calls themselves, a rest that a person may end, and lists that agree."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_scopes import scope

from accounts.models import AuditEntry
from channels_hub.models import ChannelAccount
from conversations.models import Attempt, DeadLetter, Delivery, Pace
from insights.health import Health
from tests.admin.pages import act, page
from tests.admin.sendings import call, sending
from tests.admin.world import World, dead_letter

PAGE = page(ChannelAccount, "health")
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def channel(ours: World) -> ChannelAccount:
    Attempt.objects.all().delete()
    Delivery.objects.all().delete()
    return ours[ChannelAccount]


def of(client: Client, channel: ChannelAccount) -> Health:
    (found,) = (one for one in client.get(PAGE).context["healths"] if one.channel.pk == channel.pk)
    return found


def rest(channel: ChannelAccount, **more: Any) -> Pace:
    until = timezone.now() + MINUTE
    fields = {"rests_until": until, "rests_because": "unreachable", "failures": 5, **more}
    pace, _new = Pace.objects.update_or_create(
        organization_id=channel.organization_id, channel=channel, defaults=fields
    )
    return pace


def test_a_channel_without_calls_says_nothing_it_does_not_know(lead: Client, channel: ChannelAccount) -> None:
    found = of(lead, channel)

    assert (found.day.percent, found.hour.median, found.last_accepted, found.waiting) == (None, None, None, 0)
    assert "–" in lead.get(PAGE).content.decode()


def test_calls_of_the_hour_and_of_the_day_are_counted(
    lead: Client, ours: World, channel: ChannelAccount
) -> None:
    delivery = sending(ours)
    for n in range(1, 20):
        call(delivery, ago=n * MINUTE, milliseconds=10 * n)
    call(delivery, "permanent", ago=2 * MINUTE, milliseconds=5000, code="63016")
    call(delivery, "retryable", ago=5 * HOUR, milliseconds=7000, code="30008")
    call(delivery, "permanent", ago=25 * HOUR, code="63016")

    found = of(lead, channel)

    assert (found.hour.ended, found.hour.accepted, found.hour.percent) == (20, 19, 95.0)
    assert (found.day.ended, found.day.accepted) == (21, 19)
    assert (found.hour.median, found.hour.slow) == (100, 190)
    assert found.day.slow == 5000
    assert timedelta(0) < timezone.now() - found.last_accepted < 2 * MINUTE


def test_codes_are_in_words_and_their_lists_agree(lead: Client, ours: World, channel: ChannelAccount) -> None:
    delivery = sending(ours)
    for code, outcome in (("63016", "window_closed"),) * 2 + (("", "permanent"), ("x1", "permanent")):
        call(delivery, outcome, ago=MINUTE, code=code)

    problems = of(lead, channel).problems

    assert [(one.code, one.count) for one in problems] == [("63016", 2), ("permanent", 1), ("x1", 1)]
    assert "24-hour window" in problems[0].words
    for one in problems:
        assert lead.get(one.link).context["cl"].result_count == one.count


def test_what_waits_and_what_is_not_confirmed_agree_with_their_lists(
    lead: Client, ours: World, channel: ChannelAccount
) -> None:
    sending(ours, "pending", ago=10 * MINUTE)
    sending(ours, "retrying", ago=2 * MINUTE)
    dead_letter(ours, "unknown", "no_answer")

    found = of(lead, channel)

    assert (found.waiting, found.unknown) == (2, 1)
    assert abs(found.oldest - 10 * MINUTE) < MINUTE
    assert lead.get(found.outbox).context["cl"].result_count == 2
    assert lead.get(found.unconfirmed).context["cl"].result_count == 1


def test_the_rate_in_use_is_counted_as_permits_are(
    lead: Client, ours: World, channel: ChannelAccount
) -> None:
    ChannelAccount.objects.filter(pk=channel.pk).update(rate_per_second=0.01)  # one in 100 seconds
    delivery = sending(ours)
    call(delivery, ago=30 * timedelta(seconds=1))
    call(delivery, ago=70 * timedelta(seconds=1))
    call(delivery, "", ago=5 * HOUR, ended_at=None)
    call(delivery, ago=101 * timedelta(seconds=1))

    found = of(lead, channel)

    assert (found.taken, found.allowed.calls, round(found.allowed.seconds)) == (3, 1, 100)
    assert found.minute == 1


def test_a_rest_is_told_and_ended_by_who_may_edit_channels(
    boss: Client, lead: Client, channel: ChannelAccount
) -> None:
    rest(channel)
    assert "nobody answers at the platform" in lead.get(PAGE).content.decode()
    ending = page(ChannelAccount, "end_rest", channel.pk)
    assert ending not in lead.get(PAGE).content.decode()
    assert lead.post(ending, {"_form_submitted": "on"}).status_code == 403
    assert Pace.objects.get(channel=channel).rests_until

    assert ending in boss.get(PAGE).content.decode()
    assert act(boss, channel, "end_rest") == ["The rest is over: what waits is tried now."]

    pace = Pace.objects.get(channel=channel)
    assert (pace.rests_until, pace.rests_because, pace.failures) == (None, "", 5)
    assert AuditEntry.objects.filter(action="channelaccount.rest_ended").count() == 1
    assert act(boss, channel, "end_rest")[-1] == "This channel does not rest."


def test_a_rest_that_is_over_is_none(lead: Client, channel: ChannelAccount) -> None:
    rest(channel, rests_until=timezone.now() - MINUTE)

    assert not of(lead, channel).rests


def test_another_organizations_calls_do_not_count(
    lead: Client, ours: World, theirs: World, channel: ChannelAccount
) -> None:
    with scope(organization=theirs.organization):
        dead_letter(theirs, "unknown", "no_answer")
    html = lead.get(PAGE).content.decode()

    assert (of(lead, channel).day.ended, of(lead, channel).unknown) == (0, 0)
    assert theirs.mark not in html
    assert len(lead.get(PAGE).context["healths"]) == 1


def test_the_open_page_asks_for_its_list_only(lead: Client, channel: ChannelAccount) -> None:
    html = lead.get(f"{PAGE}?fragment=1").content.decode()

    assert html.lstrip().startswith('<div id="healths" hx-get=')
    assert "<html" not in html


def test_the_channels_own_page_shows_it_too(lead: Client, ours: World, channel: ChannelAccount) -> None:
    call(sending(ours), ago=MINUTE)

    assert "100.0 %" in lead.get(page(ChannelAccount, "change", channel.pk)).content.decode()


def test_a_kind_that_is_gone_breaks_no_page(lead: Client, channel: ChannelAccount) -> None:
    ChannelAccount.objects.filter(pk=channel.pk).update(kind="gone")

    assert of(lead, channel).allowed is None


def test_the_page_costs_the_same_with_many_channels(
    lead: Client, ours: World, django_assert_max_num_queries: Any
) -> None:
    for n in range(10):
        ChannelAccount.objects.create(
            organization=ours.organization, kind="phone", name=f"{n}", address=f"{n}"
        )

    with django_assert_max_num_queries(16):
        assert len(lead.get(PAGE).context["healths"]) == 11
    assert DeadLetter.objects.filter(status="failed").exists()
