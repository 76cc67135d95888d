"""A whole desk at once: conversations through simulated agents until all are closed; then the judge looks.

Every act is a verb of the product, done by threads that know nothing of each other: agents, the router, the
clock, customers, arrivals. Time is hurried: deadlines that were minutes away are made due. What may be
refused is counted by kind; anything else that is raised or logged as an error ends the soak with its seed.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, connections
from django_fsm import TransitionNotAllowed
from django_scopes import scope
from psycopg.errors import LockNotAvailable

from accounts.models import Membership
from bench import load, seeds
from bench.kit import Gate, Report, Size, percentile
from channels_hub.contract import RawRequest
from channels_hub.models import InboundEvent
from conversations import (
    attendance,
    capacity,
    clockwork,
    handoff,
    intake,
    outbox,
    overflows,
    resting,
    router,
    signs,
)
from conversations.conflicts import Conflict, Full, NoQueue, OutOfHours
from conversations.invariants import findings
from conversations.models import Conversation, Deadline, Event, Offer, State, Stay
from conversations.moves import database_now
from queues.models import (
    AgentProfile,
    AgentSkill,
    OverflowRule,
    PresenceSpan,
    Queue,
    Skill,
    SlaEscalation,
    SlaPolicy,
)

REFUSALS = (
    Conflict, Full, NoQueue, OutOfHours, TransitionNotAllowed, outbox.NotYours, outbox.Refused,
    Conversation.DoesNotExist,
)  # fmt: skip
CAPACITY = 3
LONGEST = 3600.0  # seconds until a soak is given up
HURRIED = """
UPDATE conversations_deadline SET due_at = now(), data = CASE WHEN kind = 'overflow'
       THEN jsonb_set(data, '{since}', to_jsonb(now() - interval '5 minutes')) ELSE data END
WHERE id = (SELECT id FROM conversations_deadline WHERE due_at > now() + interval '2 seconds'
            AND organization_id = %s AND kind = ANY(%s) ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)
"""
KINDS = (
    "overflow",
    "snooze",
    "agent_idle",
    "sla_wait",
    "sla_first",
    "sla_next",
    "sla_resolution",
)


@dataclass
class Outcome:
    """What happened. `problems` is empty when all went well."""

    seed: int
    seconds: float = 0.0
    acts: Counter[str] = field(default_factory=Counter)  # lines of the ledger by type
    refusals: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    waits: Sequence[float] = ()
    closed: int = 0


def run(size: Size) -> Report:
    outcome = soak(conversations=size.of(2000, 40), agents=size.of(40, 6))
    report = Report(
        "soak", ("what", "how many"), figures={"seed": outcome.seed, "problems": outcome.problems}
    )
    taken = sum(outcome.acts[name] for name in ("claim", "assign", "take_over", "hand_on"))
    report.rows = [
        ["conversations closed", outcome.closed],
        ["seconds", outcome.seconds],
        ["assignments per second", taken / outcome.seconds],
        ["wait in a queue, p50 s", percentile(outcome.waits or [0.0], 0.5)],
        ["wait in a queue, p95 s", percentile(outcome.waits or [0.0], 0.95)],
        *([f"in the ledger: {name}", n] for name, n in outcome.acts.most_common()),
        *([f"refused: {name}", n] for name, n in outcome.refusals.most_common()),
    ]
    for problem in outcome.problems[:5]:
        print(f"seed {outcome.seed}: {problem}")
    report.gates = [Gate("what broke", len(outcome.problems), 0, at_most=True)]
    return report


def soak(*, conversations: int, agents: int, seed: int | None = None, seconds: float = LONGEST) -> Outcome:
    """So many conversations through so many agents; ends when all are closed or something broke."""
    seeds.clean()
    with seeds.desk(agents=agents, slug="soak") as place:
        _furnish(place)
        day = _Day(place, seed if seed is not None else secrets.randbelow(10**6), conversations)
        with _errors_seen(day):
            day.last(seconds)
        day.judge()
    return day.outcome


# ---------------------------------------------------------------- the desk
def _furnish(place: seeds.Desk) -> None:
    """Queues of every kind: full ones that overflow, offers, skills, an SLA, one that nobody routes."""
    own = {"organization": place.organization}
    PresenceSpan.objects.all().delete()
    AgentProfile.objects.update(capacity=CAPACITY, presence="offline", is_automatic=False)
    AgentProfile.objects.filter(member__in=place.agents).update(presence="online")
    manual, turns, offered, skilled = seeds.more_queues(place, 4)
    routed = {"auto_assign_conversations": True}
    policy, _ = SlaPolicy.objects.get_or_create(
        **own, name="Soak", clock="calendar", wait_minutes=5, first_response_minutes=5,
        next_response_minutes=5, resolution_minutes=60,
    )  # fmt: skip
    _shape(place.queue, **routed, routing_mode="load_balance", max_queue_size=4, overflow_queue=turns)
    _shape(turns, **routed, routing_mode="round_robin", max_queue_size=3, max_conversations_per_agent=2)
    _shape(offered, **routed, routing_mode="load_balance", offer_seconds=1, agent_idle_minutes=5)
    _shape(manual, wait_limit_minutes=60)
    skill, _ = Skill.objects.get_or_create(**own, name="Deutsch", slug="de")
    _shape(
        skilled, **routed, routing_mode="skills_based", settings={"skills_required": ["de"]},
        sla_policy=policy, sticky_minutes=5,
    )  # fmt: skip
    for profile in AgentProfile.objects.filter(member__in=place.agents[::2]):
        AgentSkill.objects.get_or_create(**own, agent=profile, skill=skill)
    for source, target, rule in (
        (turns, manual, {"condition": "full"}),
        (skilled, manual, {"condition": "waited", "after_minutes": 1}),
        (skilled, offered, {"condition": "nobody"}),
    ):
        OverflowRule.objects.get_or_create(**own, queue=source, target=target, **rule)
    for stage, act, more in (
        ("warning", "raise_priority", {"priority": 80}),
        ("breach", "notify", {}),
        ("breach", "reassign", {}),
        ("breach", "move", {"queue": manual}),
    ):
        SlaEscalation.objects.get_or_create(**own, policy=policy, stage=stage, act=act, **more)


def _shape(queue: Queue, **fields: Any) -> None:
    Queue.objects.filter(pk=queue.pk).update(**fields)


@contextmanager
def _errors_seen(day: _Day) -> Iterator[None]:
    """Background jobs catch what fails and log it: here that counts."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            if "LockNotAvailable" in told:
                day.outcome.refusals["background: waited too long for a lock"] += 1
            else:
                day.broken(f"{record.getMessage()} {told}")

    ear, logger, before = Ear(logging.ERROR), logging.getLogger("conversations"), logging.root.manager.disable
    logging.disable(logging.WARNING)
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logging.disable(before)


# ---------------------------------------------------------------- the day
class _Day:
    """Everybody at work until nothing is open any more."""

    def __init__(self, place: seeds.Desk, seed: int, conversations: int) -> None:
        self.place, self.seed, self.outcome = place, seed, Outcome(seed)
        self.newcomers = seeds.newcomers(place, conversations)
        self.queues = list(Queue.objects.order_by("slug"))
        self.manual = next(queue for queue in self.queues if not queue.routes_itself)
        self.lock, self.over = threading.Lock(), threading.Event()
        self.rushed, self.arrived = threading.Event(), threading.Event()  # the house was full; all are in

    def last(self, seconds: float) -> None:
        began = time.monotonic()
        # One process plays everybody: many agents look up more rarely, so that the others get their turn.
        pause = 0.1 * max(1.0, len(self.place.agents) / 12)
        workers = [
            *((f"agent {n}", self._agent(member), pause) for n, member in enumerate(self.place.agents)),
            ("arrivals", self._arrive, 0.01),
            ("customers", self._write, 0.15),
            ("time", self._hurry, 0.05),
            *((f"router {n}", lambda rng: (router.drain(), router.sweep()), 0.2) for n in range(3)),
            *((f"clock {n}", lambda rng: clockwork.drain_deadlines(limit=20), 0.1) for n in range(2)),
            *((f"inbox {n}", lambda rng: intake.drain(limit=50), 0.1) for n in range(2)),
            ("sweeps", lambda rng: (attendance.sweep(), overflows.sweep()), 0.5),
            ("judge", lambda rng: self._no_promise_broken(), 2.0),
        ]
        threads = [threading.Thread(target=self._work, args=worker, name=worker[0]) for worker in workers]
        for thread in threads:
            thread.start()
        while not self.over.wait(0.2):
            if self._is_done():
                self.over.set()
            elif time.monotonic() - began > seconds:
                self.broken(f"not done after {seconds:.0f} s")
        self.outcome.seconds = time.monotonic() - began
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                self.broken(f"{thread.name} is stuck")

    def _work(self, name: str, act: Callable[[Random], Any], pause: float) -> None:
        rng = Random(f"{self.seed} {name}")
        try:
            with scope(organization=self.place.organization):
                while not self.over.wait(pause * rng.uniform(0.5, 2)):
                    self._try(name.split()[0], lambda: act(rng))
        finally:
            connections.close_all()

    def _try(self, name: str, act: Callable[[], Any]) -> None:
        try:
            act()
        except REFUSALS as error:
            with self.lock:
                self.outcome.refusals[f"{name}: {type(error).__name__}"] += 1
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                self.broken(f"{name}: {traceback.format_exc()}")
            with self.lock:
                self.outcome.refusals[f"{name}: waited too long for a lock"] += 1
        except Exception:
            self.broken(f"{name}: {traceback.format_exc()}")

    def broken(self, what: str) -> None:
        self.outcome.problems.append(what)
        self.over.set()

    def _is_done(self) -> bool:
        waiting = InboundEvent.objects.filter(state=InboundEvent.State.NEW)
        return self.arrived.is_set() and not (Conversation.objects.open().exists() or waiting.exists())

    # ------------------------------------------------ who comes and writes
    def _arrive(self, rng: Random) -> None:
        """The next one is handed over to a queue or an agent; a full house makes them wait outside."""
        if not self.newcomers:
            self.rushed.set()
            self.arrived.set()
            return
        if Conversation.objects.filter(state=State.QUEUED).count() > 2 * len(self.place.agents):
            self.rushed.set()
            return
        pk = self.newcomers.pop()
        way: dict[str, Any] = {"department_id": self.place.queue.department_id}
        if rng.random() < 0.05:
            way = {"agent_id": self._somebody(rng)}
        elif rng.random() < 0.7:
            way = {"queue_id": rng.choice([self.place.queue, *self.queues]).pk}
        self._try("request", lambda: handoff.request_handoff(pk, **way))
        if Conversation.objects.filter(pk=pk, state=State.PENDING).exists():
            self.newcomers.append(pk)  # was refused: another way, soon

    def _write(self, rng: Random) -> None:
        """A customer whose conversation is open writes; ends with the arrivals."""
        unread = InboundEvent.objects.filter(state=InboundEvent.State.NEW).count()
        if self.arrived.is_set() or unread > len(self.place.agents):
            return
        if conversation := self._any(State.QUEUED, State.HUMAN_HANDOFF):
            place = self.place.channel
            url = f"{settings.PUBLIC_URL}/webhooks/twilio/{place.public_id}/inbound"
            sender = conversation.identity.value
            fields = load.twilio_form(load.new_sid(), sender, "E agora?", seeds.SID, seeds.ADDRESS)
            headers = {"x-twilio-signature": load.signature(url, fields, seeds.TOKEN)}
            intake.accept(place, RawRequest("POST", url, headers, urlencode(fields).encode()))

    def _hurry(self, rng: Random) -> None:
        """Minutes pass for one deadline; now and then somebody gives up waiting."""
        kinds = [*KINDS, "queue_wait", "attention"] if rng.random() < 0.05 else list(KINDS)
        with connection.cursor() as cursor:
            cursor.execute(HURRIED, [self.place.organization.pk, kinds])

    # ------------------------------------------------ agents
    def _somebody(self, rng: Random) -> UUID:
        return rng.choice(self.place.agents).pk

    def _agent(self, me: Membership) -> Callable[[Random], None]:
        def act(rng: Random) -> None:
            signs.of_life(me.pk, touched=True)
            if not self.rushed.is_set():
                return  # the day begins with a crowd at the door
            if not self._is_there(me, rng) or self._answers_offer(me, rng):
                return
            mine = list(Conversation.objects.filter(assigned_agent=me, state=State.HUMAN_HANDOFF)[:5])
            if not mine or rng.random() < 0.2:
                self._takes(me, rng)
            else:
                self._works(me, rng.choice(mine), rng)

        return act

    def _is_there(self, me: Membership, rng: Random) -> bool:
        presence = AgentProfile.objects.values_list("presence", flat=True).get(member=me)
        if presence != "online" and rng.random() < 0.3:
            attendance.set_presence(me, "online")
        elif presence == "online" and rng.random() < 0.01 and not self.arrived.is_set():
            left = rng.choice((attendance.KEEP, attendance.QUEUE, attendance.COLLEAGUE))
            status = rng.choice(("busy", "away", "offline"))
            attendance.set_presence(me, status, conversations=left, to=self._somebody(rng))
        return presence == "online"

    def _answers_offer(self, me: Membership, rng: Random) -> bool:
        offer = Offer.objects.filter(agent=me, outcome="").first()
        if offer is None or rng.random() < 0.3:  # lets it pass, this time
            return False
        if rng.random() < 0.3:
            self._try("decline", lambda: router.decline(offer.conversation_id, agent=me))
        else:
            self._try("accept", lambda: handoff.claim(offer.conversation_id, agent_id=me.pk))
        return True

    def _takes(self, me: Membership, rng: Random) -> None:
        """Most wait for the router; who pulls takes what nobody routes, who claims or takes over anything."""
        chance = 0.4 if self.arrived.is_set() else rng.random()
        if chance < 0.1:
            self._try("pull", lambda: handoff.pull_from_queue(me.pk))
        elif chance < 0.5:
            self._try("pull", lambda: handoff.pull_from_queue(me.pk, self.manual.pk))
        elif chance < 0.6 and (waiting := self._any(State.QUEUED)):
            self._try("claim", lambda: handoff.claim(waiting.pk, agent_id=me.pk))
        elif chance < 0.62 and (other := self._any(State.HUMAN_HANDOFF)):
            self._try("take over", lambda: handoff.take_over(other.pk, agent_id=me.pk))

    def _any(self, *states: str) -> Conversation | None:
        found = Conversation.objects.filter(state__in=states).select_related("identity").order_by("?")
        return found.first()

    def _works(self, me: Membership, mine: Conversation, rng: Random) -> None:
        if mine.snoozed_until or mine.held_at:
            self._try("resume", lambda: resting.resume(mine.pk, actor=me))
            return
        acts: dict[str, tuple[int, Callable[[], Any]]] = {
            "reply": (40, lambda: outbox.reply(mine.pk, agent=me, text="Um momento.")),
            "close": (25, lambda: handoff.close(mine.pk, actor=me)),
            "transfer": (8, lambda: handoff.transfer(mine.pk, actor=me, queue_id=rng.choice(self.queues).pk)),
            "pass on": (6, lambda: handoff.transfer(mine.pk, actor=me, agent_id=self._somebody(rng))),
            "snooze": (6, lambda: resting.snooze(mine.pk, agent=me, until=self._soon(rng))),
            "hold": (6, lambda: resting.hold(mine.pk, agent=me)),
            "prioritise": (4, lambda: handoff.reprioritise(mine.pk, 80, actor=me)),
        }
        name = "close" if self.arrived.is_set() else rng.choices(list(acts), [n for n, _ in acts.values()])[0]
        self._try(name, acts[name][1])

    def _soon(self, rng: Random) -> Any:
        return database_now() + timedelta(seconds=rng.uniform(0.2, 2))

    # ------------------------------------------------ the judge
    def _no_promise_broken(self) -> None:
        for finding in findings():
            self.broken(f"{finding.invariant.name}: {finding.count}, as {', '.join(finding.examples)}")

    def judge(self) -> None:
        """After the last one: nothing is left over anywhere."""
        router.drain()
        self._no_promise_broken()
        closes = Counter(Event.objects.filter(type="close").values_list("conversation", flat=True))
        left = {
            "conversations without an end": Conversation.objects.open().count(),
            "conversations ended without a reason": Conversation.objects.filter(close_reason="").count(),
            "conversations closed twice": sum(n > 1 for n in closes.values()),
            "agents with a load": len(capacity.load_by_queue()),
            "open stays": Stay.objects.filter(left_at=None).count(),
            "open offers": Offer.objects.filter(outcome="").count(),
            "deadlines": Deadline.objects.count(),
            "events that were not taken in": InboundEvent.objects.filter(state="dead").count(),
        }
        self.outcome.problems += [f"{n} {what}" for what, n in left.items() if n]
        self.outcome.problems += map(_told, Conversation.objects.open()[:5])
        self.outcome.closed = Conversation.objects.filter(state=State.CLOSED).count()
        self.outcome.acts.update(Event.objects.values_list("type", flat=True))
        stays = Stay.objects.filter(left_at__isnull=False).values_list("entered_at", "left_at")
        self.outcome.waits = [(left_at - entered_at).total_seconds() for entered_at, left_at in stays]


def _told(conversation: Conversation) -> str:
    """Where one stands that was not brought to its end."""
    agent = AgentProfile.objects.filter(member=conversation.assigned_agent).first()
    ledger = conversation.events.order_by("-seq").values_list("type", "cause", "at")[:6]
    return f"{conversation.pk} {conversation.state} with {agent} ({agent and agent.presence}): {list(ledger)}"
