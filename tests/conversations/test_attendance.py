"""Agents come and go: history, what becomes of their conversations, and what the sweep does by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone
from django_scopes import scopes_disabled

from accounts.models import AuditEntry, Membership
from conversations import attendance, handoff, resting
from conversations.invariants import findings
from conversations.models import Conversation, Offer, Stay
from conversations.moves import moving, writing
from queues.models import AgentProfile, BreakReason, Calendar, DeskSettings, PresenceSpan, Queue, RoutingCall

pytestmark = pytest.mark.django_db
Make = Callable[..., Conversation]


@pytest.fixture
def talk(make_conversation: Make, support: Queue) -> Callable[[Membership], Conversation]:
    """A conversation of the queue that an agent took."""

    def make(agent: Membership, queue: Queue = support) -> Conversation:
        conversation = make_conversation("queued", queue=queue)
        return handoff.claim(conversation.pk, agent_id=agent.pk)

    return make


def profile(member: Membership) -> AgentProfile:
    return AgentProfile.objects.get(member=member)


def silent(member: Membership, *, seen: float, touched: float | None = None, since: float = 600) -> None:
    """As if the last signs of an agent were some minutes ago."""
    now = timezone.now()
    AgentProfile.objects.filter(member=member).update(
        last_seen_at=now - timedelta(minutes=seen),
        last_input_at=now - timedelta(minutes=seen if touched is None else touched),
        presence_since=now - timedelta(minutes=since),
    )


def vanish(member: Membership) -> None:
    """Away for want of a page, and the grace is over now."""
    silent(member, seen=2)
    sweep()
    silent(member, seen=10.1, since=8.1)


def now_of(conversation: Conversation) -> tuple[str, Any]:
    found = Conversation.objects.get(pk=conversation.pk)
    return found.state, found.assigned_agent_id


def moves(conversation: Conversation, kind: str) -> list[tuple[str, Any]]:
    return list(conversation.events.filter(type=kind).order_by("seq").values_list("cause", "actor"))


def sweep() -> int:
    with scopes_disabled():
        return attendance.sweep()


# ---------------------------------------------------------------- history
def test_every_change_ends_a_span_and_begins_one(acme, ana) -> None:
    lunch = BreakReason.objects.create(organization=acme, name="Lunch")
    attendance.set_presence(ana, "busy")
    attendance.set_presence(ana, "away", reason=lunch)
    attendance.set_presence(ana, "away", reason=lunch)

    spans = list(PresenceSpan.objects.order_by("began_at", "ended_at"))
    assert [(s.presence, s.break_reason, s.ended_at is None) for s in spans] == [
        ("online", None, False), ("busy", None, False), ("away", lunch, True),
    ]  # fmt: skip
    assert spans[0].ended_at == spans[1].began_at
    assert spans[1].ended_at == spans[2].began_at == profile(ana).presence_since


def test_who_lets_offers_pass_is_away_until_there_is_input(ana) -> None:
    attendance.set_away(ana)
    assert (profile(ana).presence, profile(ana).is_automatic) == ("away", True)

    AgentProfile.objects.filter(member=ana).update(last_seen_at=timezone.now(), last_input_at=timezone.now())
    sweep()
    assert profile(ana).presence == "online"


def test_who_went_by_themselves_is_not_set_away(ana) -> None:
    attendance.set_presence(ana, "offline")
    attendance.set_away(ana)

    assert (profile(ana).presence, profile(ana).is_automatic) == ("offline", False)


def test_a_reason_ends_with_the_break(acme, ana) -> None:
    attendance.set_presence(ana, "away", reason=BreakReason.objects.create(organization=acme, name="Lunch"))
    attendance.set_presence(ana, "online")

    assert profile(ana).break_reason is None


def test_coming_online_calls_the_router(ana) -> None:
    attendance.set_presence(ana, "offline")
    RoutingCall.objects.all().delete()
    attendance.set_presence(ana, "online")

    assert RoutingCall.objects.get().reason == "agent online"


def test_a_supervisor_who_sets_it_is_on_record(ana, sofia, talk) -> None:
    conversation = talk(ana)
    attendance.set_presence(ana, "offline", conversations="queue", actor=sofia)

    entry = AuditEntry.objects.get(action="presence.changed")
    assert (entry.actor, entry.object_id, entry.data) == (sofia, str(ana.pk), {"presence": "offline"})
    assert moves(conversation, "requeue") == [("agent left", sofia.pk)]


def test_an_open_offer_of_who_leaves_is_withdrawn(acme, ana, support, make_conversation) -> None:
    conversation = make_conversation("queued", queue=support)
    now = timezone.now()
    Offer.objects.create(
        organization=acme, conversation=conversation, agent=ana, queue=support,
        offered_at=now, expires_at=now + timedelta(minutes=1),
    )  # fmt: skip
    RoutingCall.objects.all().delete()
    attendance.set_presence(ana, "busy")

    assert Offer.objects.get().outcome == "withdrawn"
    assert [cause for cause, _actor in moves(conversation, "offer_withdrawn")] == ["agent left"]
    assert RoutingCall.objects.filter(reason="offer withdrawn").exists()


# ---------------------------------------------------------------- leaving
def test_who_leaves_may_keep_them(ana, talk) -> None:
    conversation = talk(ana)

    assert attendance.set_presence(ana, "offline") == attendance.Outcome()
    assert now_of(conversation) == ("human_handoff", ana.pk)


def test_back_in_the_queue_it_stands_at_its_old_place(ana, bia, support, talk, make_conversation) -> None:
    first = talk(ana)
    with writing(first.pk) as conversation:
        conversation.waited_seconds = 600.0
    second = make_conversation("queued", queue=support)
    done = attendance.set_presence(ana, "offline", conversations="queue")

    assert done.queued == (first.pk,)
    assert handoff.pull_from_queue(bia.pk).conversation.pk == first.pk
    assert Conversation.objects.get(pk=first.pk).waited_seconds == pytest.approx(600, abs=30)
    assert Stay.objects.filter(conversation=first).latest("entered_at").left_at - timezone.now() < timedelta(
        0
    )
    assert handoff.pull_from_queue(bia.pk).conversation.pk == second.pk
    assert list(findings()) == []


def test_a_queue_that_gives_up_on_waiting_counts_from_now(ana, make_queue, talk) -> None:
    conversation = talk(ana, make_queue("curta", wait_limit_minutes=5))
    with writing(conversation.pk) as locked:
        locked.waited_seconds = 299.0
    attendance.set_presence(ana, "offline", conversations="queue")

    due = conversation.deadlines.get(kind="queue_wait").due_at
    assert due - timezone.now() > timedelta(minutes=4)


def test_a_colleague_gets_as_many_as_fit_and_the_queue_the_rest(ana, bia, talk) -> None:
    AgentProfile.objects.filter(member=bia).update(capacity=2)
    three = [talk(ana) for _ in range(3)]
    done = attendance.set_presence(ana, "offline", conversations="colleague", to=bia.pk)

    assert (len(done.given), len(done.queued), done.refused) == (2, 1, ())
    assert {c.pk for c in three} == {*done.given, *done.queued}
    assert attendance.in_hand(bia.pk).count() == 2


def test_who_waits_the_longest_is_given_first(ana, bia, talk) -> None:
    AgentProfile.objects.filter(member=bia).update(capacity=1)
    answered, waiting = talk(ana), talk(ana)
    with writing(answered.pk) as locked:
        locked.waiting_since = None
    done = attendance.set_presence(ana, "offline", conversations="colleague", to=bia.pk)

    assert done.given == (waiting.pk,)


def test_snoozed_and_held_ones_stay_with_who_leaves(ana, talk) -> None:
    snoozed, held = talk(ana), talk(ana)
    resting.snooze(snoozed.pk, agent=ana, until=timezone.now() + timedelta(hours=1))
    resting.hold(held.pk, agent=ana)
    attendance.set_presence(ana, "offline", conversations="queue")

    assert [now_of(c) for c in (snoozed, held)] == [("human_handoff", ana.pk)] * 2


def test_without_any_queue_a_supervisor_hears_of_it_once(ana, make_conversation) -> None:
    conversation = make_conversation("human_handoff", agent=ana)
    done = attendance.set_presence(ana, "offline", conversations="queue")
    attendance.set_presence(ana, "away", conversations="queue")

    assert [pk for pk, _why in done.refused] == [conversation.pk]
    assert now_of(conversation) == ("human_handoff", ana.pk)
    assert conversation.events.filter(type="attention").count() == 1


def test_given_directly_it_goes_to_the_first_queue(ana, make_queue, make_conversation) -> None:
    make_queue("a", priority=10)
    first = make_queue("b", priority=90)
    make_queue("c", priority=95, is_active=False)
    conversation = make_conversation("human_handoff", agent=ana)
    attendance.set_presence(ana, "offline", conversations="queue")

    assert Conversation.objects.get(pk=conversation.pk).queue == first


def test_a_queue_that_is_closed_takes_its_own_back(ana, make_queue, talk, acme) -> None:
    queue = make_queue("dia", closed_action="refuse")
    conversation = talk(ana, queue)
    queue.calendar = never_open(acme)
    queue.save(update_fields=["calendar"])
    attendance.set_presence(ana, "offline", conversations="queue")

    assert now_of(conversation) == ("queued", None)


def never_open(acme: Any) -> Any:
    return Calendar.objects.create(
        organization=acme,
        name="Never",
        intervals=[{"weekday": "mon", "start": "00:00", "end": "00:01"}],
        closed_dates=[(timezone.now() + timedelta(days=n)).date().isoformat() for n in range(-1, 3)],
    )


# ---------------------------------------------------------------- silence
def test_who_closed_every_page_is_away_and_back_with_the_first_input(ana) -> None:
    silent(ana, seen=3)
    sweep()
    assert (profile(ana).presence, profile(ana).is_automatic) == ("away", True)

    AgentProfile.objects.filter(member=ana).update(last_seen_at=timezone.now(), last_input_at=timezone.now())
    sweep()
    assert (profile(ana).presence, profile(ana).is_automatic) == ("online", False)
    assert PresenceSpan.objects.filter(ended_at__isnull=True).get().presence == "online"


def test_the_desk_sets_its_own_patience(acme, ana) -> None:
    DeskSettings.objects.create(organization=acme, gone_after_minutes=60, away_after_minutes=90)
    silent(ana, seen=59)
    sweep()
    assert profile(ana).presence == "online"

    silent(ana, seen=0, touched=91)
    sweep()
    assert profile(ana).presence == "away"


def test_a_vanished_agents_conversations_go_back_once(ana, bia, talk) -> None:
    active, snoozed = talk(ana), talk(ana)
    resting.snooze(snoozed.pk, agent=ana, until=timezone.now() + timedelta(hours=1))
    vanish(ana)
    back = sweep()

    assert (profile(ana).presence, profile(ana).is_automatic) == ("offline", True)
    assert back == 2
    assert [now_of(c)[0] for c in (active, snoozed)] == ["queued", "queued"]
    assert moves(active, "requeue") == [("agent vanished", None)]
    handoff.claim(active.pk, agent_id=bia.pk)
    assert sweep() == 0
    assert now_of(active) == ("human_handoff", bia.pk)


def test_after_an_outage_agents_have_time_to_come_back(ana, talk) -> None:
    """Nobody was seen while the desk was down: that is no reason to take everybody's conversations."""
    kept = talk(ana)
    silent(ana, seen=60)
    sweep()
    sweep()

    assert profile(ana).presence == "away"
    assert now_of(kept) == ("human_handoff", ana.pk)


def test_what_a_supervisor_gives_to_a_vanished_agent_stays(ana, sofia, make_conversation, support) -> None:
    vanish(ana)
    sweep()
    conversation = make_conversation("queued", queue=support)
    handoff.assign_agent(conversation.pk, ana.pk, actor=sofia)

    assert sweep() == 0
    assert now_of(conversation) == ("human_handoff", ana.pk)


def test_a_break_and_offline_are_never_touched(ana, bia, talk) -> None:
    kept = talk(ana)
    attendance.set_presence(ana, "away")
    attendance.set_presence(bia, "offline")
    silent(ana, seen=5000)
    silent(bia, seen=5000)

    assert sweep() == 0
    assert [profile(who).presence for who in (ana, bia)] == ["away", "offline"]
    assert now_of(kept) == ("human_handoff", ana.pk)


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "viewer"}])
def test_who_serves_no_more_leaves_nothing_behind(ana, talk, change) -> None:
    conversation = talk(ana)
    Membership.objects.filter(pk=ana.pk).update(**change)

    assert sweep() == 1
    assert now_of(conversation) == ("queued", None)
    assert moves(conversation, "requeue") == [("agent retired", None)]
    assert profile(ana).presence == "offline"


def test_a_return_that_comes_too_late_changes_nothing(ana, bia, talk) -> None:
    """Between listing and locking, somebody else may have moved it."""
    conversation = talk(ana)
    handoff.transfer(conversation.pk, actor=ana, agent_id=bia.pk)
    due = list(conversation.deadlines.values_list("kind", "due_at"))

    guard = attendance._still_of(ana.pk)
    with pytest.raises(attendance.NotTheirs):
        attendance._give_back(conversation.pk, guard=guard, actor=None, cause="agent vanished")
    assert now_of(conversation) == ("human_handoff", bia.pk)
    assert list(conversation.deadlines.values_list("kind", "due_at")) == due


# ---------------------------------------------------------------- cut short
@pytest.fixture
def dies_after(monkeypatch) -> Callable[..., None]:
    """Somebody leaves; the process dies when so many of their conversations are passed on."""
    real = attendance._pass_on

    def leave(n: int, member: Membership, **choice: Any) -> None:
        def dies(pks: Any, **how: Any) -> Any:
            real(pks[:n], **how)
            raise SystemExit

        monkeypatch.setattr(attendance, "_pass_on", dies)
        with pytest.raises(SystemExit):
            attendance.set_presence(member, "offline", **choice)
        monkeypatch.setattr(attendance, "_pass_on", real)

    return leave


@pytest.fixture
def cut_short(ana, talk, dies_after) -> list[Conversation]:
    """Of Ana's three only the first went back to the queue."""
    talks = [talk(ana) for _ in range(3)]
    dies_after(1, ana, conversations="queue")
    return talks


def a_minute_later() -> None:
    earlier = timedelta(minutes=1, seconds=1)
    AgentProfile.objects.update(passes_on_since=F("passes_on_since") - earlier)
    Conversation.objects.update(assigned_at=F("assigned_at") - earlier)


def test_the_sweep_finishes_what_was_cut_short(ana, cut_short) -> None:
    assert sweep() == 0  # whoever began it may still be at it
    assert attendance.in_hand(ana.pk).count() == 2
    a_minute_later()

    assert (sweep(), sweep()) == (2, 0)
    assert {now_of(c) for c in cut_short} == {("queued", None)}
    assert {cause for c in cut_short for cause, _actor in moves(c, "requeue")} == {"agent left"}
    assert profile(ana).passes_on_since is None


def test_the_sweep_gives_them_to_the_colleague_that_was_chosen(ana, bia, talk, dies_after) -> None:
    conversation = talk(ana)
    dies_after(0, ana, conversations="colleague", to=bia.pk)
    a_minute_later()
    sweep()

    assert now_of(conversation) == ("human_handoff", bia.pk)
    assert (profile(ana).passes_on_since, profile(ana).passes_on_to) == (None, None)


@pytest.mark.parametrize("choice", [("online", "keep"), ("away", "keep")])
def test_a_later_choice_is_the_one_that_counts(ana, cut_short, choice) -> None:
    attendance.set_presence(ana, choice[0], conversations=choice[1])
    a_minute_later()

    assert sweep() == 0
    assert attendance.in_hand(ana.pk).count() == 2


def test_who_is_back_meanwhile_keeps_the_rest(ana, talk, monkeypatch) -> None:
    talks, real = [talk(ana) for _ in range(3)], attendance._give_back

    def comes_back(pk: Any, **choice: Any) -> None:
        real(pk, **choice)
        attendance.set_presence(ana, "online")

    monkeypatch.setattr(attendance, "_give_back", comes_back)
    done = attendance.set_presence(ana, "offline", conversations="queue")

    assert len(done.queued) == 1
    assert attendance.in_hand(ana.pk).count() == len(talks) - 1


def test_what_is_given_to_who_left_stays_there(ana, cut_short, make_conversation) -> None:
    a_minute_later()
    later = make_conversation("human_handoff", agent=ana)

    assert sweep() == 2
    assert now_of(later) == ("human_handoff", ana.pk)


def test_one_that_cannot_be_moved_holds_up_no_other(ana, cut_short, monkeypatch, caplog) -> None:
    one, _two = attendance.in_hand(ana.pk).values_list("pk", flat=True)
    real = attendance.check_and_apply_overflow

    def fails(queue_id: Any, *, besides: Any, **kwargs: Any) -> Any:
        if besides == one:
            raise ValueError("Maria da Silva")
        return real(queue_id, besides=besides, **kwargs)

    a_minute_later()
    with monkeypatch.context() as patched:
        patched.setattr(attendance, "check_and_apply_overflow", fails)
        assert sweep() == 1
    assert str(one) in caplog.text
    assert sweep() == 1  # and it is tried again


def test_other_desks_have_their_own_agents(ana, rival, rival_agent) -> None:
    silent(ana, seen=3)
    with scopes_disabled():
        AgentProfile.objects.filter(member=rival_agent).update(
            presence_since=timezone.now() - timedelta(hours=2), last_seen_at=timezone.now(),
            last_input_at=timezone.now(),
        )  # fmt: skip
        attendance.sweep()
        assert AgentProfile.objects.get(member=rival_agent).presence == "online"
    assert profile(ana).presence == "away"


def test_moving_is_undone_as_a_whole(ana, talk, monkeypatch) -> None:
    """A conversation that cannot go stays where it is, and the others go."""
    one, two = talk(ana), talk(ana)
    real = attendance.enter_queue

    def fails(conversation: Conversation, *args: Any, **kwargs: Any) -> None:
        if conversation.pk == one.pk:
            raise attendance.NoQueue
        real(conversation, *args, **kwargs)

    monkeypatch.setattr(attendance, "enter_queue", fails)
    done = attendance.set_presence(ana, "offline", conversations="queue")

    assert (done.queued, [pk for pk, _why in done.refused]) == ((two.pk,), [one.pk])
    with moving(one.pk) as conversation:
        assert conversation.assigned_agent_id == ana.pk
