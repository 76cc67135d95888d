"""Reads: what pages, API and verbs ask for. Constant numbers of queries, whatever the number of rows."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q

from accounts.models import Membership
from accounts.roles import Role
from contacts.addresses import InvalidAddress, equivalence
from contacts.models import Identity
from conversations.models import Conversation, ConversationQuerySet, State
from queues import eligibility
from queues.models import AgentProfile, Queue


def line_of(queue: Queue, now: datetime) -> eligibility.Line:
    """A queue as the filters see it."""
    return eligibility.Line(
        id=queue.pk,
        is_active=queue.is_active,
        is_open=queue.calendar.hours().is_open(now) if queue.calendar else True,
        allowed_agent_ids=queue.allowed_agent_ids,
        skills_required=queue.skills_required,
        per_agent=queue.max_conversations_per_agent,
    )


def agent_facts(profile: AgentProfile) -> eligibility.Agent:
    """An agent as the filters see them: skills and open conversations, counted now."""
    rows = (
        Conversation.objects.filter(
            assigned_agent_id=profile.member_id, state=State.HUMAN_HANDOFF, snoozed_until__isnull=True
        )
        .order_by()
        .values("queue_id")
        .annotate(n=Count("id"))
    )
    by_queue = {row["queue_id"]: row["n"] for row in rows}
    return eligibility.Agent(
        id=profile.member_id,
        capacity=profile.capacity,
        load=sum(by_queue.values()),
        skills=frozenset(profile.skills.values_list("skill__slug", flat=True)),
        load_by_queue=by_queue,
    )


def queues_served_by(member: Membership) -> list[UUID]:
    """The queues whose waiting conversations a member may see and take."""
    queues = list(Queue.objects.all())
    if member.role != Role.AGENT:
        return [q.pk for q in queues]
    # The profile stays on the member, for the page asks for its presence too; skills only where a queue asks.
    profile: AgentProfile | None = getattr(member, "agent", None)
    skills: frozenset[str] = frozenset()
    if profile and any(q.skills_required for q in queues):
        skills = frozenset(profile.skills.values_list("skill__slug", flat=True))
    agent = eligibility.Agent(id=member.pk, capacity=0, load=0, skills=skills)
    return [
        q.pk
        for q in queues
        if eligibility.serves(
            eligibility.Line(q.pk, True, True, q.allowed_agent_ids, q.skills_required), agent
        )
    ]


def visible_to(member: Membership) -> ConversationQuerySet:
    """The conversations a member may read. Every view starts here."""
    served = queues_served_by(member) if member.role == Role.AGENT else ()
    return Conversation.objects.visible_to(member, served)


def get_conversation_status(conversations: ConversationQuerySet, address: str) -> Conversation | None:
    """The open (else the latest) of these conversations with whoever is known by an address.

    A telephone number is found in any spelling, with or without Brazil's ninth digit.
    """
    same = Q(value=address.strip()) | Q(value=address.strip().lower())
    with suppress(InvalidAddress):  # what is no telephone number is compared as it stands
        same |= Q(scheme="phone", equivalence=equivalence("phone", address))
    rows = conversations.filter(contact_id__in=Identity.objects.filter(same).values("contact_id"))
    return rows.open().first() or rows.order_by("-created_at", "-id").first()
