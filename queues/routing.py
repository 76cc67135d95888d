"""Who gets a waiting conversation? Pure: conversation, agents, queue and clock in, a decision out.

Every agent is put to every filter; whoever passes all of them gets ordering keys, and the smallest keys win.
The decision carries all of it, so that it can be kept, shown and checked later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from queues import eligibility
from queues.eligibility import Agent, Line, Preference, Verdict

Keys = tuple[float | str, ...]

REFUSAL_LASTS = timedelta(minutes=10)  # an agent who declined or missed an offer is not asked again so soon


@dataclass(frozen=True, slots=True)
class Case:
    """A waiting conversation as the router sees it."""

    id: UUID
    queued_at: datetime
    known_to: UUID | None = None  # the agent who had this customer last, within the queue's grace time
    refused: Mapping[UUID, datetime] = field(default_factory=dict)  # who declined or missed it, and when
    barred: Mapping[UUID, datetime] = field(default_factory=dict)  # who may not have it again, until when


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent as the router sees them."""

    agent: Agent
    presence: str  # online, busy, away, offline
    available_since: datetime
    last_assigned_at: datetime | None = None

    @property
    def idle_since(self) -> datetime:
        return max(self.available_since, self.last_assigned_at or self.available_since)


@dataclass(frozen=True, slots=True)
class Considered:
    """One agent in a decision: every verdict, and the keys of those who passed (empty for the others)."""

    agent_id: UUID
    verdicts: tuple[Verdict, ...]
    keys: Keys = ()

    @property
    def fits(self) -> bool:
        return all(v.ok for v in self.verdicts)

    @property
    def failed(self) -> tuple[Verdict, ...]:
        return tuple(v for v in self.verdicts if not v.ok)


@dataclass(frozen=True, slots=True)
class Decision:
    """`chosen` has the smallest keys; None when nobody fits. `look_again` is when time alone may help."""

    mode: str
    candidates: tuple[Considered, ...]
    chosen: UUID | None
    reason: str
    look_again: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unblock:
    """What would let somebody take it: this filter must change, for these agents (none: for all)."""

    filter: str
    agent_ids: tuple[UUID, ...] = ()
    detail: str = ""


# ---------------------------------------------------------------- deciding
def decide(case: Case, agents: Sequence[Candidate], line: Line, now: datetime) -> Decision:
    """Choose the agent for a waiting conversation by the queue's mode."""
    order = ORDERS.get(line.mode)
    considered = tuple(_consider(case, candidate, line, order, now) for candidate in agents)
    fitting = [one for one in considered if one.fits]
    if order is None:
        return Decision(line.mode, considered, None, "agents take from this queue themselves")
    if not fitting:
        return Decision(line.mode, considered, None, _why_nobody(considered), _look_again(case, line, now))
    best = min(fitting, key=lambda one: one.keys)
    reason = "knows the customer" if best.agent_id == case.known_to else REASONS[line.mode]
    return Decision(line.mode, considered, best.agent_id, reason)


Order = Callable[[Case, Candidate, Line], Keys]


def _consider(case: Case, candidate: Candidate, line: Line, order: Order | None, now: datetime) -> Considered:
    agent = candidate.agent
    verdicts = (
        eligibility.allowed(line, agent),
        eligibility.skilled(line, agent),
        eligibility.open_now(line),
        _present(candidate),
        eligibility.has_room(line, agent),
        _preferred(case, agent, line, now),
        _not_refused(case, agent, now),
    )
    if order is None or not all(v.ok for v in verdicts):
        return Considered(agent.id, verdicts)
    stranger = 0 if agent.id == case.known_to else 1
    return Considered(agent.id, verdicts, (stranger, *order(case, candidate, line), str(agent.id)))


def _present(candidate: Candidate) -> Verdict:
    return Verdict("presence", candidate.presence == "online", candidate.presence)


def _preferred(case: Case, agent: Agent, line: Line, now: datetime) -> Verdict:
    """A preferred skill is demanded at first and given up one by one as the wait grows."""
    waited = now - case.queued_at
    missing = [p.skill for p in line.preferred if p.relax_after > waited and _lacks(agent, p)]
    return Verdict("skills_preferred", not missing, f"still prefers {', '.join(missing)}" if missing else "")


def _not_refused(case: Case, agent: Agent, now: datetime) -> Verdict:
    refused = case.refused.get(agent.id)
    if refused and now < refused + REFUSAL_LASTS:
        return Verdict("offer", False, "declined or missed it a moment ago")
    barred = case.barred.get(agent.id)
    if barred and now < barred:
        return Verdict("offer", False, "it was taken from them")
    return Verdict("offer", True)


def _lacks(agent: Agent, preference: Preference) -> bool:
    return agent.skills.get(preference.skill, 0) < preference.level


def _look_again(case: Case, line: Line, now: datetime) -> datetime | None:
    """When a preference relaxes or a refusal is forgotten: the next verdict that changes by itself."""
    times = [case.queued_at + p.relax_after for p in line.preferred]
    times += [at + REFUSAL_LASTS for at in case.refused.values()]
    times += case.barred.values()
    times += [line.opens_at] if line.opens_at else []
    return min((at for at in times if at > now), default=None)


# ---------------------------------------------------------------- ordering
def _in_turn(case: Case, candidate: Candidate, line: Line) -> Keys:
    """Whoever was given a conversation longest ago; the time is kept with the agent, across all queues."""
    last = candidate.last_assigned_at
    return (last.timestamp() if last else 0.0,)


def _least_busy(case: Case, candidate: Candidate, line: Line) -> Keys:
    """The smallest share of capacity in use; ties go to whoever has been idle longest."""
    agent = candidate.agent
    return (round(agent.load / agent.capacity, 6), candidate.idle_since.timestamp())


def _best_skilled(case: Case, candidate: Candidate, line: Line) -> Keys:
    """Fewest levels short of what is preferred, then the least busy."""
    agent = candidate.agent
    short = sum(max(0, p.level - agent.skills.get(p.skill, 0)) for p in line.preferred)
    return (short, *_least_busy(case, candidate, line))


ORDERS: dict[str, Order] = {
    "round_robin": _in_turn,
    "load_balance": _least_busy,
    "skills_based": _best_skilled,
}
REASONS = {
    "round_robin": "next in turn",
    "load_balance": "least busy",
    "skills_based": "best skills, then least busy",
}


# ---------------------------------------------------------------- explaining
def _why_nobody(considered: Sequence[Considered]) -> str:
    if not considered:
        return "no agents"
    reasons = [one.failed[0].filter for one in considered]
    return f"nobody fits: {', '.join(sorted(set(reasons)))}"


def unblockers(decision: Decision) -> tuple[Unblock, ...]:
    """What would let somebody take it: the filters that stand alone between an agent and the conversation.

    When every agent fails several filters, those of the agents who fail the fewest are named. A filter that
    stops everybody (the queue is closed) is named without agents.
    """
    if decision.chosen is not None:
        return ()
    if not decision.candidates:
        return (Unblock("no_agents"),)
    failing = {one.agent_id: one.failed for one in decision.candidates}
    for_all = frozenset.intersection(*(frozenset(v.filter for v in failed) for failed in failing.values()))
    if "business_hours" in for_all:
        detail = next(v.detail for v in decision.candidates[0].failed if v.filter == "business_hours")
        return (Unblock("business_hours", (), detail), *_of_the_nearest(failing, {"business_hours"}))
    return _of_the_nearest(failing, set())


def _of_the_nearest(failing: Mapping[UUID, tuple[Verdict, ...]], but: set[str]) -> tuple[Unblock, ...]:
    rest = {pk: tuple(v for v in failed if v.filter not in but) for pk, failed in failing.items()}
    fewest = min(map(len, rest.values()))
    found: dict[tuple[str, str], list[UUID]] = {}
    for pk, failed in rest.items():
        if len(failed) == fewest:
            for verdict in failed:
                found.setdefault((verdict.filter, verdict.detail), []).append(pk)
    return tuple(Unblock(name, tuple(pks), detail) for (name, detail), pks in found.items())
