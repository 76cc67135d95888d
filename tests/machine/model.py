"""The desk in plain Python, written from the rules and not from the code: no locks, no database."""

from __future__ import annotations

from dataclasses import dataclass, field

WEAKEST_TO_STRONGEST = (
    "pending", "processing", "retrying", "unknown", "queued", "sent", "cancelled", "expired", "failed",
    "delivered", "read",
)  # fmt: skip
MAX_RETRIES = 3


class Refused(Exception):
    """The rules do not allow it; nothing may have changed."""


@dataclass
class Queue:
    slug: str
    limit: int | None = None
    overflow: str | None = None
    is_active: bool = True
    allowed: frozenset[str] = frozenset()
    skills: frozenset[str] = frozenset()
    per_agent: int | None = None
    idle: str = "queue"  # what happens when the agent does nothing: queue, bot, supervisor
    is_routed: bool = False  # the router gives what waits here, in turn


@dataclass
class Agent:
    name: str
    capacity: int
    skills: frozenset[str] = frozenset()
    presence: str = "online"
    last_given: int = 0  # when they had their turn


@dataclass
class Talk:
    """A conversation. `place` is when it joined the line; `unheard` is what the bot has not answered."""

    contact: int
    state: str = "pending"
    owner: str | None = None
    queue: str | None = None
    priority: int = 50
    place: int = 0
    has_flow: bool = False
    is_fresh: bool = False
    is_snoozed: bool = False
    is_held: bool = False
    is_over: bool = False  # with an agent who had no room for it
    unheard: list[str] = field(default_factory=list)


@dataclass
class Row:
    """An outbox row."""

    talk: object
    is_bot: bool
    status: str = "pending"
    attempts: int = 0

    @property
    def is_waiting(self) -> bool:
        return self.status in ("pending", "retrying")


@dataclass
class Desk:
    queues: dict[str, Queue]
    agents: dict[str, Agent]
    department: tuple[str, ...]  # its queues, by priority
    talks: dict[object, Talk] = field(default_factory=dict)
    rows: dict[object, Row] = field(default_factory=dict)
    opted_out: set[int] = field(default_factory=set)
    receives: str = "flow"  # who takes a first message: flow, nobody, or the slug of a queue
    clock: int = 0

    # ------------------------------------------------------------ reading
    def waiting(self, slug: str) -> list[Talk]:
        return [t for t in self.talks.values() if t.state == "queued" and t.queue == slug]

    def load(self, name: str, slug: str | None = None) -> int:
        mine = [t for t in self.talks.values() if t.state == "human_handoff" and t.owner == name]
        mine = [t for t in mine if not t.is_snoozed and not t.is_held]
        return len([t for t in mine if slug is None or t.queue == slug])

    def has_room(self, slug: str, besides: Talk) -> bool:
        """Room for one more; who stands in the queue already does not count against themselves."""
        queue = self.queues[slug]
        others = [talk for talk in self.waiting(slug) if talk is not besides]
        return queue.is_active and (queue.limit is None or len(others) < queue.limit)

    def placed(self, slug: str, talk: Talk) -> str:
        """Follow the overflow to the first queue with room; with none anywhere, stay. A circle ends."""
        seen, here = [], slug
        while here is not None and here not in seen:
            if self.has_room(here, talk):
                return here
            seen.append(here)
            here = self.queues[here].overflow
        return slug

    def serves(self, agent: Agent, queue: Queue) -> bool:
        return (not queue.allowed or agent.name in queue.allowed) and queue.skills <= agent.skills

    def is_full(self, agent: Agent, queue: Queue | None = None) -> bool:
        if self.load(agent.name) >= agent.capacity:
            return True
        return bool(
            queue and queue.per_agent is not None and self.load(agent.name, queue.slug) >= queue.per_agent
        )

    def first_of_department(self) -> str:
        for slug in self.department:
            if self.queues[slug].is_active:
                return slug
        raise Refused

    # ------------------------------------------------------------ moving
    def join(self, talk: Talk, slug: str, priority: int | None = None) -> None:
        target = self.placed(slug, talk)
        self.clock += 1
        talk.state, talk.owner, talk.queue, talk.place = "queued", None, target, self.clock
        talk.priority = talk.priority if priority is None else priority
        self.wakes(talk)

    def give(self, talk: Talk, agent: Agent) -> None:
        self.clock += 1
        agent.last_given = self.clock
        if talk.state in ("pending", "bot"):
            talk.queue = None
        talk.state, talk.owner = "human_handoff", agent.name
        self.wakes(talk)

    def wakes(self, talk: Talk) -> None:
        talk.is_snoozed = talk.is_held = talk.is_over = False

    def silence(self, pk: object) -> None:
        """People have it: what the bot said and nobody has handed over is withdrawn."""
        for row in self.rows.values():
            if row.talk == pk and row.is_bot and row.is_waiting:
                row.status = "cancelled"

    def must_be_open(self, talk: Talk) -> None:
        if talk.state == "closed":
            raise Refused

    # ------------------------------------------------------------ events
    def hears(self, pk: object, contact: int, text: str) -> None:
        talk = self.talks.setdefault(pk, Talk(contact))
        talk.unheard.append(text)

    def open_talk_of(self, contact: int) -> object | None:
        return next(
            (pk for pk, t in self.talks.items() if t.contact == contact and t.state != "closed"), None
        )

    def bot_turn(self, pk: object) -> None:
        talk = self.talks[pk]
        if talk.state not in ("pending", "bot") or not (talk.unheard or talk.is_fresh):
            return
        heard, talk.unheard = talk.unheard, []
        if talk.state == "pending":
            self._receive(pk, talk)
        elif talk.is_fresh:
            talk.is_fresh = False
        else:
            self._answer(pk, talk, " ".join(heard))

    def _receive(self, pk: object, talk: Talk) -> None:
        if self.receives == "flow":
            talk.state, talk.has_flow = "bot", True
        elif self.receives != "nobody":
            self.silence(pk)
            self.join(talk, self.receives)

    def _answer(self, pk: object, talk: Talk, text: str) -> None:
        """The flow of the machine: a word that it knows hands over or ends, anything else is asked again."""
        if "fila" in text:
            self.silence(pk)
            self.join(talk, "a" if self.queues["a"].is_active else self._fallback(), 80)
        elif "setor" in text:
            self.silence(pk)
            active = [slug for slug in self.department if self.queues[slug].is_active]
            self.join(talk, active[0] if active else self._fallback(), 50)
        elif "ana" in text:
            self._to_ana(pk, talk)
        elif "tchau" in text:
            talk.state, talk.owner = "closed", None

    def _to_ana(self, pk: object, talk: Talk) -> None:
        ana = self.agents["ana"]
        self.silence(pk)
        if ana.presence == "offline" or self.is_full(ana):
            self.join(talk, self._fallback(), 50)
        else:
            self.give(talk, ana)

    def _fallback(self) -> str:
        """Nobody is lost: the channel's queue, else the first active one."""
        if self.receives not in ("flow", "nobody"):
            return self.receives
        active = [slug for slug in self.department if self.queues[slug].is_active]
        return active[0]

    # ------------------------------------------------------------ verbs of people
    def to_queue(self, pk: object, slug: str, priority: int | None = None) -> None:
        talk = self.talks[pk]
        self.must_be_open(talk)
        self.silence(pk)
        self.join(talk, slug, priority)

    def to_agent(self, pk: object, name: str) -> None:
        talk, agent = self.talks[pk], self.agents[name]
        self.must_be_open(talk)
        of = self.queues[talk.queue] if talk.queue and talk.state in ("queued", "human_handoff") else None
        if self.is_full(agent, of):
            raise Refused
        self.silence(pk)
        self.give(talk, agent)

    def pull(self, name: str, slug: str | None) -> object | None:
        agent = self.agents[name]
        lines = [
            q.slug
            for q in self.queues.values()
            if slug in (None, q.slug) and q.is_active and self.serves(agent, q) and not self.is_full(agent, q)
        ]
        waiting = [(pk, t) for pk, t in self.talks.items() if t.state == "queued" and t.queue in lines]
        if not waiting:
            return None
        pk, talk = min(waiting, key=lambda found: (-found[1].priority, found[1].place))
        self.give(talk, agent)
        return pk

    def claim(self, pk: object, name: str) -> None:
        talk, agent = self.talks[pk], self.agents[name]
        queue = self.queues[talk.queue] if talk.queue else None
        if talk.state != "queued" or self.is_full(agent, queue) or not self.serves(agent, queue):
            raise Refused
        self.give(talk, agent)

    def take_over(self, pk: object, name: str) -> None:
        if self.talks[pk].owner == name:
            raise Refused
        self.to_agent(pk, name)

    def release(self, pk: object) -> None:
        talk = self.talks[pk]
        if talk.state not in ("queued", "human_handoff") or not talk.has_flow:
            raise Refused
        talk.state, talk.owner, talk.is_fresh = "bot", None, True
        self.wakes(talk)

    def close(self, pk: object) -> None:
        talk = self.talks[pk]
        self.must_be_open(talk)
        talk.state, talk.owner = "closed", None
        self.wakes(talk)

    def close_by_hand(self, pk: object) -> None:
        """A person ends it: what the bot had not said yet stays unsaid."""
        self.close(pk)
        self.silence(pk)

    def snooze(self, pk: object, name: str) -> None:
        talk = self.talks[pk]
        if talk.state != "human_handoff" or talk.owner != name:
            raise Refused
        talk.is_snoozed, talk.is_held = True, False

    def hold(self, pk: object, name: str) -> None:
        talk = self.talks[pk]
        if talk.state != "human_handoff" or talk.owner != name or talk.is_held:
            raise Refused
        talk.is_snoozed, talk.is_held = False, True

    def resume(self, pk: object) -> None:
        """It stays with its agent even when they have no room by now; then it is flagged."""
        talk = self.talks[pk]
        if not (talk.is_snoozed or talk.is_held):
            raise Refused
        full = self.is_full(self.agents[talk.owner], self.queues[talk.queue] if talk.queue else None)
        talk.is_snoozed, talk.is_held = False, False
        talk.is_over = talk.is_over or full

    # ------------------------------------------------------------ the router
    def route(self) -> None:
        """Whoever is online, serves the queue and has room gets the next one, each in their turn."""
        waiting = [t for t in self.talks.values() if t.state == "queued" and self.queues[t.queue].is_routed]
        for talk in sorted(waiting, key=lambda t: (-t.priority, t.place)):
            queue = self.queues[talk.queue]
            free = [
                agent
                for agent in self.agents.values()
                if queue.is_active and agent.presence == "online"
                and self.serves(agent, queue) and not self.is_full(agent, queue)
            ]  # fmt: skip
            if free:
                self.give(talk, min(free, key=lambda agent: (agent.last_given, agent.name)))

    # ------------------------------------------------------------ by the clock
    def sweep(self, pk: object, kind: str) -> None:
        talk = self.talks[pk]
        if kind == "bot_turn" or (kind == "bot_timeout" and talk.unheard):
            self.bot_turn(pk)
        elif (kind in ("bot_timeout", "bot_idle") and talk.state == "bot") or (
            kind == "queue_wait" and talk.state == "queued"
        ):
            self.close(pk)
        elif kind == "snooze" and (talk.is_snoozed or talk.is_held):
            self.resume(pk)
        elif kind == "agent_idle" and talk.state == "human_handoff" and talk.queue:
            self._idle(pk, talk, self.queues[talk.queue])

    def _idle(self, pk: object, talk: Talk, queue: Queue) -> None:
        if queue.idle == "queue":
            self.join(talk, queue.slug)
        elif queue.idle == "bot" and talk.has_flow:
            self.release(pk)

    # ------------------------------------------------------------ outbox
    def reply(self, pk: object, name: str) -> None:
        talk = self.talks[pk]
        if talk.state != "human_handoff" or talk.owner != name or talk.contact in self.opted_out:
            raise Refused

    def learns(self, row: Row, status: str) -> None:
        """Evidence only raises a status, in whatever order it comes."""
        row.status = max(row.status, status, key=WEAKEST_TO_STRONGEST.index)

    def attempted(self, row: Row, outcome: str) -> None:
        row.attempts += 1
        if outcome == "accepted":
            self.learns(row, "queued")
        elif outcome == "ambiguous":
            self.learns(row, "unknown")
        elif outcome == "permanent":
            self.learns(row, "failed")
        elif outcome == "rate_limited":
            row.attempts -= 1
            row.status = "retrying"
        else:
            row.status = "retrying" if row.attempts <= MAX_RETRIES else "failed"
