"""What is on offer to an agent: the cards on top of their list, and whether they let offers pass.

An offer is made, refused and ended by `router` and `stays`; here it is only read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from accounts.models import Membership
from accounts.roles import Action
from conversations import pages
from conversations.models import Conversation, Offer
from conversations.pages import Chip
from queues.models import AgentProfile, PresenceSpan, Priority

ENDED = frozenset({"offer_declined", "offer_timed_out", "offer_withdrawn"})  # lines of the ledger
PASSED = 2  # so many offers in a row without an answer mean that nobody is there
LOUD: dict[int, str] = {Priority.HIGH: "warn", Priority.URGENT: "bad"}


@dataclass(frozen=True, slots=True)
class Card:
    """An offer as the agent sees it; `pk` is the conversation's."""

    pk: UUID
    name: str
    initials: str
    hue: int
    channel: str
    channel_icon: str
    chips: Sequence[Chip]
    preview: str
    expires: str
    now: str  # the server's clock when this was read: the page counts the difference down
    left: str
    said: str  # what is read aloud when it comes


def open_to(member: Membership, now: datetime) -> QuerySet[Offer]:
    """What the member may accept now, what runs out first on top."""
    if not member.may(Action.ANSWER):
        return Offer.objects.none()
    rows = Offer.objects.filter(agent=member, outcome=Offer.Outcome.OPEN, expires_at__gt=now)
    shown = ("conversation__contact", "conversation__channel", "conversation__identity", "queue")
    return rows.select_related(*shown).order_by("expires_at", "pk")


def cards(member: Membership, now: datetime) -> list[Card]:
    return [_card(offer, now) for offer in open_to(member, now)]


def was_made_to(member: Membership, pk: UUID) -> bool:
    """Whether a conversation is or was on offer to them: who missed it may be told who has it."""
    return Offer.objects.filter(agent=member, conversation_id=pk).exists()


def are_changed(member: Membership, touched: Collection[UUID], ended: Collection[UUID]) -> bool:
    """Whether what happened to these conversations changes the member's cards.

    `ended` are those whose offer may have ended just now: such a one is no longer open.
    """
    still_open = Q(conversation__in=touched, outcome=Offer.Outcome.OPEN)
    return Offer.objects.filter(still_open | Q(conversation__in=ended), agent=member).exists()


def let_pass(member: Membership) -> bool:
    """Whether nobody answered the last offers to an agent since they became available."""
    since = AgentProfile.objects.filter(member=member).values("presence_since")
    return _passed(Offer.objects.filter(agent=member, offered_at__gte=Subquery(since)))


def were_let_pass(profile: AgentProfile) -> bool:
    """Whether that is why the desk set them away: asked of the presence that ended when this one began."""
    before = PresenceSpan.objects.filter(agent=profile, ended_at=profile.presence_since).values("began_at")
    made = Offer.objects.filter(agent=profile.member_id, offered_at__lt=profile.presence_since)
    return _passed(made.filter(offered_at__gte=Subquery(before[:1])))


def _passed(made: QuerySet[Offer]) -> bool:
    answered = made.exclude(outcome__in=[Offer.Outcome.OPEN, Offer.Outcome.WITHDRAWN])
    last = list(answered.order_by("-answered_at", "-pk").values_list("outcome", flat=True)[:PASSED])
    return last == [Offer.Outcome.TIMED_OUT] * PASSED


def _card(offer: Offer, now: datetime) -> Card:
    c = offer.conversation
    name, seconds = pages.name_of(c), max(0, round((offer.expires_at - now).total_seconds()))
    said = _("Offered to you: %(name)s, queue %(queue)s. %(seconds)s seconds to accept.")
    return Card(
        pk=c.pk,
        name=name,
        initials=pages.initials(name),
        hue=c.contact_id.int % pages.HUES,
        channel=c.channel.name,
        channel_icon=pages.channel_icon(c.channel.kind),
        chips=[Chip("", "", offer.queue.name), _priority(c)],
        preview=pages.preview_of(c.preview),
        expires=offer.expires_at.isoformat(),
        now=now.isoformat(),
        left=pages.clock_text(offer.expires_at - now),
        said=said % {"name": name, "queue": offer.queue.name, "seconds": seconds},
    )


def _priority(c: Conversation) -> Chip:
    text = _("Priority: %(priority)s") % {"priority": c.get_queue_priority_display()}
    return Chip(LOUD.get(c.queue_priority, ""), "", text)
