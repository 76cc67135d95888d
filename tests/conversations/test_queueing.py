"""Overflow by size, hours, missing agents and waiting time; closed queues; what the customer is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override

from accounts.models import Membership, Organization
from contacts.models import Contact
from conversations import bot, clockwork, deadlines, handoff, notices, overflows
from conversations.conflicts import OutOfHours
from conversations.models import Conversation, Deadline, Message, Reception, Stay
from conversations.moves import database_now
from flows import services
from queues.models import AgentProfile, Calendar, OverflowRule, Queue

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_english(acme: Organization) -> None:
    """Customers here read English unless a test says otherwise."""
    Organization.objects.update(locale="en")


Make = Callable[..., Conversation]
MakeQueue = Callable[..., Queue]


def rule(
    source: Queue, when: str, target: Queue, after: int | None = None, position: int = 0
) -> OverflowRule:
    return OverflowRule.objects.create(
        organization=source.organization, queue=source, condition=when, target=target, after_minutes=after,
        position=position,
    )  # fmt: skip


@pytest.fixture
def never_open(acme: Organization) -> Calendar:
    """Opens tomorrow at nine, local time, whatever the day."""
    tomorrow = timezone.now().astimezone().date() + timedelta(days=1)
    day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[tomorrow.weekday()]
    week = [{"weekday": day, "start": "09:00", "end": "09:01"}]
    return Calendar.objects.create(organization=acme, name="Closed", timezone="UTC", intervals=week)


def types(conversation: Conversation) -> list[str]:
    return list(conversation.events.order_by("seq").values_list("type", flat=True))


def told(conversation: Conversation) -> list[str]:
    return list(conversation.messages.filter(sender="system").order_by("seq").values_list("text", flat=True))


def age(conversation: Conversation, minutes: int) -> None:
    """As if it had come so long ago."""
    past = timedelta(minutes=minutes)
    since = conversation.queued_at - past
    Conversation.objects.filter(pk=conversation.pk).update(queued_at=since)
    for deadline in Deadline.objects.filter(conversation=conversation, kind="overflow"):
        entered = datetime.fromisoformat(deadline.data["since"]) - past
        deadline.data |= {
            "since": entered.isoformat(),
            "place": f"{conversation.queue_id} {since.isoformat()}",
        }
        deadline.due_at -= past
        deadline.save(update_fields=["data", "due_at"])


# ---------------------------------------------------------------- where to
def test_rules_are_asked_before_the_plain_overflow_queue(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b, c = make_queue("b"), make_queue("c")
    a = make_queue("a", max_queue_size=1, overflow_queue=c)
    rule(a, "full", b)
    make_conversation("queued", queue=a)
    moved = make_conversation("queued", queue=a)
    assert moved.queue == b
    (entry,) = moved.extra_data["overflow_history"]
    assert entry.keys() == {"original_queue_id", "overflow_queue_id", "overflowed_at", "condition"}
    event = moved.events.get(type="overflow")
    assert event.data == {"from": "A", "to": "B", "passed": ["A"], "condition": "full"}


def test_with_no_agent_there_it_goes_where_somebody_is(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    b = make_queue("b")
    a = make_queue("a", settings={"allowed_agent_ids": [str(ana.pk)]})
    rule(a, "nobody", b)
    assert make_conversation("queued", queue=a).queue == a
    AgentProfile.objects.filter(member=ana).update(presence="away")
    gone = make_conversation("queued", queue=a)
    assert (gone.queue, gone.extra_data["overflow_history"][0]["condition"]) == (b, "nobody")
    AgentProfile.objects.filter(member=ana).update(presence="online", capacity=0)
    assert make_conversation("queued", queue=a).queue == b


def test_agents_are_asked_for_only_where_a_rule_wants_it(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b")
    a = make_queue("a", max_queue_size=1, overflow_queue=b)
    pk = make_conversation().pk
    with CaptureQueriesContext(connection) as few:
        handoff.check_and_apply_overflow(a.pk, now=database_now(), besides=pk)
    rule(a, "nobody", b)
    with CaptureQueriesContext(connection) as more:
        handoff.check_and_apply_overflow(a.pk, now=database_now(), besides=pk)
    assert not any("agentprofile" in one["sql"] for one in few)
    assert any("agentprofile" in one["sql"] for one in more)
    assert len(few) <= 5


def test_a_long_line_is_counted_no_further_than_its_limit(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    a = make_queue("a", max_queue_size=2, overflow_queue=make_queue("b"))
    for _ in range(2):
        make_conversation("queued", queue=a)
    with CaptureQueriesContext(connection) as asked:
        assert handoff.check_and_apply_overflow(a.pk, now=database_now()).queue.slug == "b"
    assert any("LIMIT q.max_queue_size" in one["sql"] for one in asked)
    assert not any("COUNT(" in one["sql"] for one in asked)


@pytest.mark.parametrize("limits, locked", [((None, None), False), ((None, 5), True), ((5, None), True)])
def test_queues_are_locked_only_where_places_are_counted(
    make_queue: MakeQueue, limits: tuple[int | None, int | None], locked: bool
) -> None:
    a = make_queue("a", max_queue_size=limits[0], overflow_queue=make_queue("b", max_queue_size=limits[1]))
    with CaptureQueriesContext(connection) as asked:
        handoff.check_and_apply_overflow(a.pk, now=database_now())
    assert any("FOR NO KEY UPDATE" in one["sql"] for one in asked) is locked


def test_leaving_the_queue_ends_its_waiting_rule(make_conversation: Make, make_queue: MakeQueue) -> None:
    a, c = make_queue("a"), make_queue("c")
    rule(a, "waited", make_queue("b"), after=5)
    conversation = make_conversation("queued", queue=a)
    deadline = Deadline.objects.get(kind="overflow")
    handoff.transfer(conversation.pk, actor=None, queue_id=c.pk)
    assert not Deadline.objects.filter(kind="overflow").exists()
    rule(c, "waited", make_queue("d"), after=1)
    deadline.data["since"] = (timezone.now() - timedelta(hours=1)).isoformat()
    with pytest.raises(deadlines.Void):
        overflows.wait_elsewhere(deadline)
    assert Conversation.objects.get(pk=conversation.pk).queue == c


def test_a_conversation_does_not_stand_in_its_own_way(make_conversation: Make, make_queue: MakeQueue) -> None:
    a = make_queue("a", max_queue_size=1, overflow_queue=make_queue("b"))
    only = make_conversation("queued", queue=a)
    assert handoff.transfer(only.pk, actor=None, queue_id=a.pk).queue == a


def test_the_flag_goes_when_a_place_is_found(make_conversation: Make, make_queue: MakeQueue) -> None:
    b = make_queue("b", max_queue_size=1)
    a = make_queue("a", max_queue_size=1, overflow_queue=b)
    last = [make_conversation("queued", queue=a) for _ in range(3)][-1]
    assert last.extra_data["overflow_exhausted"] is True
    moved = handoff.transfer(last.pk, actor=None, queue_id=make_queue("c").pk)
    assert "overflow_exhausted" not in moved.extra_data


# ---------------------------------------------------------------- closed
def test_a_closed_queue_that_waits_says_when_it_opens(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar
) -> None:
    queue = make_queue("a", calendar=never_open, handoff_notice="Já te atendemos.")
    conversation = handoff.request_handoff(make_conversation().pk, queue_id=queue.pk)
    assert conversation.state == "queued"
    (text,) = told(conversation)
    assert "tomorrow at 9 a.m." in text
    assert "Já te atendemos" not in text


def test_a_closed_queue_says_it_in_its_own_words_and_the_customers_language(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar
) -> None:
    queue = make_queue("a", calendar=never_open, closed_notice="A fila {queue} abre {next_open}.")
    conversation = make_conversation()
    Contact.objects.update(language="pt-br")
    (text,) = told(handoff.request_handoff(conversation.pk, queue_id=queue.pk))
    assert text.startswith("A fila A abre ")
    assert "09:00" in text


def test_a_closed_queue_overflows_by_its_rules(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar
) -> None:
    b, c = make_queue("b"), make_queue("c")
    by_rule = make_queue("a", calendar=never_open)
    rule(by_rule, "closed", b)
    assert make_conversation("queued", queue=by_rule).queue == b
    plain = make_queue("d", calendar=never_open, closed_action="overflow", overflow_queue=c)
    assert make_conversation("queued", queue=plain).queue == c
    only_full = make_queue("e", calendar=never_open, overflow_queue=c)
    assert make_conversation("queued", queue=only_full).queue == only_full


def test_closed_and_nothing_takes_it_so_it_waits(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar
) -> None:
    b = make_queue("b", calendar=never_open)
    a = make_queue("a", calendar=never_open, closed_action="overflow", overflow_queue=b)
    conversation = make_conversation("queued", queue=a)
    assert conversation.queue == a
    assert "overflow_exhausted" not in conversation.extra_data


def test_a_refusing_queue_tells_who_comes_by_the_channel_and_closes(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, never_open: Calendar,
    twilio_channel: Any,
) -> None:  # fmt: skip
    queue = make_queue("a", calendar=never_open, closed_action="refuse")
    Reception.objects.create(organization=acme, channel=twilio_channel, default_queue=queue)
    conversation = make_conversation()
    Message.objects.create(
        organization=acme, conversation=conversation, channel=twilio_channel, seq=conversation.seq,
        direction="in", sender="contact", text="Oi", occurred_at=timezone.now(), created_at=timezone.now(),
    )  # fmt: skip
    assert bot.take_turn(conversation.pk) is True
    conversation = Conversation.objects.get()
    assert (conversation.state, conversation.close_reason) == ("closed", "out_of_hours")
    assert "Please write to us again tomorrow" in told(conversation)[0]
    assert conversation.messages.filter(text="Oi").exists()
    assert conversation.events.get(type="out_of_hours").data["queue"] == "A"
    assert not Stay.objects.exists()


def test_people_are_told_no_and_nothing_has_changed(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar, ana: Membership
) -> None:
    queue = make_queue("a", calendar=never_open, closed_action="refuse")
    conversation = make_conversation("human_handoff", agent=ana)
    with pytest.raises(OutOfHours) as refusal:
        handoff.transfer(conversation.pk, actor=ana, queue_id=queue.pk, note="por favor")
    assert refusal.value.next_open > timezone.now()
    again = Conversation.objects.get(pk=conversation.pk)
    assert (again.assigned_agent, again.seq, again.notes.count()) == (ana, conversation.seq, 0)


def test_what_people_have_already_is_never_ended_over_the_hour(
    make_conversation: Make, make_queue: MakeQueue, never_open: Calendar, ana: Membership
) -> None:
    queue = make_queue("a")
    conversation = make_conversation("queued", queue=queue)
    handoff.claim(conversation.pk, agent_id=ana.pk)
    Queue.objects.update(calendar=never_open, closed_action="refuse")
    assert handoff.transfer(conversation.pk, actor=ana, queue_id=queue.pk).state == "queued"
    assert handoff.transfer(conversation.pk, actor=None, queue_id=queue.pk).state == "queued"


def handing_over(**data: Any) -> dict[str, Any]:
    """A flow that hands over at once, and says so where the queue is closed or full."""
    texts = {"closed": "Fechado agora.", "full": "Sem vaga agora."}
    nodes = [{"id": "h", "type": "handoff", "data": {"handoff_type": "queue", "queue": "a", **data}}]
    nodes += [{"id": port, "type": "message", "data": {"text": text}} for port, text in texts.items()]
    edges = [{"from": "h", "port": port, "to": port} for port in texts]
    return {"schema": 1, "start": "h", "nodes": nodes, "edges": edges}


@pytest.mark.parametrize("fields, said", [({"max_queue_size": 1}, "Sem vaga agora."), ({}, "Fechado agora.")])
def test_the_flows_own_ports_win(
    acme: Organization, make_conversation: Make, make_queue: MakeQueue, never_open: Calendar,
    fields: dict[str, Any], said: str,
) -> None:  # fmt: skip
    queue = make_queue("a", closed_action="refuse", **fields)
    make_conversation("queued", queue=queue)
    Queue.objects.update(calendar=None if fields else never_open)
    flow = services.create_flow(acme, name="F", slug="f", document=handing_over())
    services.publish(flow.pk, author=None)
    conversation = make_conversation(
        "bot", flow=type(flow).objects.select_related("published").get(pk=flow.pk)
    )
    bot.take_turn(conversation.pk)
    assert conversation.messages.filter(sender="bot", text=said).exists()


# ---------------------------------------------------------------- notices
def test_the_place_is_told_and_nothing_is_promised_without_history(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    queue = make_queue("a", handoff_notice="Você é o nº {position}. Espera: {expected_wait}.")
    make_conversation("queued", queue=queue)
    conversation = handoff.request_handoff(make_conversation().pk, queue_id=queue.pk)
    assert told(conversation) == ["Você é o nº 2."]


def test_the_expected_wait_is_told_when_history_knows_it(
    make_conversation: Make, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversations.estimates.expected_wait", lambda *_: timedelta(minutes=90))
    queue = make_queue("a", handoff_notice="Up to {expected_wait}.")
    conversation = handoff.request_handoff(make_conversation().pk, queue_id=queue.pk)
    assert told(conversation) == ["Up to 1 hour and 30 minutes."]


def test_a_notice_that_says_nothing_any_more_gives_way_to_the_general_one(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    queue = make_queue("a", handoff_notice="Espera: {expected_wait}.")
    conversation = handoff.request_handoff(make_conversation().pk, queue_id=queue.pk)
    assert told(conversation) == ["Transferring you to an agent…"]


def test_an_unknown_placeholder_is_refused_by_name(make_queue: MakeQueue) -> None:
    queue = make_queue("a")
    queue.closed_notice = "Oi {name}"
    with pytest.raises(ValidationError, match=r"\{name\}") as refusal:
        queue.full_clean()
    assert set(refusal.value.message_dict) == {"closed_notice"}


@pytest.mark.parametrize(
    "days, said",
    [
        (0, "today at 9 a.m."),
        (1, "tomorrow at 9 a.m."),
        (3, "on Thursday at 9 a.m."),
        (9, "on Jan. 14, 2026"),
    ],
)
def test_a_moment_as_people_say_it(days: int, said: str) -> None:
    monday = datetime(2026, 1, 5, 9, tzinfo=timezone.get_default_timezone())
    with override("en"):
        assert notices.moment(monday + timedelta(days=days), monday).startswith(said)


# ---------------------------------------------------------------- after waiting
def test_after_its_minutes_it_goes_on_and_keeps_its_place(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b")
    a = make_queue("a")
    rule(a, "waited", b, after=5)
    early = make_conversation("queued", queue=a, priority=80)
    make_conversation("queued", queue=b, priority=80)
    age(early, 6)
    clockwork.drain_deadlines()
    moved = Conversation.objects.get(pk=early.pk)
    assert (moved.queue, moved.queue_priority, moved.waited_seconds) == (b, 80, None)
    assert moved.queued_at < timezone.now() - timedelta(minutes=5)
    assert moved.events.get(type="overflow").data["condition"] == "waited"
    first, second = Stay.objects.filter(conversation=moved).order_by("id")
    assert (first.queue, first.left_by, second.queue, second.left_at) == (a, "requeue", b, None)
    assert second.entered_at >= first.left_at
    assert second.ahead == 0  # before the one that came to B later


def test_not_before_its_minutes(make_conversation: Make, make_queue: MakeQueue) -> None:
    a = make_queue("a")
    rule(a, "waited", make_queue("b"), after=5)
    conversation = make_conversation("queued", queue=a)
    deadline = Deadline.objects.get(conversation=conversation, kind="overflow")
    assert abs(deadline.due_at - conversation.queued_at - timedelta(minutes=5)) < timedelta(seconds=1)
    clockwork.drain_deadlines()
    assert Conversation.objects.get(pk=conversation.pk).queue == a


def test_other_moves_do_not_start_the_waiting_rule_again(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    a = make_queue("a")
    rule(a, "waited", make_queue("b"), after=5)
    conversation = make_conversation("queued", queue=a)
    age(conversation, 3)
    due = Deadline.objects.get(kind="overflow").due_at
    with handoff.moving(conversation.pk):
        pass
    assert Deadline.objects.get(kind="overflow").due_at == due
    handoff.transfer(conversation.pk, actor=None, queue_id=a.pk)  # a new place in line does
    assert Deadline.objects.get(kind="overflow").due_at > due


def test_when_nothing_takes_it_that_is_noted_once_and_tried_again(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b", max_queue_size=1)
    a = make_queue("a")
    rule(a, "waited", b, after=5)
    make_conversation("queued", queue=b)
    conversation = make_conversation("queued", queue=a)
    age(conversation, 6)
    for _ in range(3):
        Deadline.objects.filter(kind="overflow").update(due_at=timezone.now() - timedelta(hours=1))
        clockwork.drain_deadlines()
    assert types(conversation).count("overflow_exhausted") == 1
    deadline = Deadline.objects.get(conversation=conversation, kind="overflow")
    assert deadline.data["tried"] == 3
    assert deadline.due_at > timezone.now() + timedelta(minutes=3)
    Queue.objects.filter(pk=b.pk).update(max_queue_size=2)
    Deadline.objects.filter(kind="overflow").update(due_at=timezone.now() - timedelta(hours=1))
    clockwork.drain_deadlines()
    assert Conversation.objects.get(pk=conversation.pk).queue == b


def test_the_second_waiting_rule_has_its_own_time(make_conversation: Make, make_queue: MakeQueue) -> None:
    b, c = make_queue("b", is_active=False), make_queue("c")
    a = make_queue("a")
    rule(a, "waited", b, after=5)
    rule(a, "waited", c, after=7, position=1)
    conversation = make_conversation("queued", queue=a)
    age(conversation, 6)
    clockwork.drain_deadlines()
    deadline = Deadline.objects.get(conversation=conversation, kind="overflow")
    assert deadline.due_at < timezone.now() + timedelta(minutes=1, seconds=1)
    age(Conversation.objects.get(pk=conversation.pk), 2)
    clockwork.drain_deadlines()
    assert Conversation.objects.get(pk=conversation.pk).queue == c


def test_whoever_left_meanwhile_stays_where_they_are(
    make_conversation: Make, make_queue: MakeQueue, ana: Membership
) -> None:
    a = make_queue("a")
    rule(a, "waited", make_queue("b"), after=5)
    conversation = make_conversation("queued", queue=a)
    deadline = Deadline.objects.get(kind="overflow")
    handoff.claim(conversation.pk, agent_id=ana.pk)
    assert overflows.wait_elsewhere(deadline) is False
    assert Conversation.objects.get(pk=conversation.pk).assigned_agent == ana


def test_a_rule_made_later_holds_for_those_who_wait_already(
    make_conversation: Make, make_queue: MakeQueue
) -> None:
    b = make_queue("b")
    a = make_queue("a")
    conversation = make_conversation("queued", queue=a)
    made = rule(a, "waited", b, after=30)
    assert (overflows.sweep(), overflows.sweep()) == (1, 0)
    due = Deadline.objects.get(conversation=conversation, kind="overflow").due_at
    assert abs(due - conversation.queued_at - timedelta(minutes=30)) < timedelta(seconds=1)
    OverflowRule.objects.filter(pk=made.pk).update(after_minutes=1)
    assert (overflows.sweep(), overflows.sweep()) == (1, 0)
    due = Deadline.objects.get(conversation=conversation, kind="overflow").due_at
    assert abs(due - conversation.queued_at - timedelta(minutes=1)) < timedelta(seconds=1)


# ---------------------------------------------------------------- circles
def test_no_rule_closes_a_circle(acme: Organization, make_queue: MakeQueue) -> None:
    a = make_queue("a")
    b = make_queue("b", overflow_queue=a)
    c = make_queue("c")
    rule(c, "nobody", b)
    closing = OverflowRule(organization=acme, queue=a, condition="closed", target=c)
    with pytest.raises(ValidationError, match="A → C → B → A"):
        closing.full_clean()
    a.overflow_queue = c
    with pytest.raises(ValidationError, match="A → C → B → A"):
        a.full_clean()
    a.overflow_queue = make_queue("d")
    a.full_clean()


@pytest.mark.parametrize("when, after", [("waited", None), ("full", 5)])
def test_only_the_waiting_rule_has_minutes(
    acme: Organization, make_queue: MakeQueue, when: str, after: int | None
) -> None:
    made = OverflowRule(
        organization=acme, queue=make_queue("a"), target=make_queue("b"), condition=when, after_minutes=after
    )
    with pytest.raises(ValidationError) as refusal:
        made.full_clean()
    assert "after_minutes" in refusal.value.message_dict


def test_a_circle_in_the_database_ends_at_run_time(make_conversation: Make, make_queue: MakeQueue) -> None:
    a, b = make_queue("a", max_queue_size=1), make_queue("b", max_queue_size=1)
    rule(a, "full", b)
    rule(b, "full", a)
    placed = [make_conversation("queued", queue=a).queue.slug for _ in range(3)]
    assert placed == ["a", "b", "a"]
