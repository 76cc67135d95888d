"""How much an agent has in hand, counted under their lock: what is counted can't drift.

Snoozed and held conversations do not count; an open offer does, for its place must be there when accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from conversations.conflicts import Conflict, Full
from conversations.models import Conversation, Offer, State
from queues.models import AgentProfile


def lock_agent(member_id: UUID, *, with_room: bool = True, besides: UUID | None = None) -> AgentProfile:
    """Lock an agent for an assignment. Raises Full, and Conflict when this member is no agent any more.

    `besides` is a conversation that may be on offer to them: its place is the one that it will take.
    """
    agent = (
        AgentProfile.objects.select_for_update(no_key=True, of=("self",))
        .select_related("member__user")
        .filter(member_id=member_id, member__is_active=True)
        .first()
    )
    if agent is None:
        raise Conflict(_("This person does not work as an agent."))
    if with_room and open_load(member_id, besides=besides) >= agent.capacity:
        raise Full(_("%(name)s has no room: %(n)d open conversations.") % {
            "name": agent.member.name, "n": agent.capacity,
        })  # fmt: skip
    return agent


def open_load(member_id: UUID, *, besides: UUID | None = None) -> int:
    """Places of an agent that are taken."""
    return sum(load_by_queue([member_id], besides=besides).get(member_id, {}).values())


def load_by_queue(
    member_ids: list[UUID] | None = None, *, besides: UUID | None = None
) -> dict[UUID, Mapping[UUID | None, int]]:
    """Per agent and queue the places taken; of everybody when no members are named. Two statements."""
    loads: dict[UUID, dict[UUID | None, int]] = {}
    offered = _offered(member_ids).exclude(conversation_id=besides)
    for rows, agent in ((_active(member_ids), "assigned_agent"), (offered, "agent")):
        for row in rows.order_by().values(agent, "queue").annotate(n=Count("pk")):
            mine = loads.setdefault(row[agent], {})
            mine[row["queue"]] = mine.get(row["queue"], 0) + row["n"]
    return loads


def flag_if_over(conversation: Conversation, agent: AgentProfile) -> None:
    """Before an agent gets it all the same: say in the ledger and on it that this is above their capacity.

    Call under the agent's and the conversation's lock.
    """
    if room := _no_room(conversation, agent):
        conversation.extra_data["over_capacity"] = True
        conversation.log("over_capacity", {"agent": agent.member.name, **room})


def refuse_if_full_here(conversation: Conversation, agent: AgentProfile) -> None:
    """The queue's limit per agent holds for whoever gives, too. Raises Full."""
    if room := _no_room(conversation, agent):
        raise Full(_("%(name)s has no room: %(n)d open conversations.") % {
            "name": agent.member.name, "n": room["load"],
        })  # fmt: skip


def _no_room(conversation: Conversation, agent: AgentProfile) -> dict[str, int]:
    """{} with room; else how many of how many places are taken, in all or in the conversation's queue."""
    taken = load_by_queue([agent.member_id], besides=conversation.pk).get(agent.member_id, {})
    if sum(taken.values()) >= agent.capacity:
        return {"load": sum(taken.values()), "capacity": agent.capacity}
    queue = conversation.queue if conversation.state in (State.QUEUED, State.HUMAN_HANDOFF) else None
    limit = queue.max_conversations_per_agent if queue else None
    here = taken.get(conversation.queue_id, 0)
    return {"load": here, "capacity": limit} if limit is not None and here >= limit else {}


def _active(member_ids: list[UUID] | None) -> QuerySet[Conversation]:
    rows = Conversation.objects.filter(
        state=State.HUMAN_HANDOFF, snoozed_until__isnull=True, held_at__isnull=True
    )
    return rows if member_ids is None else rows.filter(assigned_agent__in=member_ids)


def _offered(member_ids: list[UUID] | None) -> QuerySet[Offer]:
    rows = Offer.objects.filter(outcome=Offer.Outcome.OPEN)
    return rows if member_ids is None else rows.filter(agent__in=member_ids)
