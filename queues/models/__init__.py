"""Departments, queues and the people who serve them."""

from queues.models.calendar import Calendar
from queues.models.line import Department, OverflowRule, Queue
from queues.models.priority import PRIORITY_BY_NAME, Priority
from queues.models.sla import SlaEscalation, SlaPolicy, SlaTarget
from queues.models.team import (
    AgentProfile,
    AgentSkill,
    BreakReason,
    DeskSettings,
    PresenceSpan,
    RoutingCall,
    Skill,
)

__all__ = [
    "PRIORITY_BY_NAME", "AgentProfile", "AgentSkill", "BreakReason", "Calendar", "Department", "DeskSettings",
    "OverflowRule", "PresenceSpan", "Priority", "Queue", "RoutingCall", "Skill", "SlaEscalation", "SlaPolicy",
    "SlaTarget",
]  # fmt: skip
