"""The live wall: known rows give known figures, to whom they may be shown."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation
from django_scopes import scope

from accounts.roles import Role
from conversations import handoff, outbox
from conversations.models import Conversation, Delivery, Event, Stay
from conversations.moves import writing
from insights import reads, snapshot, wall
from insights.floor import Floor, Look
from queues.models import AgentProfile, BreakReason, Department, Queue, SlaPolicy
from tests.conftest import new_member

pytestmark = pytest.mark.django_db
CEILING = 10
ZONE = ZoneInfo("America/Sao_Paulo")


def shown(member: Any, department: str = "") -> dict[str, Any]:
    with translation.override("en"), scope(organization=member.organization):
        return wall.parts(Look.of(member, "wall", department, "en"), reads.Memory())[1]


def tiles(member: Any, department: str = "") -> dict[str, tuple[str, str, str]]:
    return {t.key: (t.value, t.chip.css, t.chip.text) for t in shown(member, department)["tiles"]["tiles"]}


def rows(member: Any, department: str = "") -> dict[str, Any]:
    return {row.name: row for row in shown(member, department)["lines"]["rows"]}


def alerts(member: Any) -> list[str]:
    return [alert.text for alert in shown(member)["alerts"]["alerts"]]


def age(conversation: Conversation, minutes: float) -> None:
    """It has been waiting for so long."""
    at = timezone.now() - timedelta(minutes=minutes)
    Conversation.objects.filter(pk=conversation.pk).update(queued_at=at)


@pytest.fixture
def sales(acme, make_queue) -> Queue:
    department = Department.objects.create(organization=acme, name="Vendas", slug="vendas")
    queue = make_queue("vendas")
    Queue.objects.filter(pk=queue.pk).update(department=department)
    return queue


# ---------------------------------------------------------------- tiles
def test_who_waits_and_how_long(sofia, support, make_conversation):
    make_conversation("queued", queue=support)
    age(make_conversation("queued", queue=support), 16)

    tile = next(t for t in shown(sofia)["tiles"]["tiles"] if t.key == "waiting")

    assert (tile.value, tile.chip.label) == ("2", "longest wait")
    assert tile.chip.text.startswith("16:0")


def test_the_longest_wait_is_found_behind_a_more_urgent_one(sofia, support, make_conversation):
    make_conversation("queued", queue=support, priority=100)
    age(make_conversation("queued", queue=support, priority=10), 30)

    assert rows(sofia)["Suporte"].longest.text.startswith("30:0")


def test_agents_and_the_places_of_those_who_are_here(sofia, ana, bia, support, make_conversation):
    for agent in (ana, ana, bia):
        make_conversation("human_handoff", agent=agent)
    AgentProfile.objects.filter(member=bia).update(presence="away")

    assert tiles(sofia)["agents"] == ("3", "ok", "cap. 2/10")  # ana and sofia are here


def test_talks_the_bot_finished_count_against_those_it_handed_over(sofia, flow, support, make_conversation):
    finished, handed, _talking = (make_conversation("bot", flow=flow) for _ in range(3))
    handoff.close(finished.pk, actor=None, reason="bot_done")
    handoff.assign_to_queue_with_overflow(handed.pk, support.pk)

    assert tiles(sofia)["bot"] == ("1", "info", "contained 50 % today")


def test_the_first_response_is_held_against_the_tightest_target(sofia, ana, support, acme, make_conversation):
    policy = SlaPolicy.objects.create(organization=acme, name="Ouro", first_response_minutes=3)
    Queue.objects.filter(pk=support.pk).update(sla_policy=policy)
    now = timezone.now()
    for seconds in (10, 20, 30, 40, 50, 60, 70, 80, 161, 900):
        pk = make_conversation("queued", queue=support).pk
        began = now - timedelta(seconds=seconds)
        Conversation.objects.filter(pk=pk).update(handoff_at=began, first_response_at=now)

    assert tiles(sofia)["first"] == ("2m 41s", "ok", "target 3m")


def test_what_failed_in_the_last_hour_and_how_long_sending_takes(sofia, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    for text in ("um", "dois", "três"):
        outbox.reply(conversation.pk, agent=ana, text=text)
    sent, failed, _pending = Delivery.objects.order_by("seq")
    now = timezone.now()
    Delivery.objects.filter(pk=failed.pk).update(status="failed", settled_at=now)
    Delivery.objects.filter(pk=sent.pk).update(
        status="delivered", created_at=now - timedelta(seconds=1.8), settled_at=now
    )

    assert tiles(sofia)["outbox"] == ("1", "bad", "1 failure · p95 1.8 s")
    assert "1 message failed in the last hour" in alerts(sofia)


def test_a_failure_of_two_hours_ago_is_history(sofia, ana, make_conversation):
    conversation = make_conversation("human_handoff", agent=ana)
    outbox.reply(conversation.pk, agent=ana, text="um")
    Delivery.objects.update(status="failed", settled_at=timezone.now() - timedelta(hours=2))

    assert tiles(sofia)["outbox"] == ("0", "ok", "0 failures")


# ---------------------------------------------------------------- promises
def stay(queue: Queue, make_conversation, at: datetime, *, missed: bool, left_by: str = "claim") -> None:
    """A stay of ten minutes that ended so."""
    pk = make_conversation("queued", queue=queue).pk
    ended = at + timedelta(minutes=10)
    Stay.objects.filter(conversation_id=pk).update(entered_at=at, left_at=ended, left_by=left_by)
    late = ended if missed else None
    Conversation.objects.filter(pk=pk).update(sla_breached_at=late)


def midnight() -> datetime:
    return timezone.now().astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)


def test_promises_kept_today_against_yesterday(sofia, make_queue, make_conversation):
    queue = make_queue("prometida", sla_minutes=5)
    yesterday = midnight() - timedelta(hours=12)
    for missed in (False, False, False, True):
        stay(queue, make_conversation, midnight(), missed=missed)
    for missed in (False, True):
        stay(queue, make_conversation, yesterday, missed=missed)

    assert tiles(sofia)["sla"] == ("75.0 %", "ok", "▲ 25.0 p.p.")
    assert (rows(sofia)["Prometida"].kept, rows(sofia)["Prometida"].kept_css) == ("75 %", "bad")


def test_who_gave_up_in_time_is_neither_kept_nor_missed(sofia, make_queue, make_conversation):
    queue = make_queue("prometida", sla_minutes=5)
    stay(queue, make_conversation, midnight(), missed=False, left_by="close")

    assert tiles(sofia)["sla"][0] == "–"


def test_a_promise_missed_in_the_next_queue_is_not_the_first_ones(sofia, make_queue, make_conversation):
    first = make_queue("primeira", sla_minutes=5)
    stay(first, make_conversation, midnight(), missed=False, left_by="requeue")
    Conversation.objects.update(sla_breached_at=midnight() + timedelta(hours=2))

    assert rows(sofia)["Primeira"].kept == "–"


def test_a_queue_without_a_promise_keeps_none(sofia, support, make_conversation):
    stay(support, make_conversation, midnight(), missed=False)

    assert rows(sofia)["Suporte"].kept == "–"


def test_the_day_by_the_hour(sofia, support, make_conversation):
    for hour in (0, 0, 0):
        stay(support, make_conversation, midnight() + timedelta(hours=hour, minutes=55), missed=False)

    bars = {bar.hour: (bar.came, bar.taken) for bar in shown(sofia)["hours"]["chart"].bars}

    assert (bars[0], bars[1], bars[2]) == ((3, 0), (0, 3), (0, 0))


def test_hours_of_a_day_on_which_clocks_change():
    lisbon = ZoneInfo("Europe/Lisbon")
    spring = datetime(2026, 3, 29, tzinfo=lisbon)  # 01:00 becomes 02:00

    assert [reads._hour(spring, passed) for passed in (0, 1, 2)] == [0, 2, 3]


# ---------------------------------------------------------------- queues and agents
def test_only_those_who_may_serve_count_for_a_queue(sofia, ana, bia, support, make_queue):
    narrow = make_queue("restrita", settings={"allowed_agent_ids": [str(ana.pk), str(bia.pk)]})
    AgentProfile.objects.filter(member=bia).update(presence="busy")

    row = rows(sofia)[narrow.name]

    assert (row.online, row.team) == (1, 2)
    assert rows(sofia)["Suporte"].team == 3


def test_an_inactive_queue_shows_while_somebody_waits_in_it(sofia, support, make_queue, make_conversation):
    make_conversation("queued", queue=support)
    Queue.objects.update(is_active=False)
    make_queue("vazia", is_active=False)

    assert list(rows(sofia)) == ["Suporte"]
    assert alerts(sofia) == ["Suporte is switched off and 1 wait in it"]


def test_agents_say_why_they_are_away(sofia, ana, acme, support):
    lunch = BreakReason.objects.create(organization=acme, name="Almoço")
    since = timezone.now() - timedelta(minutes=31)
    AgentProfile.objects.filter(member=ana).update(presence="away", break_reason=lunch, presence_since=since)

    agent = next(a for a in shown(sofia)["agents"]["agents"] if a.name == "Ana")

    assert (agent.words, agent.lasts, agent.load, agent.capacity) == ("Almoço", "31m", 0, 5)


def test_an_owner_who_is_offline_is_no_agent_of_the_day(sofia, olivia, support):
    AgentProfile.objects.filter(member=olivia).update(presence="offline")

    assert [a.name for a in shown(sofia)["agents"]["agents"]] == ["Sofia"]


def test_a_department_shows_its_own(sofia, ana, support, sales, make_conversation):
    make_conversation("queued", queue=support)
    for _ in range(2):
        make_conversation("queued", queue=sales)

    assert list(rows(sofia, "vendas")) == ["Vendas"]
    assert (tiles(sofia)["waiting"][0], tiles(sofia, "vendas")["waiting"][0]) == ("3", "2")


# ---------------------------------------------------------------- alerts
def test_a_quiet_desk_has_no_alerts(log_in, sofia, support):
    assert "No alerts." in log_in(sofia).get("/wall/").content.decode()


def test_alerts_say_what_is_true_now(sofia, ana, support, make_conversation):
    late, calls = (make_conversation("queued", queue=support) for _ in range(2))
    make_conversation("pending")
    Conversation.objects.filter(pk=late.pk).update(sla_breached_at=timezone.now())
    with writing(calls.pk) as conversation:
        conversation.log("attention", {"why": "waiting too long"})
    AgentProfile.objects.update(presence="offline")

    assert alerts(sofia) == [
        "1 open conversation missed its SLA",
        "Nobody handles 1 conversation",
        "1 conversation calls for a supervisor",
        "Suporte: 2 wait and nobody who serves it is available",
    ]


def test_a_conversation_taken_since_calls_no_more(sofia, ana, support, make_conversation):
    conversation = make_conversation("queued", queue=support)
    with writing(conversation.pk) as locked:
        locked.log("attention", {"why": "waiting too long"})
    handoff.claim(conversation.pk, agent_id=ana.pk)
    Conversation.objects.update(last_activity_at=timezone.now() + timedelta(seconds=1))

    assert Event.objects.filter(type="attention").exists()
    assert alerts(sofia) == []


def test_each_alert_leads_to_what_it_counts(log_in, sofia, support, make_conversation):
    here, lost = make_conversation("queued", queue=support), make_conversation("pending")
    AgentProfile.objects.update(presence="offline")
    client, urls = log_in(sofia), [alert.url for alert in shown(sofia)["alerts"]["alerts"]]

    for url, found, other in ((urls[0], lost, here), (urls[1], here, lost)):
        page = client.get(url).content.decode()
        assert f'id="row-{found.pk}"' in page
        assert f'id="row-{other.pk}"' not in page


# ---------------------------------------------------------------- who
@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_the_wall_and_only_staff_the_outbox(log_in, acme, support, role):
    html = log_in(new_member(acme, "eva", role)).get("/wall/").content.decode()

    assert ("tile-outbox" in html) == (role in (Role.OWNER, Role.ADMIN, Role.SUPERVISOR))
    assert ('form="pull"' in html) == (role != Role.VIEWER)


def test_an_agent_is_offered_to_pull_only_where_they_serve(ana, bia, support, make_queue):
    make_queue("restrita", settings={"allowed_agent_ids": [str(bia.pk)]})

    assert {name: row.can_pull for name, row in rows(ana).items()} == {"Suporte": True, "Restrita": False}


def test_strangers_go_to_the_log_in(client, acme):
    assert client.get("/wall/").url.startswith("/login/")


def test_nothing_of_another_organization_counts(sofia, support, rival, rival_agent, make_conversation):
    before = snapshot.take(Look.of(sofia, "wall", "", "en")).mark
    with scope(organization=rival):
        department = Department.objects.create(organization=rival, name="Alheio", slug="alheio")
        Queue.objects.create(organization=rival, department=department, name="Alheia", slug="alheia")

    assert snapshot.take(Look.of(sofia, "wall", "", "en")).mark == before


def test_an_unknown_department_is_not_found(log_in, sofia, support):
    assert log_in(sofia).get("/wall/?department=alheio").status_code == 404


# ---------------------------------------------------------------- fragments
def test_a_fragment_is_repeated_only_when_something_changed(log_in, sofia, support, make_conversation):
    client = log_in(sofia)
    first = client.get("/wall/?fragment=1")
    again = client.get("/wall/?fragment=1", headers={"if-none-match": first["ETag"]})
    make_conversation("queued", queue=support)
    changed = client.get("/wall/?fragment=1", headers={"if-none-match": first["ETag"]})

    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)
    assert {op["target"] for op in changed.json()["ops"]} == {"tiles", "lines", "hours", "agents", "alerts"}


def test_running_clocks_are_no_change(sofia, support, make_conversation):
    age(make_conversation("queued", queue=support), 3)
    one = snapshot.take(Look.of(sofia, "wall", "", "en"))
    two = snapshot.take(Look.of(sofia, "wall", "", "en"))

    assert two.frame(one.marks())["ops"] == []


def test_a_frame_holds_what_changed(sofia, ana, support, make_conversation):
    one = snapshot.take(Look.of(sofia, "wall", "", "en"))
    AgentProfile.objects.filter(member=ana).update(presence="busy")
    two = snapshot.take(Look.of(sofia, "wall", "", "en"))

    assert [op["target"] for op in two.frame(one.marks())["ops"]] == ["lines", "agents"]


# ---------------------------------------------------------------- cost
def statements(member: Any) -> int:
    look = Look.of(member, "wall", "", "en")
    with CaptureQueriesContext(connection) as asked:
        snapshot.take(look)
    return len(asked)


def test_queries_do_not_grow_with_the_desk(sofia, ana, support, sales, make_conversation):
    for _ in range(5):
        make_conversation("queued", queue=support)
    few = statements(sofia)
    for _ in range(45):
        make_conversation("queued", queue=sales)
    for _ in range(5):
        make_conversation("human_handoff", agent=ana)

    assert statements(sofia) == few <= CEILING


def test_lines_are_counted_only_so_far(sofia, support, make_conversation, monkeypatch):
    monkeypatch.setattr(reads, "MOST", 2)
    monkeypatch.setattr("insights.shown.MOST", 2)
    for _ in range(4):
        make_conversation("queued", queue=support)

    assert rows(sofia)["Suporte"].waiting == "2+"


def test_the_day_is_remembered_as_long_as_it_is_dear(monkeypatch):
    memory, asked = reads.Memory(), []
    monkeypatch.setattr(reads.Memory, "times", 10**9)
    for _ in range(2):
        memory.recall("day", lambda: asked.append(1) or sum(range(10000)))

    assert asked == [1]


def test_floor_of_an_empty_desk(sofia):
    floor = Floor(Look.of(sofia, "wall", str(uuid4()), "en"), reads.Memory())

    assert (floor.lines, floor.people) == ([], [])
