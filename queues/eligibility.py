"""May this agent take from this queue now? Pure: the four filters and their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Preference:
    """A skill that a queue would like: required until the wait reaches `relax_after`, then an advantage."""

    skill: str
    level: int = 1
    relax_after: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Line:
    """What the filters need to know of a queue; skills map to the lowest level that will do."""

    id: UUID
    is_active: bool
    is_open: bool
    allowed_agent_ids: frozenset[UUID] = frozenset()
    skills_required: Mapping[str, int] = field(default_factory=dict)
    per_agent: int | None = None
    mode: str = "manual"
    opens_at: datetime | None = None  # of a closed queue, when known
    preferred: tuple[Preference, ...] = ()


@dataclass(frozen=True, slots=True)
class Agent:
    """What the filters need to know of an agent; `load` counts the places taken, by queue too."""

    id: UUID
    capacity: int
    load: int
    skills: Mapping[str, int] = field(default_factory=dict)
    load_by_queue: Mapping[UUID | None, int] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    filter: str
    ok: bool
    detail: str = ""


def serves(line: Line, agent: Agent) -> bool:
    """Whether the queue is one of the agent's at all (membership and skills, not time or load)."""
    return allowed(line, agent).ok and skilled(line, agent).ok


def verdicts(line: Line, agent: Agent) -> tuple[Verdict, ...]:
    """The four filters in their order: allowed agents, skills, business hours, capacity."""
    return (allowed(line, agent), skilled(line, agent), open_now(line), has_room(line, agent))


def allowed(line: Line, agent: Agent) -> Verdict:
    return Verdict("allowed_agents", not line.allowed_agent_ids or agent.id in line.allowed_agent_ids)


def skilled(line: Line, agent: Agent) -> Verdict:
    missing = [
        skill if level == 1 else f"{skill} {level}"
        for skill, level in sorted(line.skills_required.items())
        if agent.skills.get(skill, 0) < level
    ]
    return Verdict("skills_required", not missing, f"missing {', '.join(missing)}" if missing else "")


def open_now(line: Line) -> Verdict:
    return Verdict(
        "business_hours", line.is_active and line.is_open, "" if line.is_active else "queue inactive"
    )


def has_room(line: Line, agent: Agent) -> Verdict:
    here = (agent.load_by_queue or {}).get(line.id, 0)
    full_here = line.per_agent is not None and here >= line.per_agent
    return Verdict(
        "agent_capacity",
        agent.load < agent.capacity and not full_here,
        f"{agent.load} of {agent.capacity}" + (f", {here} of {line.per_agent} here" if full_here else ""),
    )
