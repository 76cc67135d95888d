"""Anything may happen in any order: the desk and a plain-Python model of its rules stay equal.

No promise of `check_invariants` is ever broken on the way. PYTAKE_FULL=1 plays 1000 games of 50 moves and
makes a failing one short.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django_fsm import TransitionNotAllowed
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from channels_hub.contract import Outcome, SendResult
from contacts.models import Contact
from conversations import bot, clockwork, handoff, intake, outbox, resting, router, sending, settling
from conversations.invariants import findings
from conversations.models import Conversation, Deadline, Delivery, Message, Pace, Reception
from conversations.moves import database_now
from queues.models import AgentProfile, Queue
from tests import twilio
from tests.machine import model
from tests.machine.conftest import Rig

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

REFUSALS = (
    handoff.Conflict,
    handoff.Full,
    handoff.NoQueue,
    TransitionNotAllowed,
    outbox.NotYours,
    outbox.Refused,
)
AGENTS = st.sampled_from(["ana", "bia", "caio"])
QUEUES = st.sampled_from(["a", "b", "c"])
PEOPLE = st.integers(0, 3)
STATIONS = ["pending", "bot", "bot", "queued", "queued", "human_handoff", "human_handoff"]
PICK = st.integers(0, 1000)
WORDS = st.sampled_from(["oi", "e agora?", "fila", "setor", "ana", "tchau", "fila e tchau"])
OUTCOMES = st.sampled_from(["accepted", "accepted", "retryable", "rate_limited", "ambiguous", "permanent"])
REPORTS = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "failed",
    "undelivered": "failed",
}


class DeskMachine(RuleBasedStateMachine):
    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig
        with connection.cursor() as cursor:
            cursor.execute(
                "TRUNCATE contacts_contact, conversations_conversation, channels_hub_inboundevent CASCADE"
            )
        self.desk = rig.fresh_model()
        self.forms: list[dict[str, str]] = []
        self.sids: dict[Any, str] = {}

    # ------------------------------------------------------------ helpers
    def some_talk(self, pick: int, *states: str) -> Any:
        """A conversation, by preference in one of these states: most moves should be legal ones."""
        fitting = [pk for pk, talk in self.desk.talks.items() if talk.state in states]
        found = fitting if fitting and pick % 5 else list(self.desk.talks)
        return found[pick % len(found)]

    def both(self, predicted: Callable[[], object], act: Callable[[], object]) -> None:
        """The rules and the desk do the same thing, or both refuse it."""
        told = []
        for does, refusals in ((predicted, (model.Refused,)), (act, REFUSALS)):
            try:
                does()
                told.append("done")
            except refusals:
                told.append("refused")
        assert told[0] == told[1], f"the rules say {told[0]}, the desk says {told[1]}"

    def has_talks(self) -> bool:
        return bool(self.desk.talks)

    def has_rows(self) -> bool:
        return any(row.is_waiting for row in self.desk.rows.values())

    def has_attempts(self) -> bool:
        return any(row.attempts for row in self.desk.rows.values())

    # ------------------------------------------------------------ the morning
    @initialize(
        stations=st.lists(st.sampled_from(STATIONS), min_size=2, max_size=4), name=AGENTS, slug=QUEUES
    )
    def the_desk_is_busy(self, stations: list[str], name: str, slug: str) -> None:
        """A few customers stand at different stations already, brought there by the rules themselves."""
        for person, station in enumerate(stations):
            self.customer_writes(person, "oi")
            pk = self.desk.open_talk_of(person)
            if station != "pending":
                self.desk.bot_turn(pk)
                bot.take_turn(pk)
                self.outbox_and_model_are_equal()
            if station == "queued":
                self.both(
                    lambda pk=pk: self.desk.to_queue(pk, slug),
                    lambda pk=pk: handoff.request_handoff(pk, queue_id=self.rig.queues[slug].pk),
                )
            elif station == "human_handoff":
                self.both(
                    lambda pk=pk: self.desk.to_agent(pk, name),
                    lambda pk=pk: handoff.request_handoff(pk, agent_id=self.rig.agents[name].pk),
                )
            self.outbox_and_model_are_equal()

    # ------------------------------------------------------------ customers
    @rule(person=PEOPLE, text=WORDS)
    def customer_writes(self, person: int, text: str) -> None:
        form = twilio.form(text, sender=f"+551198700000{person}")
        self.forms.append(form)
        assert twilio.post(self.rig.channel, form).status_code == 200
        intake.drain()
        pk = Message.objects.get(provider_id=form["MessageSid"]).conversation_id
        known = self.desk.open_talk_of(person)
        assert pk == known if known else pk not in self.desk.talks
        self.desk.hears(pk, person, text)

    @precondition(lambda self: self.forms)
    @rule(pick=PICK)
    def platform_repeats_itself(self, pick: int) -> None:
        before = Message.objects.count()
        twilio.post(self.rig.channel, self.forms[pick % len(self.forms)])
        intake.drain()
        assert Message.objects.count() == before

    @precondition(has_talks)
    @rule(pick=PICK, is_out=st.booleans())
    def customer_opts_out(self, pick: int, is_out: bool) -> None:
        talk = self.desk.talks[self.some_talk(pick)]
        (self.desk.opted_out.add if is_out else self.desk.opted_out.discard)(talk.contact)
        people = Contact.objects.filter(identities__value=f"+551198700000{talk.contact}")
        assert people.update(opted_out_at=database_now() if is_out else None) == 1

    # ------------------------------------------------------------ bot
    @precondition(has_talks)
    @rule(pick=PICK)
    def bot_answers(self, pick: int) -> None:
        pk = self.some_talk(pick, "pending", "bot")
        self.desk.bot_turn(pk)
        bot.take_turn(pk)

    @rule(receives=st.sampled_from(["flow", "flow", "nobody", "a", "b"]))
    def reception_changes(self, receives: str) -> None:
        self.desk.receives = receives
        Reception.objects.update(
            default_flow=self.rig.flow if receives == "flow" else None,
            default_queue=self.rig.queues.get(receives),
        )

    # ------------------------------------------------------------ people
    @precondition(has_talks)
    @rule(pick=PICK, slug=QUEUES, priority=st.sampled_from([None, 10, 50, 80, 100]))
    def handed_to_a_queue(self, pick: int, slug: str, priority: int | None) -> None:
        pk, queue_id = self.some_talk(pick, "pending", "bot"), self.rig.queues[slug].pk
        self.both(
            lambda: self.desk.to_queue(pk, slug, priority),
            lambda: handoff.request_handoff(pk, queue_id=queue_id, priority=priority),
        )

    @precondition(has_talks)
    @rule(pick=PICK)
    def handed_to_a_department(self, pick: int) -> None:
        pk = self.some_talk(pick, "pending", "bot")
        self.both(
            lambda: self.desk.to_queue(pk, self.desk.first_of_department()),
            lambda: handoff.request_handoff(pk, department_id=self.rig.department.pk),
        )

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def handed_to_an_agent(self, pick: int, name: str) -> None:
        pk = self.some_talk(pick, "pending", "bot")
        self.both(
            lambda: self.desk.to_agent(pk, name),
            lambda: handoff.request_handoff(pk, agent_id=self.rig.agents[name].pk),
        )

    @rule(name=AGENTS, slug=st.one_of(st.none(), QUEUES))
    def agent_pulls(self, name: str, slug: str | None) -> None:
        expected = self.desk.pull(name, slug)
        queue_id = self.rig.queues[slug].pk if slug else None
        pulled = handoff.pull_from_queue(self.rig.agents[name].pk, queue_id)
        assert (pulled.conversation and pulled.conversation.pk) == expected, (
            "the first in line is another one"
        )
        assert bool(pulled.conversation) != bool(pulled.reason)

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def agent_claims(self, pick: int, name: str) -> None:
        pk = self.some_talk(pick, "queued")
        self.both(
            lambda: self.desk.claim(pk, name), lambda: handoff.claim(pk, agent_id=self.rig.agents[name].pk)
        )

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def agent_takes_over(self, pick: int, name: str) -> None:
        pk = self.some_talk(pick, "bot", "human_handoff")
        self.both(
            lambda: self.desk.take_over(pk, name),
            lambda: handoff.take_over(pk, agent_id=self.rig.agents[name].pk),
        )

    @precondition(has_talks)
    @rule(pick=PICK, slug=QUEUES, actor=AGENTS)
    def passed_on_to_a_queue(self, pick: int, slug: str, actor: str) -> None:
        pk, by = self.some_talk(pick, "bot", "queued", "human_handoff"), self.rig.agents[actor]
        self.both(
            lambda: self.desk.to_queue(pk, slug),
            lambda: handoff.transfer(pk, actor=by, queue_id=self.rig.queues[slug].pk, note="veja"),
        )

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS, actor=AGENTS)
    def passed_on_to_a_colleague(self, pick: int, name: str, actor: str) -> None:
        pk, by = self.some_talk(pick, "bot", "queued", "human_handoff"), self.rig.agents[actor]
        self.both(
            lambda: self.desk.to_agent(pk, name),
            lambda: handoff.transfer(pk, actor=by, agent_id=self.rig.agents[name].pk),
        )

    @precondition(has_talks)
    @rule(pick=PICK, actor=AGENTS)
    def given_back_to_the_bot(self, pick: int, actor: str) -> None:
        pk = self.some_talk(pick, "human_handoff", "queued")
        self.both(
            lambda: self.desk.release(pk), lambda: handoff.release_to_bot(pk, actor=self.rig.agents[actor])
        )

    @precondition(has_talks)
    @rule(pick=PICK, actor=AGENTS)
    def closed(self, pick: int, actor: str) -> None:
        pk = self.some_talk(pick, "human_handoff")
        self.both(
            lambda: self.desk.close_by_hand(pk), lambda: handoff.close(pk, actor=self.rig.agents[actor])
        )

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def snoozed(self, pick: int, name: str) -> None:
        pk, until = self.some_talk(pick, "human_handoff"), database_now() + timedelta(hours=2)
        name = self.desk.talks[pk].owner or name
        self.both(
            lambda: self.desk.snooze(pk, name),
            lambda: resting.snooze(pk, agent=self.rig.agents[name], until=until),
        )

    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def held(self, pick: int, name: str) -> None:
        pk = self.some_talk(pick, "human_handoff")
        name = self.desk.talks[pk].owner or name
        self.both(lambda: self.desk.hold(pk, name), lambda: resting.hold(pk, agent=self.rig.agents[name]))

    @precondition(has_talks)
    @rule(pick=PICK)
    def resumed(self, pick: int) -> None:
        pk = self.some_talk(pick, "human_handoff")
        self.both(lambda: self.desk.resume(pk), lambda: resting.resume(pk))

    @rule()
    def router_works(self) -> None:
        self.desk.route()
        router.sweep()

    # ------------------------------------------------------------ supervisors
    @rule(slug=QUEUES, to=st.one_of(st.none(), QUEUES), limit=st.one_of(st.none(), st.integers(1, 2)))
    def overflow_is_rewired(self, slug: str, to: str | None, limit: int | None) -> None:
        """Also into circles; never below what waits already, for that is not the desk's doing."""
        queue = self.desk.queues[slug]
        queue.overflow = to if to != slug else None
        queue.limit = max(limit, len(self.desk.waiting(slug)), 1) if limit else None
        target = self.rig.queues[queue.overflow] if queue.overflow else None
        Queue.objects.filter(slug=slug).update(overflow_queue=target, max_queue_size=queue.limit)

    @rule(slug=st.sampled_from(["b", "c"]), is_active=st.booleans())
    def queue_is_switched(self, slug: str, is_active: bool) -> None:
        self.desk.queues[slug].is_active = is_active
        Queue.objects.filter(slug=slug).update(is_active=is_active)

    @rule(name=AGENTS, capacity=st.integers(0, 3), presence=st.sampled_from(["online", "away", "offline"]))
    def agent_changes(self, name: str, capacity: int, presence: str) -> None:
        agent = self.desk.agents[name]
        agent.capacity, agent.presence = max(capacity, self.desk.load(name)), presence
        AgentProfile.objects.filter(member=self.rig.agents[name]).update(
            capacity=agent.capacity, presence=presence
        )

    # ------------------------------------------------------------ by the clock
    @precondition(has_talks)
    @rule(pick=PICK, kind=st.sampled_from(Deadline.Kind.values))
    def time_passes(self, pick: int, kind: str) -> None:
        pk, now = self.some_talk(pick, "bot", "queued", "human_handoff"), database_now()
        Deadline.objects.update(due_at=now + timedelta(hours=1))
        due = Deadline.objects.filter(conversation=pk, kind=kind)
        warns = due.filter(data__stage="warning").exists()  # then it is only told
        if due.update(due_at=now - timedelta(seconds=1)):
            if not warns:
                self.desk.sweep(pk, kind)
            assert clockwork.drain_deadlines() == 1

    # ------------------------------------------------------------ outbox
    @precondition(has_talks)
    @rule(pick=PICK, name=AGENTS)
    def agent_answers(self, pick: int, name: str) -> None:
        pk = self.some_talk(pick, "human_handoff")
        name = self.desk.talks[pk].owner or name if pick % 3 else name
        self.both(
            lambda: self.desk.reply(pk, name),
            lambda: outbox.reply(pk, agent=self.rig.agents[name], text="Bom dia"),
        )

    @precondition(has_rows)
    @rule(outcome=OUTCOMES, early=st.sampled_from(["", "", "delivered", "failed"]))
    def a_message_is_handed_over(self, outcome: str, early: str) -> None:
        """Sometimes the platform's report overtakes its own answer."""
        claimed = self.claimed()
        if claimed is None:
            return
        row = self.desk.rows[claimed.delivery_id]
        row.status, sid = "processing", self.sids.setdefault(claimed.delivery_id, twilio.new_sid())
        if early:
            self.report(claimed.delivery_id, early)
        result = SendResult(Outcome(outcome), provider_id=sid if outcome == "accepted" else "")
        settling.settle([settling.Ended(claimed, result)])
        if not early or outcome == "accepted":
            self.desk.attempted(row, outcome)
        else:
            row.attempts += 1

    @precondition(has_rows)
    @rule()
    def a_sender_dies(self) -> None:
        """Between claim and answer: nobody knows, so nobody sends it again."""
        claimed = self.claimed()
        if claimed is None:
            return
        Delivery.objects.filter(pk=claimed.delivery_id).update(
            lease_until=database_now() - timedelta(seconds=1)
        )
        assert settling.expire_leases() == 1
        self.desk.attempted(self.desk.rows[claimed.delivery_id], "ambiguous")

    def claimed(self) -> settling.Claimed | None:
        """The next row to send; what consent refuses is settled on the way."""
        Pace.objects.update(rests_until=None)
        Delivery.objects.filter(status="retrying").update(due_at=database_now() - timedelta(seconds=1))
        found = sending.claim()
        if found is None or not (found.rows or found.refused):
            return None
        pk = found.rows[0].delivery_id if found.rows else found.refused[0]
        row = self.desk.rows[pk]
        assert row.is_waiting
        may_go = self.desk.talks[row.talk].contact not in self.desk.opted_out
        assert bool(found.rows) == may_go, "consent is asked in the claim"
        if found.rows:
            return found.rows[0]
        row.status = "failed"
        return None

    @precondition(has_attempts)
    @rule(pick=PICK, word=st.sampled_from(sorted(REPORTS)))
    def platform_reports(self, pick: int, word: str) -> None:
        tried = [pk for pk, row in self.desk.rows.items() if row.attempts]
        self.report(tried[pick % len(tried)], word)

    def report(self, pk: Any, word: str) -> None:
        sid = self.sids.setdefault(pk, twilio.new_sid())
        assert twilio.post_status(self.rig.channel, sid, word, str(pk)).status_code in (200, 204)
        intake.drain()
        self.desk.learns(self.desk.rows[pk], REPORTS[word])

    # ------------------------------------------------------------ the two judges
    @invariant()
    def nothing_is_broken(self) -> None:
        assert [(f.invariant.name, f.count) for f in findings()] == []

    @invariant()
    def desk_and_model_are_equal(self) -> None:
        slugs = {queue.pk: slug for slug, queue in self.rig.queues.items()}
        names = {member.pk: name for name, member in self.rig.agents.items()}
        real = {
            c.pk: (
                c.state,
                names.get(c.assigned_agent_id) if c.state != "closed" else None,
                slugs.get(c.queue_id),
                c.snoozed_until is not None,
                c.held_at is not None,
                "over_capacity" in c.extra_data,
            )
            for c in Conversation.objects.all()
        }
        assert real == {
            pk: (t.state, t.owner, t.queue, t.is_snoozed, t.is_held, t.is_over)
            for pk, t in self.desk.talks.items()
        }

    @invariant()
    def outbox_and_model_are_equal(self) -> None:
        rows = list(Delivery.objects.values_list("pk", "conversation_id", "origin", "status"))
        for pk, talk, origin, _status in rows:
            self.desk.rows.setdefault(pk, model.Row(talk, origin == "bot"))
        assert {pk: status for pk, _, _, status in rows} == {pk: r.status for pk, r in self.desk.rows.items()}


def test_the_desk_follows_its_rules_whatever_happens(rig: Rig) -> None:
    full = bool(os.environ.get("PYTAKE_FULL"))
    run_state_machine_as_test(
        lambda: DeskMachine(rig),
        settings=settings(
            max_examples=1000 if full else 40,
            stateful_step_count=50 if full else 25,
            derandomize=not full,
            phases=(Phase.generate, Phase.shrink) if full else (Phase.generate,),
            report_multiple_bugs=False,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
