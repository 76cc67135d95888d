"""People as a team: inviting, changing and retiring members, their presence; rates of a queue."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Case, F, Q, When
from django.db.models.functions import Greatest

from accounts import audit
from accounts.clock import ClockNow
from accounts.models import Membership, Organization, User
from accounts.roles import Role
from queues.models import (
    AgentProfile,
    AgentSkill,
    BreakReason,
    DeskSettings,
    PresenceSpan,
    RoutingCall,
    Skill,
)


class AlreadyMember(Exception):
    """This person works here already."""


class OwnersOnly(Exception):
    """Only an owner makes, changes or retires an owner."""


class LastOwner(Exception):
    """The organization would be left without an owner."""


class NoAgent(Exception):
    """This member does not work as an agent."""


@dataclass(frozen=True, slots=True)
class Invited:
    """A new member; `password` is set when one had to be made up, and is known only here."""

    member: Membership
    password: str = ""


def percentage(part: int, whole: int) -> float:
    """A rate in percent with one decimal, half up: 5 of 350 is 1.4. Nothing of nothing is 0."""
    if not whole:
        return 0.0
    return float((Decimal(part) * 100 / whole).quantize(Decimal("0.1"), ROUND_HALF_UP))


def call_router(organization_id: UUID, reason: str) -> None:
    """Note that somebody may now be able to take what waits: capacity, presence, hours, skills changed."""
    RoutingCall.objects.create(organization_id=organization_id, reason=reason)


def desk_settings() -> DeskSettings:
    """How the current organization treats presence and time-outs: its row, or the defaults."""
    return DeskSettings.objects.first() or DeskSettings()


@transaction.atomic
def invite(
    organization: Organization,
    *,
    actor: Membership | None,
    email: str,
    name: str,
    role: str = Role.AGENT,
    password: str = "",
    capacity: int | None = None,
    skills: Sequence[Mapping[str, Any]] = (),
) -> Invited:
    """Make somebody a member. A person known from another organization keeps their name and password.

    Raises AlreadyMember, OwnersOnly.
    """
    if role == Role.OWNER and actor is not None and actor.role != Role.OWNER:
        raise OwnersOnly
    user, made_up = User.objects.filter(email=email.lower()).first(), ""
    if user is None:
        made_up = "" if password else secrets.token_urlsafe(12)
        user = User.objects.create_user(email, password or made_up, name=name)
    member = Membership.objects.select_for_update(of=("self",)).filter(user=user).first()
    if member is None:
        member = Membership.objects.create(organization=organization, user=user, role=role)
    elif member.is_active:
        raise AlreadyMember
    else:
        member.role, member.is_active = role, True
        member.save(update_fields=["role", "is_active"])
    if role != Role.VIEWER or capacity is not None:
        shape_agent(member, capacity=capacity, skills=skills or None)
    audit.record("member.invited", organization=organization, actor=actor, target=member, data={"role": role})
    return Invited(member, made_up)


@transaction.atomic
def change_member(
    pk: UUID,
    *,
    actor: Membership,
    name: str | None = None,
    role: str | None = None,
    is_active: bool | None = None,
    capacity: int | None = None,
    skills: Sequence[Mapping[str, Any]] | None = None,
) -> Membership:
    """Change what is given. Raises OwnersOnly, LastOwner, Membership.DoesNotExist."""
    # All owners are locked, so that two of them cannot retire each other at once.
    owners = list(
        Membership.objects.select_for_update(of=("self",))
        .filter(role=Role.OWNER, is_active=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    member = Membership.objects.select_for_update(of=("self",)).select_related("user").get(pk=pk)
    about_owner = Role.OWNER in (member.role, role) and any(v is not None for v in (name, role, is_active))
    if about_owner and actor.role != Role.OWNER:
        raise OwnersOnly
    leaves = is_active is False or role not in (None, Role.OWNER)
    if owners == [member.pk] and leaves:
        raise LastOwner
    changes = {"role": role, "is_active": is_active}
    changed = {key: value for key, value in changes.items() if value is not None}
    for key, value in changed.items():
        setattr(member, key, value)
    if changed:
        member.save(update_fields=list(changed))
    if name is not None:
        _rename(member.user, name)
    if capacity is not None or skills is not None:
        shape_agent(member, capacity=capacity, skills=skills)
    given = {"name": name, **changes, "capacity": capacity, "skills": skills}
    fields = sorted(key for key, value in given.items() if value is not None)
    audit.record(
        "member.updated",
        organization=member.organization,
        actor=actor,
        target=member,
        data={"fields": fields},
    )
    return member


def _rename(user: User, name: str) -> None:
    user.name = name
    user.save(update_fields=["name"])


def shape_agent(
    member: Membership, *, capacity: int | None = None, skills: Sequence[Mapping[str, Any]] | None = None
) -> AgentProfile:
    """Make a member an agent, or change how they work; `skills` [{"skill", "level"}] replaces all of them."""
    profile, _made = AgentProfile.objects.get_or_create(
        member=member, defaults={"organization_id": member.organization_id}
    )
    if capacity is not None:
        set_capacity(profile.pk, capacity)
    if skills is not None:
        profile.skills.all().delete()
        levels: dict[Skill, int] = {item["skill"]: item.get("level", 1) for item in skills}
        AgentSkill.objects.bulk_create(
            AgentSkill(organization_id=member.organization_id, agent=profile, skill=skill, level=level)
            for skill, level in levels.items()
        )
    call_router(member.organization_id, "agent changed")
    return profile


def set_capacity(profile_id: UUID, capacity: int) -> None:
    """Say how much an agent may have in hand. When it is lowered, what they had before is kept in mind."""
    is_lowered = Q(capacity__gt=capacity)
    AgentProfile.objects.filter(pk=profile_id).update(
        capacity=capacity,
        capacity_lowered_at=Case(When(is_lowered, then=ClockNow()), default=F("capacity_lowered_at")),
        capacity_before=Case(
            When(is_lowered, then=Greatest("capacity", "capacity_before")), default=F("capacity_before")
        ),
    )


@transaction.atomic
def set_presence(
    member_id: UUID,
    status: str,
    *,
    reason: BreakReason | None = None,
    is_automatic: bool = False,
    now: datetime,
) -> bool:
    """Say whether an agent is there, and keep the history; whether anything changed. Raises NoAgent.

    Doors use `conversations.attendance.set_presence`, which also asks what becomes of their conversations.
    """
    profile = AgentProfile.objects.select_for_update(no_key=True).filter(member_id=member_id).first()
    if profile is None:
        raise NoAgent
    reason = reason if status == AgentProfile.Presence.AWAY else None
    wanted = (status, reason.pk if reason else None, is_automatic)
    if (profile.presence, profile.break_reason_id, profile.is_automatic) == wanted:
        return False
    # Whoever waited for the lock may have asked for the time before the one who held it did.
    now = max(now, profile.presence_since + timedelta(microseconds=1))
    _end_span(profile, now)
    profile.presence, profile.break_reason, profile.is_automatic = status, reason, is_automatic
    profile.presence_since = now
    profile.save(update_fields=["presence", "break_reason", "is_automatic", "presence_since"])
    PresenceSpan.objects.create(**_as_span(profile))
    if status == AgentProfile.Presence.ONLINE:
        call_router(profile.organization_id, "agent online")
    return True


def _end_span(profile: AgentProfile, now: datetime) -> None:
    """A profile that never changed has no span yet: its first stretch is written down when it ends."""
    if not PresenceSpan.objects.filter(agent=profile, ended_at__isnull=True).update(ended_at=now):
        PresenceSpan.objects.create(**_as_span(profile), ended_at=now)


def _as_span(profile: AgentProfile) -> dict[str, Any]:
    return {
        "organization_id": profile.organization_id,
        "agent": profile,
        "presence": profile.presence,
        "break_reason_id": profile.break_reason_id,
        "is_automatic": profile.is_automatic,
        "began_at": profile.presence_since,
    }
