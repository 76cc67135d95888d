"""The queue board: who stands where, what may be done with it, and by whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django_scopes import scope

from accounts.roles import Role
from conversations import handoff
from conversations.models import Conversation, Event, Offer, State
from insights import actions, board, reads, snapshot
from insights.floor import Look
from queues.models import AgentProfile, Calendar, Queue
from tests.conftest import new_member

pytestmark = pytest.mark.django_db
CEILING = 10
JSON = {"accept": "application/json"}


def columns(member: Any, department: str = "") -> dict[str, board.Column]:
    with translation.override("en"), scope(organization=member.organization):
        _cursor, parts = board.parts(Look.of(member, "board", department, "en"), reads.Memory())
    return {part["column"].name: part["column"] for part in parts.values() if "column" in part}


def cards(member: Any, queue: str = "Suporte") -> list[str]:
    return list(columns(member)[queue].cards)


def now_in(conversation: Conversation) -> Conversation:
    return Conversation.objects.select_related("queue", "assigned_agent").get(pk=conversation.pk)


@pytest.fixture
def other_queue(make_queue) -> Queue:
    return make_queue("geral")


# ---------------------------------------------------------------- columns and cards
def test_cards_stand_by_priority_then_age(sofia, support, make_conversation, make_contact):
    for name, priority in (("Zero", 50), ("Um", 100), ("Dois", 50), ("Três", 80)):
        make_conversation("queued", queue=support, contact=make_contact(name), priority=priority)

    order = [next(n for n in ("Zero", "Um", "Dois", "Três") if n in card) for card in cards(sofia)]

    assert order == ["Um", "Três", "Zero", "Dois"]


def test_a_card_says_how_urgent_it_is_and_to_whom_it_is_offered(sofia, ana, acme, support, make_conversation):
    conversation = make_conversation("queued", queue=support, priority=100)
    now = timezone.now()
    Offer.objects.create(
        organization=acme, conversation=conversation, agent=ana, queue=support, offered_at=now,
        expires_at=now + timedelta(minutes=1),
    )  # fmt: skip

    (card,) = cards(sofia)

    assert "urgent" in card
    assert "offered to Ana" in card


def test_a_card_shows_its_promise(sofia, make_queue, make_conversation):
    make_conversation("queued", queue=make_queue("prometida", sla_minutes=5))

    assert "SLA <pt-time data-until" in cards(sofia, "Prometida")[0]


def test_a_long_line_shows_its_head_and_counts_the_rest(sofia, support, make_conversation, monkeypatch):
    monkeypatch.setattr(board, "MOST", 2)
    for _ in range(5):
        make_conversation("queued", queue=support)

    column = columns(sofia)["Suporte"]

    assert (len(column.cards), column.waiting, column.more) == (2, "5", "3")


def test_a_board_of_many_queues_keeps_its_size():
    assert [board.cards_of_each(n) for n in (1, 6, 10, 100)] == [50, 50, 30, 5]


def test_a_closed_queue_says_when_it_opens(sofia, acme, make_queue):
    today = timezone.now().strftime("%a").lower()
    other = next(day for day in ("mon", "tue") if day != today)
    calendar = Calendar.objects.create(
        organization=acme, name="Um dia", timezone="UTC",
        intervals=[{"weekday": other, "start": "09:00", "end": "09:01"}],
    )  # fmt: skip
    make_queue("fechada", calendar=calendar)

    assert columns(sofia)["Fechada"].closed.startswith("closed, opens ")


def test_an_unchanged_card_is_not_rendered_again(sofia, support, make_conversation, monkeypatch):
    make_conversation("queued", queue=support)
    memory, look = reads.Memory(), Look.of(sofia, "board", "", "en")
    first = snapshot.take(look, memory)
    monkeypatch.setattr(board, "render_to_string", lambda *args: pytest.fail("rendered again"))
    again = snapshot.take(look, memory)

    assert again.frame(first.marks())["ops"] == []


def test_queries_do_not_grow_with_the_line(sofia, support, other_queue, make_conversation):
    def statements() -> int:
        with CaptureQueriesContext(connection) as asked:
            snapshot.take(Look.of(sofia, "board", "", "en"))
        return len(asked)

    for _ in range(5):
        make_conversation("queued", queue=support)
    few = statements()
    for n in range(195):
        make_conversation("queued", queue=(support, other_queue)[n % 2])

    assert statements() == few <= CEILING


# ---------------------------------------------------------------- who sees what
def test_agents_see_only_the_queues_they_serve(
    ana, bia, support, make_queue, make_conversation, make_contact
):
    hers = make_queue("dela", settings={"allowed_agent_ids": [str(bia.pk)]})
    make_conversation("queued", queue=hers, contact=make_contact("Segredo"))

    assert list(columns(ana)) == ["Suporte"]
    assert list(columns(bia)) == ["Dela", "Suporte"]


def test_an_agents_page_holds_no_name_from_elsewhere(
    log_in, ana, bia, make_queue, make_conversation, make_contact
):
    hers = make_queue("dela", settings={"allowed_agent_ids": [str(bia.pk)]})
    make_conversation("queued", queue=hers, contact=make_contact("Segredo"))

    assert "Segredo" not in log_in(ana).get("/queues/").content.decode()
    assert "Segredo" in log_in(bia).get("/queues/").content.decode()


@pytest.mark.parametrize("role", list(Role))
def test_each_role_gets_the_tools_it_may_use(log_in, acme, support, make_conversation, role):
    make_conversation("queued", queue=support)
    html = log_in(new_member(acme, "eva", role)).get("/queues/").content.decode()

    leads = role in (Role.OWNER, Role.ADMIN, Role.SUPERVISOR)
    assert ('draggable="true"' in html) == leads
    assert ("data-menu" in html, 'id="pull-next"' in html) == ((role != Role.VIEWER,) * 2)


def test_a_department_shows_its_queues_only(log_in, sofia, support):
    assert list(columns(sofia, "suporte")) == ["Suporte"]
    assert columns(sofia, "nenhum") == {}


# ---------------------------------------------------------------- what is done
@pytest.fixture
def act(log_in):
    """Post to a card as somebody; status and what was said."""

    def post(member: Any, conversation: Conversation, what: str, **fields: str) -> tuple[int, dict[str, Any]]:
        answer = log_in(member).post(f"/queues/cards/{conversation.pk}/{what}/", fields, headers=JSON)
        is_json = answer["Content-Type"].startswith("application/json")
        return answer.status_code, answer.json() if is_json else {}

    return post


def test_pull_next_leads_into_the_conversation(log_in, ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)

    answer = log_in(ana).post("/queues/pull/", {"queue": support.pk}, headers=JSON)

    assert answer.json()["go"] == f"/inbox/{conversation.pk}/"
    assert now_in(conversation).assigned_agent == ana


def test_pulling_from_an_empty_queue_says_so(log_in, ana, support):
    answer = log_in(ana).post("/queues/pull/", {}, headers=JSON)

    assert (answer.status_code, answer.json()["detail"]) == (200, "Nobody is waiting.")


def test_take_gives_it_to_the_one_who_asked(act, ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)

    assert act(ana, conversation, "take") == (
        200,
        {"detail": "", "css": "ok", "go": f"/inbox/{conversation.pk}/"},
    )
    assert now_in(conversation).assigned_agent == ana


def test_the_slower_one_is_told_who_has_it(act, ana, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)

    status, said = act(sofia, conversation, "take")

    assert (status, said["detail"]) == (409, "Ana already has this conversation.")


def test_move_to_another_queue_with_another_priority(act, sofia, support, other_queue, make_conversation):
    conversation = make_conversation("queued", queue=support)

    status, said = act(sofia, conversation, "move", queue=str(other_queue.pk), priority="80")

    assert (status, said["detail"]) == (200, "Moved to Geral.")
    assert (now_in(conversation).queue, now_in(conversation).queue_priority) == (other_queue, 80)


def test_moving_a_card_that_an_agent_has_just_taken_leaves_it_with_them(
    act, sofia, ana, support, other_queue, make_conversation
):
    conversation = make_conversation("queued", queue=support)
    handoff.claim(conversation.pk, agent_id=ana.pk)

    for what, fields in (
        ("move", {"queue": str(other_queue.pk)}),
        ("assign", {"agent": str(sofia.pk)}),
        ("priority", {"priority": "100"}),
        ("close", {}),
    ):
        status, said = act(sofia, conversation, what, **fields)
        assert (status, said["detail"]) == (409, "It is not waiting any more: somebody was faster.")
    assert (now_in(conversation).state, now_in(conversation).assigned_agent) == (State.HUMAN_HANDOFF, ana)


def test_priority_is_set_and_on_record(act, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)

    assert act(sofia, conversation, "priority", priority="100")[0] == 200
    event = Event.objects.get(type="priority")
    assert (now_in(conversation).queue_priority, event.actor) == (100, sofia)
    assert act(sofia, conversation, "priority", priority="7")[0] == 404


def test_assign_to_an_agent_and_beyond_their_places_only_with_the_tick(
    act, sofia, ana, support, make_conversation
):
    AgentProfile.objects.filter(member=ana).update(capacity=1)
    one, two = make_conversation("queued", queue=support), make_conversation("queued", queue=support)

    assert act(sofia, one, "assign", agent=str(ana.pk))[1]["detail"] == "Given to Ana."
    assert act(sofia, two, "assign", agent=str(ana.pk))[0] == 409
    assert act(sofia, two, "assign", agent=str(ana.pk), over_capacity="1")[0] == 200
    assert now_in(two).assigned_agent == ana


def test_close_from_the_board(act, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)

    assert act(sofia, conversation, "close")[1]["detail"] == "Closed."
    assert now_in(conversation).state == State.CLOSED


@pytest.mark.parametrize("what", ["close", "priority"])
def test_what_is_taken_while_a_click_is_on_its_way_stays_with_its_agent(
    act, sofia, ana, support, make_conversation, monkeypatch, what
):
    conversation, real = make_conversation("queued", queue=support), actions.find

    def slow(member: Any, pk: Any) -> Conversation:
        seen = real(member, pk)
        handoff.claim(pk, agent_id=ana.pk)
        return seen

    monkeypatch.setattr(actions, "find", slow)
    status, said = act(sofia, conversation, what, priority="100")

    assert (status, said["detail"]) == (409, "It is not waiting any more: somebody was faster.")
    assert (now_in(conversation).state, now_in(conversation).assigned_agent) == (State.HUMAN_HANDOFF, ana)


@pytest.mark.parametrize("what", ["move", "priority", "assign", "close"])
def test_agents_do_not_lead(act, ana, support, make_conversation, what):
    conversation = make_conversation("queued", queue=support)

    assert act(ana, conversation, what)[0] == 403


def test_a_card_of_a_queue_they_do_not_serve_does_not_exist_for_agents(
    log_in, act, ana, bia, make_queue, make_conversation
):
    conversation = make_conversation(
        "queued", queue=make_queue("dela", settings={"allowed_agent_ids": [str(bia.pk)]})
    )

    assert act(ana, conversation, "take")[0] == 404
    assert log_in(ana).get(f"/queues/cards/{conversation.pk}/").status_code == 404


def test_without_script_the_answer_is_a_message_on_the_board(log_in, ana, support):
    answer = log_in(ana).post("/queues/pull/", {"page": "wall"}, follow=True)

    assert answer.redirect_chain == [("/wall/", 302)]
    assert "Nobody is waiting." in answer.content.decode()


def test_the_menu_offers_what_the_role_may_do(
    log_in, sofia, ana, vic, support, other_queue, make_conversation
):
    conversation = make_conversation("queued", queue=support)
    menus = {m: log_in(m).get(f"/queues/cards/{conversation.pk}/?fragment=1") for m in (sofia, ana, vic)}

    assert menus[vic].status_code == 403
    assert "act-queue" not in menus[ana].content.decode()
    assert "Geral" in menus[sofia].content.decode()


def test_the_menu_is_a_page_without_script(log_in, sofia, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    html = log_in(sofia).get(f"/queues/cards/{conversation.pk}/").content.decode()

    assert html.startswith("<!doctype html>")
    assert 'id="act-take"' in html
