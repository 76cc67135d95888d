"""Offers in the inbox: the card, its answers, and what a conversation at rest looks like."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from conversations import clockwork, frames, handoff, resting, router
from conversations.actions_routing import usual_times
from conversations.models import Conversation, Deadline, Offer, State
from conversations.pages import View
from queues.models import AgentProfile
from tests.pages.conftest import settled

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
THEN = datetime(2099, 2, 3, 14, 30, tzinfo=SAO_PAULO)


def text(response: Any) -> str:
    return response.content.decode()


@pytest.fixture
def offers(make_queue):
    asks = {"routing_mode": "round_robin", "auto_assign_conversations": True, "offer_seconds": 300}
    return make_queue("plantao", **asks)


@pytest.fixture
def offered(ana, offers, make_conversation, make_contact):
    """A conversation that has been offered to ana."""
    others = AgentProfile.objects.exclude(member=ana)
    others.update(presence="offline")
    conversation = make_conversation("queued", queue=offers, priority=80, contact=make_contact("Mariana"))
    router.drain()
    others.update(presence="online")
    return conversation


def url(name: str, conversation: Conversation) -> str:
    return reverse(f"inbox-{name}", args=[conversation.pk])


def run_out() -> None:
    """The time of every open offer ends now."""
    past = timezone.now() - timedelta(hours=1)
    Offer.objects.filter(outcome="").update(expires_at=past)
    Deadline.objects.filter(kind="offer").update(due_at=past)
    clockwork.drain_deadlines()


# ---------------------------------------------------------------- the card
def test_an_offer_is_a_card_with_who_where_how_urgent_and_until_when(log_in, ana, offered, write_in):
    write_in(offered, "Meu pedido não chegou")
    page = text(log_in(ana).get("/inbox/"))
    card = page[page.index('<section id="offers"') : page.index('id="newer"')]

    for shown in ("Mariana", "WhatsApp", "Plantao", "Priority: high", "Meu pedido não chegou"):
        assert shown in card
    assert re.search(r">0[45]:\d\d</pt-left>", card)
    assert url("accept", offered) in card
    assert url("decline", offered) in card


def test_without_an_offer_the_place_is_empty(log_in, ana, support, make_conversation):
    make_conversation("queued", queue=support)
    assert re.search(r'<section id="offers"[^>]* hidden></section>', text(log_in(ana).get("/inbox/")))


def test_several_offers_stand_in_the_order_in_which_they_run_out(
    log_in, ana, offers, offered, make_conversation
):
    second = make_conversation("queued", queue=offers)
    router.drain()
    Offer.objects.filter(conversation=second).update(expires_at=timezone.now() + timedelta(seconds=5))
    page = text(log_in(ana).get("/inbox/"))

    assert re.findall(r'id="offer-([0-9a-f-]{36})"', page) == [str(second.pk), str(offered.pk)]
    assert page.count('data-key="y"') == page.count('data-key="d"') == 1


def test_nobody_else_sees_the_card(log_in, bia, sofia, vic, offered):
    for member in (bia, sofia, vic):
        assert 'class="offer"' not in text(log_in(member).get("/inbox/"))


def test_an_offer_whose_time_is_up_is_no_longer_shown(log_in, ana, offered):
    Offer.objects.update(expires_at=timezone.now())
    assert 'class="offer"' not in text(log_in(ana).get("/inbox/"))


def test_cards_cost_the_same_for_one_and_four(
    log_in, ana, offers, offered, make_conversation, django_assert_max_num_queries
):
    client = log_in(ana)
    for _n in range(2):
        with django_assert_max_num_queries(12):
            client.get("/inbox/?tab=queue")
        for _more in range(3):
            make_conversation("queued", queue=offers)
        router.drain()


# ---------------------------------------------------------------- answers
def test_accepting_takes_it_and_opens_it(log_in, ana, offered):
    answer = log_in(ana).post(url("accept", offered), headers=HTMX)

    assert answer.headers["HX-Push-Url"] == f"/inbox/{offered.pk}/"
    assert Conversation.objects.get(pk=offered.pk).assigned_agent == ana
    assert Offer.objects.get().outcome == Offer.Outcome.ACCEPTED


def test_declining_asks_the_next_one_and_answers_with_what_is_left(log_in, ana, bia, offered):
    answer = log_in(ana).post(url("decline", offered), headers=HTMX)
    router.drain()

    assert text(answer).startswith('<section id="offers"')
    assert 'class="offer"' not in text(answer)
    assert Offer.objects.get(outcome="").agent == bia


def test_without_javascript_both_are_plain_forms(log_in, ana, offered):
    client = log_in(ana)
    assert client.post(url("decline", offered)).url == "/inbox/"
    Offer.objects.update(outcome="", answered_at=None)
    assert client.post(url("accept", offered)).url == f"/inbox/{offered.pk}/"


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_who_is_late_is_told_so_and_not_that_it_does_not_exist(log_in, ana, bia, sofia, offered, answer):
    handoff.assign_agent(offered.pk, bia.pk, actor=sofia)
    client = log_in(ana)
    late = client.post(url(answer, offered), headers=HTMX)
    plain = client.post(url(answer, offered), follow=True)

    assert (late.status_code, late.headers["HX-Retarget"]) == (409, "#toasts")
    assert plain.redirect_chain == [("/inbox/", 302)]
    assert "Bia" in text(late) or answer == "decline"


@pytest.mark.parametrize("answer", ["accept", "decline"])
def test_what_was_never_offered_to_somebody_is_not_theirs_to_answer(log_in, sofia, offered, answer):
    assert log_in(sofia).post(url(answer, offered), headers=HTMX).status_code == 404
    assert Offer.objects.get().outcome == ""


# ---------------------------------------------------------------- live
def here() -> str:
    settled()
    return frames.current_cursor()


def offers_in(frame: dict[str, Any]) -> list[str]:
    return [op["html"] for op in frame["ops"] if op["target"] == "offers"]


def look(member: Any, cursor: str) -> dict[str, Any]:
    settled()
    with translation.override("en"):
        return frames.frames_since(member, cursor, View("mine"))


@pytest.mark.django_db(transaction=True)
def test_a_frame_brings_the_card_reads_it_aloud_and_takes_it_away(ana, offers, make_conversation):
    cursor = here()
    conversation = make_conversation("queued", queue=offers)
    router.drain()
    frame = look(ana, cursor)
    assert f'id="offer-{conversation.pk}"' in offers_in(frame)[0]
    said = [op["html"] for op in frame["ops"] if op["target"] == "live-status"]
    assert len(said) == 1
    assert re.fullmatch(r"Offered to you: Mariana, queue Plantao\. \d+ seconds to accept\.", said[0])

    decline = partial(router.decline, conversation.pk, agent=ana)
    close = partial(handoff.close, conversation.pk, actor=None)
    for end in (run_out, decline, close):
        Offer.objects.update(outcome="", answered_at=None, expires_at=timezone.now() + timedelta(minutes=1))
        cursor = here()
        end()
        assert ["hidden" in html for html in offers_in(look(ana, cursor))] == [True]


@pytest.mark.django_db(transaction=True)
def test_a_frame_says_nothing_about_offers_to_others(ana, bia, offers, make_conversation):
    cursor = here()
    make_conversation("queued", queue=offers)
    router.drain()
    asked = Offer.objects.get().agent

    assert offers_in(look(asked, cursor))
    assert not offers_in(look(bia if asked == ana else ana, cursor))


@pytest.mark.django_db(transaction=True)
def test_a_page_that_must_be_read_anew_gets_its_offers_with_that(ana, offered):
    frame = look(ana, "x")
    assert frame["reset"]
    assert f'id="offer-{offered.pk}"' in offers_in(frame)[0]


# ---------------------------------------------------------------- who lets them pass
def test_two_offers_in_a_row_without_an_answer_set_the_agent_away(ana, offers, offered, make_conversation):
    run_out()
    assert ana.agent.presence == "online"
    make_conversation("queued", queue=offers)
    router.drain()
    run_out()

    profile = AgentProfile.objects.get(member=ana)
    assert (profile.presence, profile.is_automatic) == ("away", True)


def test_an_answer_between_two_missed_offers_keeps_the_agent_available(
    ana, offers, offered, make_conversation
):
    run_out()
    between = make_conversation("queued", queue=offers)
    router.drain()
    router.decline(between.pk, agent=ana)
    make_conversation("queued", queue=offers)
    router.drain()
    run_out()

    assert Offer.objects.filter(outcome="timed_out").count() == 2
    assert AgentProfile.objects.get(member=ana).presence == "online"


def test_who_is_back_has_two_chances_again(ana, offers, offered, make_conversation):
    run_out()
    AgentProfile.objects.filter(member=ana).update(presence_since=timezone.now())
    make_conversation("queued", queue=offers)
    router.drain()
    run_out()

    assert AgentProfile.objects.get(member=ana).presence == "online"


# ---------------------------------------------------------------- rest
def test_hold_and_resume_in_the_header(log_in, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    client = log_in(ana)
    held = text(client.post(url("hold", conversation), headers=HTMX))
    assert "On hold</span>" in held
    assert url("resume", conversation) in held
    assert url("hold", conversation) not in held

    back = text(client.post(url("resume", conversation), headers=HTMX))
    assert "On hold</span>" not in back
    assert url("hold", conversation) in back


def test_resting_conversations_stand_below_the_others_with_a_chip(log_in, ana, make_conversation):
    conversations = [make_conversation("human_handoff", agent=ana) for _n in range(3)]
    resting.hold(conversations[2].pk, agent=ana)
    resting.snooze(conversations[1].pk, agent=ana, until=timezone.now() + timedelta(days=9))
    page = text(log_in(ana).get("/inbox/rows/?tab=mine"))

    found = re.findall(r'id="row-([^"]+)" data-sort="([^"]+)"', page)
    assert found[0][0] == str(conversations[0].pk)
    assert found == sorted(found, key=lambda row: row[1], reverse=True)
    assert page.count("On hold</span>") == page.count("Snoozed until") == 1


def test_the_pages_of_mine_go_on_through_the_resting_ones(log_in, ana, make_conversation):
    AgentProfile.objects.update(capacity=99)
    made = [make_conversation("human_handoff", agent=ana) for _n in range(35)]
    for conversation in made[::3]:
        resting.hold(conversation.pk, agent=ana)
    client = log_in(ana)
    first = text(client.get("/inbox/rows/?tab=mine"))
    more = re.search(r'hx-get="([^"]+)"[^>]*hx-target="#more"', first)[1].replace("&amp;", "&")
    rows = re.findall(r'id="row-([^"]+)"', first + text(client.get(more)))

    assert (len(rows), set(rows)) == (35, {str(c.pk) for c in made})
    assert set(rows[-12:]) == {str(c.pk) for c in made[::3]}


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"until": "own", "date": "2099-02-03", "time": "14:30"}, THEN),
        ({"until": "own", "date": "2099-02-03"}, None),
        ({"until": "own", "date": "2001-02-03", "time": "14:30"}, None),
        ({"until": "own", "date": "x", "time": "25:00"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_snoozing_until_a_time_of_ones_own(log_in, ana, make_conversation, fields, expected):
    conversation = make_conversation("human_handoff", agent=ana)
    answer = log_in(ana).post(url("snooze", conversation), fields, headers=HTMX)

    assert Conversation.objects.get(pk=conversation.pk).snoozed_until == expected
    assert answer.status_code == (200 if expected else 409)
    assert ("Snoozed until 03/02 14:30" in text(answer)) is bool(expected)


@pytest.mark.parametrize("choice, days", [("hour", 0), ("tomorrow", 1), ("monday", None)])
def test_snoozing_until_a_usual_time(log_in, ana, make_conversation, choice, days):
    conversation = make_conversation("human_handoff", agent=ana)
    client, before = log_in(ana), timezone.now().astimezone(SAO_PAULO)
    assert f'value="{choice}"' in text(client.get(url("snooze", conversation), headers=HTMX))
    client.post(url("snooze", conversation), {"until": choice}, headers=HTMX)

    until = Conversation.objects.get(pk=conversation.pk).snoozed_until.astimezone(SAO_PAULO)
    if choice == "hour":
        assert timedelta(minutes=59) < until - before < timedelta(minutes=61)
    else:
        assert (until.hour, until.minute) == (9, 0)
        assert (until.date() - before.date()).days == days if days else until.weekday() == 0


@pytest.mark.parametrize(
    "now, expected",
    [
        # Saturday 22:30 in São Paulo is Sunday in UTC already
        ("2026-11-22T01:30", {"hour": "21T23:30", "tomorrow": "22T09:00", "monday": "23T09:00"}),
        ("2026-11-22T15:00", {"hour": "22T13:00", "tomorrow": "23T09:00"}),  # a Sunday: tomorrow is Monday
        ("2026-11-23T15:00", {"hour": "23T13:00", "tomorrow": "24T09:00", "monday": "30T09:00"}),
    ],
)
def test_the_usual_times_are_those_of_the_desks_zone(now, expected):
    found = usual_times(datetime.fromisoformat(now).replace(tzinfo=UTC), SAO_PAULO)
    assert {one.value: one.at.strftime("%dT%H:%M") for one in found} == expected


def test_rest_is_the_owners_and_waking_also_a_supervisors(log_in, ana, sofia, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    lead = log_in(sofia)
    for rest in ("hold", "snooze"):
        assert lead.post(url(rest, conversation), {"until": "hour"}, headers=HTMX).status_code == 409
    resting.hold(conversation.pk, agent=ana)
    page = text(lead.get(url("thread", conversation)))
    assert url("resume", conversation) in page
    assert url("snooze", conversation) not in page
    lead.post(url("resume", conversation), headers=HTMX)
    assert Conversation.objects.get(pk=conversation.pk).held_at is None


@pytest.mark.django_db(transaction=True)
def test_another_page_of_the_agent_follows_into_rest_and_back(ana, make_conversation):
    conversation, later = make_conversation("human_handoff", agent=ana), timezone.now() + timedelta(hours=1)
    for act, shown in (
        (lambda: resting.hold(conversation.pk, agent=ana), "On hold"),
        (lambda: resting.snooze(conversation.pk, agent=ana, until=later), "Snoozed until"),
        (lambda: resting.resume(conversation.pk, actor=ana), "Put on hold"),
    ):
        cursor = here()
        act()
        settled()
        with translation.override("en"):
            frame = frames.frames_since(ana, cursor, View("mine"), conversation.pk)
        assert shown in next(op["html"] for op in frame["ops"] if op["target"] == "head")


# ---------------------------------------------------------------- above capacity
@pytest.fixture
def full(ana, make_conversation):
    """Ana has two of two."""
    AgentProfile.objects.filter(member=ana).update(capacity=2)
    for _n in range(2):
        make_conversation("human_handoff", agent=ana)
    return ana


def test_a_supervisor_is_asked_and_may_give_above_capacity(log_in, full, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    client, fields = log_in(sofia), {"to": f"agent:{full.pk}", "priority": "80", "note": "VIP & <b>"}
    asked = client.post(url("transfer", conversation), fields, headers=HTMX)
    question = text(asked)

    assert (asked.status_code, asked.headers["HX-Retarget"]) == (200, "#dialog")
    assert "Ana has 2 of 2. Give it all the same?" in question
    assert 'value="VIP &amp; &lt;b&gt;"' in question
    assert Conversation.objects.get(pk=conversation.pk).state == State.QUEUED
    client.post(url("transfer", conversation), {**fields, "over_capacity": "1"}, headers=HTMX)
    given = Conversation.objects.get(pk=conversation.pk)
    assert (given.assigned_agent, given.extra_data["over_capacity"]) == (full, True)
    assert given.notes.get().text == "VIP & <b>"


def test_without_javascript_the_question_is_a_page(log_in, full, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    page = log_in(sofia).post(url("transfer", conversation), {"to": f"agent:{full.pk}"})
    assert "Give it all the same?" in text(page)
    assert "<html" in text(page)


def test_an_agent_never_gets_the_choice(log_in, full, bia, make_conversation):
    conversation = make_conversation("human_handoff", agent=bia)
    client, fields = log_in(bia), {"to": f"agent:{full.pk}"}
    refusal = client.post(url("transfer", conversation), fields, headers=HTMX)

    assert (refusal.status_code, refusal.headers["HX-Retarget"]) == (409, "#toasts")
    assert "Ana has no room" in text(refusal)
    insisting = client.post(url("transfer", conversation), {**fields, "over_capacity": "1"}, headers=HTMX)
    assert insisting.status_code == 403
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == bia


def test_a_full_supervisor_takes_over_once_confirmed(log_in, ana, sofia, make_conversation):
    AgentProfile.objects.filter(member=sofia).update(capacity=0)
    conversation = make_conversation("human_handoff", agent=ana)
    client = log_in(sofia)
    assert "You have 0 of 0. Take it all the same?" in text(
        client.post(url("take-over", conversation), headers=HTMX)
    )
    client.post(url("take-over", conversation), {"over_capacity": "1"}, headers=HTMX)
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == sofia


def test_the_dialog_shows_places_taken_without_those_at_rest(log_in, full, bia, make_conversation):
    resting.hold(Conversation.objects.filter(assigned_agent=full).first().pk, agent=full)
    page = text(log_in(bia).get(url("transfer", make_conversation("human_handoff", agent=bia)), headers=HTMX))
    assert re.search(r"places taken: </span>1 / 2<", page)
