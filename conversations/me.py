"""The person at the foot of the rail: their presence, what the menu offers, what the desk tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from accounts.models import Membership
from conversations import offers
from conversations.attendance import presence_before
from queues.models import AgentProfile, BreakReason

Presence = AgentProfile.Presence


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of the menu; `value` is what its button sends."""

    value: str
    dot: str
    text: str
    checked: bool


@dataclass(frozen=True, slots=True)
class Me:
    """An agent's presence as their pages show it; `stamp` changes with every change."""

    presence: str
    text: str
    since: datetime
    stamp: str
    choices: Sequence[Choice]
    breaks: Sequence[Choice]
    told: str = ""  # why the desk set them away or offline
    back_to: str = ""


def on_the_rail(request: HttpRequest) -> dict[str, Any]:
    """Context of every page: `presence`, read only where a rail is drawn; empty for who is no agent."""
    member = getattr(request, "member", None)
    return {"presence": SimpleLazyObject(lambda: shown(member.agent) if hasattr(member, "agent") else None)}


def me_of(member: Membership) -> Me | None:
    """As it is in the database now. None for who does not work as an agent."""
    rows = AgentProfile.objects.select_related("break_reason")
    profile = rows.filter(member_id=member.pk).first()
    return shown(profile) if profile else None


def shown(profile: AgentProfile) -> Me:
    breaks = _breaks(profile)
    chosen = [one.text for one in breaks if one.checked] or [texts()[profile.presence]]
    told = _told(profile) if profile.is_automatic else ""
    return Me(
        presence=profile.presence,
        text=chosen[0],
        since=profile.presence_since,
        stamp=stamp_of(profile.presence_since),
        choices=[
            Choice(value, value, texts()[value], profile.presence == value)
            for value in (Presence.ONLINE, Presence.BUSY, Presence.OFFLINE)
        ],
        breaks=breaks,
        told=told,
        back_to=presence_before(profile) if told else "",
    )


def texts() -> dict[str, str]:
    """Presences as agents call their own."""
    return {
        Presence.ONLINE: _("Available"),
        Presence.BUSY: _("Busy"),
        Presence.AWAY: _("On a break"),
        Presence.OFFLINE: _("Offline"),
    }


def stamp_of(since: datetime) -> str:
    return str(int(since.timestamp() * 10**6))


def _breaks(profile: AgentProfile) -> list[Choice]:
    """The reasons of the desk, and the one that is chosen even when it is offered no more."""
    away = profile.presence == Presence.AWAY
    reasons = list(BreakReason.objects.filter(is_active=True).order_by("name"))
    if profile.break_reason and profile.break_reason not in reasons:
        reasons.append(profile.break_reason)
    found = [Choice(f"away:{r.pk}", "away", r.name, away and r == profile.break_reason) for r in reasons]
    return found or [Choice("away", "away", _("Break"), away)]


def _told(profile: AgentProfile) -> str:
    if profile.presence == Presence.OFFLINE:
        return _("You were set offline because no page of yours was open. Your conversations went back.")
    if offers.were_let_pass(profile):
        return _("You were set away because you let the last conversations offered to you pass.")
    return _("You were set away because there was no activity for a while.")
