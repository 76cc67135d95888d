"""Where does a conversation go when its queue can't take it? Pure: sizes, hours and rules in, a place out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

FULL, WAITED, CLOSED, NOBODY = "full", "waited", "closed", "nobody"


@dataclass(frozen=True, slots=True)
class Rule:
    """When the condition holds, conversations of a queue go on to another."""

    when: str
    to: UUID
    after: timedelta | None = None  # of WAITED: how long in this queue


@dataclass(frozen=True, slots=True)
class Line:
    """What overflow needs to know of a queue; its rules in the order in which they are asked."""

    id: UUID
    limit: int | None = None
    rules: tuple[Rule, ...] = ()
    is_active: bool = True

    def asks(self, condition: str) -> bool:
        return any(rule.when == condition for rule in self.rules)


@dataclass(frozen=True, slots=True)
class Facts:
    """How a queue stands right now."""

    waiting: int = 0  # counted no further than the limit
    is_open: bool = True
    has_agent: bool = True  # somebody could take a conversation at once; asked only where a rule wants it


@dataclass(frozen=True, slots=True)
class Hop:
    """One step on: from which queue, to which, and the condition that held."""

    source: UUID
    target: UUID
    when: str


@dataclass(frozen=True, slots=True)
class Placement:
    """The queue that takes the conversation and the way there."""

    queue_id: UUID
    hops: tuple[Hop, ...] = ()
    full: bool = False  # it stays although there is no room, for nobody is turned away
    closed: bool = False  # it stays although the queue is closed


def rules_of(own: Iterable[Rule], plain: UUID | None, *, also_closed: bool) -> tuple[Rule, ...]:
    """The rules of a queue in order, the plain one last: when full, and when closed if the queue says so."""
    if plain is None:
        return tuple(own)
    return (*own, Rule(FULL, plain), *([Rule(CLOSED, plain)] if also_closed else []))


def reachable(start: UUID, lines: Mapping[UUID, Line]) -> Sequence[UUID]:
    """The queue and every queue that any chain of rules leads to; a circle is walked once."""
    found = [start] if start in lines else []
    for here in found:
        found += [pk for pk in _ahead(lines[here]) if pk in lines and pk not in found]
    return found


def _ahead(line: Line) -> Iterable[UUID]:
    return dict.fromkeys(rule.to for rule in line.rules)


def settle(
    start: UUID, lines: Mapping[UUID, Line], facts: Mapping[UUID, Facts], *, waited: timedelta | None = None
) -> Placement:
    """Ask the rules in order; the first that holds and leads to a queue that takes it, wins.

    A queue reached by a rule takes it when it is active, open and has room and none of its own rules leads
    further; no queue is asked twice. When nothing takes it, it stays where it was asked for. `waited` is set
    for a conversation that stands in `start` already: then only the waiting rules of `start` are asked.
    """
    hops = _on(start, lines, facts, waited, {start})
    if hops:
        return Placement(hops[-1].target, hops)
    line, fact = lines[start], facts.get(start, Facts())
    return Placement(start, full=not _has_room(line, fact), closed=not fact.is_open)


def _on(
    here: UUID,
    lines: Mapping[UUID, Line],
    facts: Mapping[UUID, Facts],
    waited: timedelta | None,
    asked: set[UUID],
) -> tuple[Hop, ...]:
    """The way from a queue to one that takes it; empty when no rule leads to any."""
    for rule in lines[here].rules:
        if rule.to in asked or rule.to not in lines or not _holds(rule, lines[here], facts, waited):
            continue
        asked.add(rule.to)
        hop = Hop(here, rule.to, rule.when)
        if further := _on(rule.to, lines, facts, None, asked):
            return (hop, *further)
        if _takes(lines[rule.to], facts.get(rule.to, Facts())):
            return (hop,)
    return ()


def _holds(rule: Rule, line: Line, facts: Mapping[UUID, Facts], waited: timedelta | None) -> bool:
    if rule.after is not None or waited is not None:
        return rule.after is not None and waited is not None and waited >= rule.after
    fact = facts.get(line.id, Facts())
    holds = {FULL: not _has_room(line, fact), CLOSED: not fact.is_open, NOBODY: not fact.has_agent}
    return holds.get(rule.when, False)


def _has_room(line: Line, fact: Facts) -> bool:
    return line.is_active and (line.limit is None or fact.waiting < line.limit)


def _takes(line: Line, fact: Facts) -> bool:
    return fact.is_open and _has_room(line, fact)


# ---------------------------------------------------------------- circles
def way(start: UUID, goal: UUID, edges: Mapping[UUID, Iterable[UUID]]) -> Sequence[UUID]:
    """The shortest chain of queues from one to another, both included; empty when there is none."""
    came_from: dict[UUID, UUID | None] = {start: None}
    line = [start]
    for here in line:
        if here == goal:
            return _walked(goal, came_from)
        for there in edges.get(here, ()):
            if there not in came_from:
                came_from[there] = here
                line.append(there)
    return ()


def _walked(goal: UUID, came_from: Mapping[UUID, UUID | None]) -> Sequence[UUID]:
    ids: list[UUID] = []
    here: UUID | None = goal
    while here is not None:
        ids.append(here)
        here = came_from[here]
    return ids[::-1]
