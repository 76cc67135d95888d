"""The presence menu, the question to who leaves, and the signs of life of pages and sockets."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from conversations import attendance, frames, handoff, signs, sockets
from conversations.models import Conversation, Offer
from queues.models import AgentProfile, BreakReason
from tests.pages.test_socket import heard, open_socket

__all__ = ["open_socket"]

HTMX = {"HX-Request": "true"}
PRESENCE, LEAVE = "/inbox/presence/", "/inbox/leave/"


@pytest.fixture(autouse=True)
def no_sign_yet() -> None:
    signs._told.clear()


@pytest.fixture
def lunch(acme: Any) -> BreakReason:
    return BreakReason.objects.create(organization=acme, name="Lunch")


@pytest.fixture
def talk(make_conversation: Any, support: Any, ana: Any) -> Conversation:
    conversation = make_conversation("queued", queue=support)
    return handoff.claim(conversation.pk, agent_id=ana.pk)


def profile(member: Any) -> AgentProfile:
    return AgentProfile.objects.get(member=member)


def text(response: Any) -> str:
    return response.content.decode()


# ---------------------------------------------------------------- the menu
@pytest.mark.django_db
def test_the_menu_offers_presences_and_the_desks_breaks(log_in, ana, lunch) -> None:
    page = text(log_in(ana).get("/inbox/"))

    for said in ("Available", "Busy", "Offline", "Lunch"):
        assert said in page
    assert page.count('role="menuitemradio"') == 4
    assert page.count('aria-checked="true"') == 1


@pytest.mark.django_db
def test_a_break_is_chosen_with_its_reason(log_in, ana, lunch) -> None:
    answer = log_in(ana).post(PRESENCE, {"status": f"away:{lunch.pk}"}, headers=HTMX)

    assert (profile(ana).presence, profile(ana).break_reason) == ("away", lunch)
    assert "<b>Lunch</b>" in text(answer)
    assert 'id="me-dot" hx-swap-oob="true"' in text(answer)


@pytest.mark.django_db
def test_a_reason_that_is_offered_no_more_is_still_shown_to_who_chose_it(log_in, ana, lunch) -> None:
    attendance.set_presence(ana, "away", reason=lunch)
    BreakReason.objects.update(is_active=False)

    assert "<b>Lunch</b>" in text(log_in(ana).get("/inbox/"))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value", ["asleep", "online:x", "away:x", "away:01932c3b-0000-7000-8000-000000000000", ""]
)
def test_what_the_menu_does_not_offer_is_not_found(log_in, ana, value) -> None:
    assert log_in(ana).post(PRESENCE, {"status": value}).status_code == 404


@pytest.mark.django_db
def test_who_was_set_away_is_told_and_comes_back_with_a_click(log_in, ana) -> None:
    attendance.set_presence(ana, "busy")
    AgentProfile.objects.filter(member=ana).update(presence_since=timezone.now() - timedelta(hours=1))
    attendance.sweep()
    client = log_in(ana)
    page = text(client.get("/inbox/"))
    assert "no activity for a while" in page
    assert 'name="status" value="busy">' in page.split('id="me-told"')[1].split("</div>")[0]

    client.post(PRESENCE, {"status": "busy"}, headers=HTMX)
    assert (profile(ana).presence, profile(ana).is_automatic) == ("busy", False)


# ---------------------------------------------------------------- leaving
@pytest.mark.django_db
def test_offline_with_open_conversations_asks_first(log_in, ana, bia, talk) -> None:
    answer = log_in(ana).post(PRESENCE, {"status": "offline"}, headers=HTMX)

    assert answer.headers["HX-Retarget"] == "#dialog"
    assert "1 open conversation" in text(answer)
    assert f"agent:{bia.pk}" in text(answer)
    assert "5 places free" in text(answer)
    assert profile(ana).presence == "online"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "answer, state, said",
    [
        ("keep", "human_handoff", "You are offline."),
        ("queue", "queued", "1 conversation went back to the queue."),
    ],
)
def test_the_answer_is_carried_out_and_reported(log_in, ana, talk, answer, state, said) -> None:
    response = log_in(ana).post(PRESENCE, {"status": "offline", "conversations": answer}, headers=HTMX)

    assert profile(ana).presence == "offline"
    assert Conversation.objects.get(pk=talk.pk).state == state
    assert said in text(response)


@pytest.mark.django_db
def test_a_colleague_may_get_them(log_in, ana, bia, talk) -> None:
    log_in(ana).post(PRESENCE, {"status": "offline", "conversations": f"agent:{bia.pk}"})

    assert Conversation.objects.get(pk=talk.pk).assigned_agent == bia


@pytest.mark.django_db
def test_somebody_elses_agent_is_no_colleague(log_in, ana, rival_agent, talk) -> None:
    answer = log_in(ana).post(PRESENCE, {"status": "offline", "conversations": f"agent:{rival_agent.pk}"})

    assert answer.status_code == 404
    assert profile(ana).presence == "online"


@pytest.mark.django_db
def test_a_full_colleague_is_not_offered(log_in, ana, bia, talk) -> None:
    AgentProfile.objects.filter(member=bia).update(capacity=0)

    assert f"agent:{bia.pk}" not in text(log_in(ana).post(PRESENCE, {"status": "offline"}, headers=HTMX))


@pytest.mark.django_db
def test_without_open_conversations_nobody_is_asked(log_in, ana) -> None:
    log_in(ana).post(PRESENCE, {"status": "offline"}, headers=HTMX)

    assert profile(ana).presence == "offline"


@pytest.mark.django_db
def test_logging_out_asks_and_then_sets_offline(log_in, ana, talk) -> None:
    client = log_in(ana)
    asked = client.post(LEAVE)
    assert "1 open conversation" in text(asked)
    assert client.get("/inbox/").status_code == 200

    answer = client.post(LEAVE, {"conversations": "queue"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == "/login/"
    assert client.get("/inbox/").status_code == 302
    assert (profile(ana).presence, Conversation.objects.get(pk=talk.pk).state) == ("offline", "queued")


@pytest.mark.django_db
def test_a_viewer_just_logs_out(log_in, vic) -> None:
    client = log_in(vic)

    assert client.post(LEAVE).url == "/login/"
    assert client.get("/inbox/").status_code == 302


# ---------------------------------------------------------------- signs of life
@pytest.mark.django_db
def test_reading_a_page_is_seen_and_writing_is_input(log_in, ana) -> None:
    client = log_in(ana)
    client.get("/preferences/")
    assert profile(ana).last_seen_at is not None
    assert profile(ana).last_input_at is None

    client.post("/inbox/pull/")
    assert profile(ana).last_input_at is not None


@pytest.mark.django_db
def test_what_a_page_sends_by_itself_is_no_input(log_in, ana, talk) -> None:
    log_in(ana).post(f"/inbox/{talk.pk}/seen/")

    assert profile(ana).last_seen_at is not None
    assert profile(ana).last_input_at is None


@pytest.mark.django_db
def test_many_signs_are_one_statement(ana, django_assert_num_queries) -> None:
    with django_assert_num_queries(2):
        for _ in range(50):
            signs.of_life(ana.pk, touched=False)
            signs.of_life(ana.pk, touched=True)


@pytest.mark.django_db
def test_input_says_that_somebody_is_there(ana, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        signs.of_life(ana.pk, touched=True)
        signs.of_life(ana.pk, touched=False)

    assert profile(ana).last_seen_at == profile(ana).last_input_at


# ---------------------------------------------------------------- sockets
def _stale(member: Any) -> None:
    """Away for want of a page a moment from now."""
    old = timezone.now() - timedelta(minutes=30)
    AgentProfile.objects.filter(member=member).update(
        presence_since=old, last_seen_at=old, last_input_at=timezone.now()
    )


@pytest.mark.django_db(transaction=True)
async def test_a_tab_that_drops_is_nothing_while_another_is_open(open_socket, ana) -> None:
    await sync_to_async(_stale)(ana)
    one = await open_socket(ana)
    two = await open_socket(ana)
    await one.disconnect()
    signs._told.clear()  # as after twenty seconds: the other tab tells by itself
    await two.send_to('{"ping": 1, "active": false}')
    await heard(two, "pong")
    await seen_again(ana)  # the answer does not wait for the sign to be written
    await sync_to_async(attendance.sweep)()

    assert (await sync_to_async(profile)(ana)).presence == "online"


async def seen_again(member) -> None:
    for _n in range(100):
        if (await sync_to_async(profile)(member)).last_seen_at > timezone.now() - timedelta(minutes=1):
            return
        await asyncio.sleep(0.05)
    pytest.fail("no sign of life was written")


@pytest.mark.django_db(transaction=True)
async def test_neither_opening_nor_closing_a_page_sets_a_presence(open_socket, ana) -> None:
    await sync_to_async(attendance.set_presence)(ana, "offline")
    socket = await open_socket(ana)
    await socket.send_to('{"ping": 1, "active": true}')
    await heard(socket, "pong")
    await socket.disconnect()
    await sync_to_async(attendance.sweep)()

    assert (await sync_to_async(profile)(ana)).presence == "offline"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("said, touched", [("true", True), ("false", False), ('"yes"', False)])
async def test_a_ping_tells_whether_somebody_touched_the_page(open_socket, ana, said, touched) -> None:
    socket = await open_socket(ana)
    await socket.send_to(f'{{"ping": 1, "active": {said}}}')
    await heard(socket, "pong")
    await socket.send_to('{"ping": 1}')  # the second answer comes after the first sign was written
    await heard(socket, "pong")

    found = await sync_to_async(profile)(ana)
    assert found.last_seen_at is not None
    assert (found.last_input_at is not None) is touched


@pytest.mark.django_db(transaction=True)
async def test_a_silent_tab_in_the_background_is_still_open(open_socket, ana, monkeypatch) -> None:
    monkeypatch.setattr(sockets, "RECHECK", 0.2)
    await open_socket(ana)
    for _ in range(50):
        if (await sync_to_async(profile)(ana)).last_seen_at:
            break
        await asyncio.sleep(0.1)

    assert (await sync_to_async(profile)(ana)).last_seen_at is not None


@pytest.mark.django_db(transaction=True)
async def test_every_tab_shows_a_presence_that_was_set_elsewhere(open_socket, ana, bia) -> None:
    stamp = await sync_to_async(frames.presence_stamps)([ana.pk])
    since = await sync_to_async(frames.current_cursor)()
    tabs = [await open_socket(ana, since, presence=stamp[ana.pk]) for _ in range(2)]
    await sync_to_async(attendance.set_presence)(ana, "busy")

    for tab in tabs:
        frame = await heard(tab, "me-presence")
        assert [op["target"] for op in frame["ops"]] == ["me-dot", "me-presence", "me-told"]
        assert "at-busy" in json.dumps(frame)


@pytest.mark.django_db
def test_a_page_without_a_socket_fetches_it(log_in, ana) -> None:
    client = log_in(ana)
    cursor = frames.current_cursor()
    attendance.set_presence(ana, "busy")
    frame = client.get("/live/sync", {"since": cursor, "presence": "1"}).json()

    assert [op["target"] for op in frame["ops"]] == ["me-dot", "me-presence", "me-told"]


# ---------------------------------------------------------------- on every page with the rail
@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/inbox/", "/queues/", "/wall/", "/preferences/", "/simulator/"])
def test_every_page_with_the_rail_offers_the_presences(log_in, ana, lunch, phone_channel, path) -> None:
    attendance.set_presence(ana, "busy")
    page = text(log_in(ana).get(path))

    assert page.count('role="menuitemradio"') == 4
    assert 'at-busy"' in page.split('id="me-dot"')[1].split("</button>")[0]
    assert page.count('id="dialog"') == page.count('id="toasts"') == page.count("inbox/presence.js") == 1


@pytest.mark.django_db
def test_who_is_no_agent_is_offered_none(log_in, vic) -> None:
    assert 'role="menuitemradio"' not in text(log_in(vic).get("/wall/"))


@pytest.mark.django_db
@pytest.mark.parametrize(("outcomes", "said"), [("tt", "offered to you pass"), ("ta", "no activity")])
def test_who_let_offers_pass_is_told_so(log_in, ana, support, make_conversation, outcomes, said) -> None:
    attendance.set_presence(ana, "busy")
    attendance.set_presence(ana, "online")
    for n, letter in enumerate(outcomes):
        at = timezone.now() + timedelta(milliseconds=n)
        Offer.objects.create(
            organization=ana.organization, conversation=make_conversation("queued", queue=support), agent=ana,
            queue=support, offered_at=at, expires_at=at, answered_at=at,
            outcome={"t": Offer.Outcome.TIMED_OUT, "a": Offer.Outcome.ACCEPTED}[letter],
        )  # fmt: skip
    attendance.set_away(ana)

    assert said in text(log_in(ana).get("/queues/")).split('id="me-told"')[1].split("</form>")[0]
