"""The record of why an agent got a conversation, or why nobody did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import Membership
from conversations import bells
from conversations.models import Conversation, RoutingDecision
from conversations.moves import ROUTE
from queues import eligibility, routing, services
from queues.models import AgentProfile

MOST = 50  # candidates kept in one record


def mark_assigned(agent: AgentProfile, now: datetime) -> None:
    """The agent had their turn."""
    agent.last_assigned_at = now
    agent.save(update_fields=["last_assigned_at"])


def call_router(organization_id: UUID, reason: str) -> None:
    """The router shall look at this desk again, soon and whatever becomes of the bell."""
    services.call_router(organization_id, reason)
    bells.wake_workers(ROUTE)


def record(
    conversation: Conversation,
    mode: str,
    agent: AgentProfile,
    reason: str,
    verdicts: Sequence[eligibility.Verdict] = (),
) -> None:
    """A person or the bot chose: the one candidate, with the filters that were asked."""
    RoutingDecision.objects.create(
        organization_id=conversation.organization_id,
        conversation=conversation,
        queue_id=conversation.queue_id,
        mode=mode,
        candidates=[
            {
                "agent": {"id": str(agent.member_id), "name": agent.member.name},
                "verdicts": [asdict(v) for v in verdicts],
                "keys": [conversation.queue_priority, conversation.waited_seconds],
            }
        ],
        chosen=agent.member,
        reason=reason,
    )


def keep(conversation: Conversation, decision: routing.Decision, chosen: Membership | None) -> None:
    """The router chose."""
    told = _told(decision, _names([decision]))
    _row(conversation, decision, told, chosen).save(force_insert=True)


def keep_new(found: Sequence[tuple[Conversation, routing.Decision]]) -> None:
    """Nobody fits: kept when the picture differs from the last one on record; waiting writes nothing."""
    if not found:
        return
    last = RoutingDecision.objects.filter(conversation__in=[c.pk for c, _decision in found])
    last = last.order_by("conversation", "-at", "-id").distinct("conversation")
    known = {row.conversation_id: _picture(row.candidates) for row in last if row.chosen_id is None}
    decisions = {id(decision): decision for _conversation, decision in found}  # many share one
    names = _names(list(decisions.values()))
    told = {key: _told(decision, names) for key, decision in decisions.items()}
    pictures = {key: _picture(what["candidates"]) for key, what in told.items()}
    RoutingDecision.objects.bulk_create(
        _row(conversation, decision, told[id(decision)], None)
        for conversation, decision in found
        if known.get(conversation.pk) != pictures[id(decision)]
    )


def _told(decision: routing.Decision, names: Mapping[UUID, str]) -> dict[str, Any]:
    """Candidates and what would help, as they are kept."""
    return {
        "candidates": [_candidate(one, names) for one in _nearest(decision)],
        "unblock": [
            {
                "filter": one.filter,
                "agents": [names.get(pk, "") for pk in one.agent_ids],
                "detail": one.detail,
            }
            for one in routing.unblockers(decision)
        ],
    }


def _row(
    conversation: Conversation,
    decision: routing.Decision,
    told: Mapping[str, Any],
    chosen: Membership | None,
) -> RoutingDecision:
    return RoutingDecision(
        organization_id=conversation.organization_id,
        conversation=conversation,
        queue_id=conversation.queue_id,
        mode=decision.mode,
        chosen=chosen,
        reason=decision.reason[:200],
        **told,
    )


def _nearest(decision: routing.Decision) -> list[routing.Considered]:
    """Those who fit in their order, then those who fail the fewest filters."""
    order = sorted(decision.candidates, key=lambda one: (len(one.failed), one.keys, one.agent_id))
    return order[:MOST]


def _candidate(one: routing.Considered, names: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "agent": {"id": str(one.agent_id), "name": names.get(one.agent_id, "")},
        "verdicts": [asdict(v) for v in one.verdicts],
        "keys": list(one.keys),
    }


def _names(found: Sequence[routing.Decision]) -> dict[UUID, str]:
    ids = {one.agent_id for decision in found for one in decision.candidates}
    members = Membership.objects.select_related("user").filter(pk__in=ids)
    return {member.pk: member.name for member in members}


def _picture(candidates: Sequence[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """Who fails what, without the numbers that change with every conversation."""
    return frozenset(
        (one["agent"]["id"], verdict["filter"])
        for one in candidates
        for verdict in one["verdicts"]
        if not verdict["ok"]
    )
