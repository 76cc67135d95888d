"""Reads: what pages, API and verbs ask for. Constant numbers of queries, whatever the number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import Membership
from accounts.roles import Role
from channels_hub.models import MediaFile
from contacts.addresses import InvalidAddress, equivalence
from contacts.models import Identity
from conversations.capacity import load_by_queue
from conversations.models import Attachment, Conversation, ConversationQuerySet
from queues import eligibility, routing
from queues.models import AgentProfile, AgentSkill, Queue


def line_of(queue: Queue, now: datetime) -> eligibility.Line:
    """A queue as the filters see it."""
    hours = queue.calendar.hours() if queue.calendar else None
    is_open = hours.is_open(now) if hours else True
    return eligibility.Line(
        id=queue.pk,
        is_active=queue.is_active,
        is_open=is_open,
        opens_at=None if is_open or hours is None else hours.next_open(now),
        allowed_agent_ids=queue.allowed_agent_ids,
        skills_required=queue.skills_required,
        per_agent=queue.max_conversations_per_agent,
        mode=queue.routing_mode if queue.routes_itself else queue.Routing.MANUAL,
        preferred=queue.who_serves.preferred,
    )


def agent_facts(profile: AgentProfile, *, besides: UUID | None = None) -> eligibility.Agent:
    """An agent as the filters see them: skills and places taken, counted now."""
    taken = load_by_queue([profile.member_id], besides=besides).get(profile.member_id, {})
    return _facts(profile, dict(profile.skills.values_list("skill__slug", "level")), taken)


def candidates() -> list[routing.Candidate]:
    """Every agent of the organization as the router sees them. Four statements, whatever their number."""
    skills: dict[UUID, dict[str, int]] = {}
    for agent_id, slug, level in AgentSkill.objects.values_list("agent", "skill__slug", "level"):
        skills.setdefault(agent_id, {})[slug] = level
    taken = load_by_queue()
    return [
        routing.Candidate(
            agent=_facts(p, skills.get(p.pk, {}), taken.get(p.member_id, {})),
            presence=p.presence,
            available_since=p.presence_since,
            last_assigned_at=p.last_assigned_at,
        )
        for p in AgentProfile.objects.filter(member__is_active=True)
    ]


def _facts(
    profile: AgentProfile, skills: dict[str, int], taken: Mapping[UUID | None, int]
) -> eligibility.Agent:
    return eligibility.Agent(profile.member_id, profile.capacity, sum(taken.values()), skills, taken)


def queues_served_by(member: Membership) -> list[UUID]:
    """The queues whose waiting conversations a member may see and take."""
    queues = list(Queue.objects.all())
    if member.role != Role.AGENT:
        return [q.pk for q in queues]
    # The profile stays on the member, for the page asks for its presence too; skills only where a queue asks.
    profile: AgentProfile | None = getattr(member, "agent", None)
    skills: dict[str, int] = {}
    if profile and any(q.skills_required for q in queues):
        skills = dict(profile.skills.values_list("skill__slug", "level"))
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


def files_visible_to(member: Membership) -> QuerySet[MediaFile]:
    """The files of these conversations, and what the member has uploaded and not sent yet.

    Agents may look back into their customers' earlier conversations.
    """
    sent = Attachment.objects.filter(media=OuterRef("pk"))
    seen = sent.filter(message__conversation__in=visible_to(member).order_by())
    return MediaFile.objects.filter(Q(Exists(seen)) | Q(~Exists(sent), uploader=member))


def get_conversation_status(conversations: ConversationQuerySet, address: str) -> Conversation | None:
    """The open (else the latest) of these conversations with whoever is known by an address.

    A telephone number is found in any spelling, with or without Brazil's ninth digit.
    """
    same = Q(value=address.strip()) | Q(value=address.strip().lower())
    with suppress(InvalidAddress):  # what is no telephone number is compared as it stands
        same |= Q(scheme="phone", equivalence=equivalence("phone", address))
    rows = conversations.filter(contact_id__in=Identity.objects.filter(same).values("contact_id"))
    return rows.open().first() or rows.order_by("-created_at", "-id").first()
