"""The desk that the machine plays with: three queues, three agents, a flow that knows four words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from accounts.models import Membership, Organization
from channels_hub.models import ChannelAccount
from conversations import bells
from conversations.models import Reception
from flows import services
from flows.models import Flow
from queues.models import AgentProfile, AgentSkill, Department, Queue, Skill
from tests.conftest import new_member
from tests.machine import model


@dataclass
class Rig:
    """The rows behind the machine's names."""

    organization: Organization
    channel: ChannelAccount
    department: Department
    queues: dict[str, Queue]
    agents: dict[str, Membership]
    flow: Flow

    def fresh_model(self) -> model.Desk:
        """Reset what earlier examples changed, in the database and in a new model alike."""
        Queue.objects.update(overflow_queue=None, max_queue_size=None, is_active=True)
        AgentProfile.objects.update(capacity=2, presence="online", last_assigned_at=None)
        Reception.objects.update(default_flow=self.flow, default_queue=None)
        return model.Desk(
            queues={
                "a": model.Queue("a", idle="supervisor"),
                "b": model.Queue(
                    "b", allowed=frozenset({"ana", "bia"}), per_agent=1, idle="queue", is_routed=True
                ),
                "c": model.Queue("c", skills=frozenset({"fin"}), idle="bot"),
            },
            agents={
                "ana": model.Agent("ana", 2),
                "bia": model.Agent("bia", 2, frozenset({"fin"})),
                "caio": model.Agent("caio", 2, frozenset({"fin"})),
            },
            department=("a", "b", "c"),
        )


def document() -> dict[str, Any]:
    words = {"fila": "to_queue", "setor": "to_department", "ana": "to_agent", "tchau": "bye"}
    branches = [
        {"port": port, "all": [{"variable": "said", "op": "contains", "value": word}]}
        for word, port in words.items()
    ]
    nodes = [
        ("ask", "question", {"text": "Como posso ajudar?", "variable": "said", "timeout_minutes": 15}),
        ("which", "condition", {"branches": branches}),
        (
            "to_queue",
            "handoff",
            {"handoff_type": "queue", "queue": "a", "priority": "high", "notice": "Já vai."},
        ),
        ("to_department", "handoff", {"handoff_type": "department", "department": "suporte"}),
        ("to_agent", "handoff", {"handoff_type": "agent", "agent": "ana@acme.test"}),
        ("bye", "close", {"text": "Até logo."}),
    ]
    edges = [("ask", "answered", "which"), ("which", "else", "ask")]
    edges += [("which", port, port) for port in words.values()]
    return {
        "schema": 1,
        "start": "ask",
        "variables": [{"name": "said"}],
        "nodes": [{"id": name, "type": kind, "data": data} for name, kind, data in nodes],
        "edges": [{"from": source, "port": port, "to": target} for source, port, target in edges],
    }


@pytest.fixture
def rig(
    transactional_db: None,
    acme: Organization,
    department: Department,
    make_queue: Callable[..., Queue],
    twilio_channel: ChannelAccount,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Rig:
    settings.PYTAKE_COALESCE_SECONDS = settings.PYTAKE_COALESCE_MAX_SECONDS = (
        3600  # turns are the machine's own
    )
    monkeypatch.setattr(bells, "_ring", lambda kind, name: None)  # nobody listens: every drain is a rule
    agents = {name: new_member(acme, name, "agent", capacity=2) for name in ("ana", "bia", "caio")}
    finance = Skill.objects.create(organization=acme, name="Fin", slug="fin")
    for name in ("bia", "caio"):
        AgentSkill.objects.create(organization=acme, agent=agents[name].agent, skill=finance)
    queues = {
        "a": make_queue(
            "a", priority=90, wait_limit_minutes=30, agent_idle_minutes=5, agent_idle_action="supervisor"
        ),
        "b": make_queue(
            "b", priority=50, agent_idle_minutes=5, max_conversations_per_agent=1,
            routing_mode="round_robin", auto_assign_conversations=True,
            settings={"allowed_agent_ids": [str(agents["ana"].pk), str(agents["bia"].pk)]},
        ),
        "c": make_queue(
            "c", priority=10, agent_idle_minutes=5, agent_idle_action="bot",
            settings={"skills_required": ["fin"]},
        ),
    }  # fmt: skip
    created = services.create_flow(acme, name="Máquina", slug="maquina", document=document())
    services.publish(created.pk, author=None)
    flow = Flow.objects.select_related("published").get(pk=created.pk)
    Reception.objects.create(organization=acme, channel=twilio_channel, default_flow=flow)
    return Rig(acme, twilio_channel, department, queues, agents, flow)
