"""May this agent take from this queue now? Pure: the four filters and their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Line:
    """What the filters need to know of a queue."""

    id: UUID
    is_active: bool
    is_open: bool
    allowed_agent_ids: frozenset[UUID] = frozenset()
    skills_required: frozenset[str] = frozenset()
    per_agent: int | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """What the filters need to know of an agent; `load` counts open conversations, by queue too."""

    id: UUID
    capacity: int
    load: int
    skills: frozenset[str] = frozenset()
    load_by_queue: Mapping[UUID, int] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    filter: str
    ok: bool
    detail: str = ""


def serves(line: Line, agent: Agent) -> bool:
    """Whether the queue is one of the agent's at all (membership and skills, not time or load)."""
    return all(v.ok for v in verdicts(line, agent)[:2])


def verdicts(line: Line, agent: Agent) -> tuple[Verdict, ...]:
    """The four filters in their order: allowed agents, skills, business hours, capacity."""
    missing = sorted(line.skills_required - agent.skills)
    here = (agent.load_by_queue or {}).get(line.id, 0)
    full_here = line.per_agent is not None and here >= line.per_agent
    return (
        Verdict("allowed_agents", not line.allowed_agent_ids or agent.id in line.allowed_agent_ids),
        Verdict("skills_required", not missing, f"missing {', '.join(missing)}" if missing else ""),
        Verdict(
            "business_hours", line.is_active and line.is_open, "" if line.is_active else "queue inactive"
        ),
        Verdict(
            "agent_capacity",
            agent.load < agent.capacity and not full_here,
            f"{agent.load} of {agent.capacity}" + (f", {here} of {line.per_agent} here" if full_here else ""),
        ),
    )


def may_take(line: Line, agent: Agent) -> bool:
    return all(v.ok for v in verdicts(line, agent))
