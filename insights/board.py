"""The queue board: a column per queue, a card per waiting conversation, first in line on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _

from accounts.models import Membership
from accounts.roles import Action
from conversations import pages
from conversations.models import Conversation, Offer, State
from conversations.pages import Chip, clock_text
from insights import people, reads
from insights.floor import Floor, Line, Look
from insights.heads import Head
from insights.shown import count_text
from queues.models import Priority

MOST, FEWEST, IN_ALL = 50, 5, 300  # cards of a column, and of a board; the rest is counted
CARD = "insights/_card.html"
LOUD = {Priority.URGENT: "bad", Priority.HIGH: "warn", Priority.LOW: ""}  # normal needs no chip


@dataclass(frozen=True, slots=True)
class Card:
    """One waiting conversation."""

    pk: UUID
    url: str
    name: str
    icon: str
    channel: str
    priority: int
    chips: Sequence[Chip]
    offered_to: str

    @property
    def stable(self) -> Card:
        """Without the text of its clocks, which run by themselves."""
        chips = [replace(chip, text="") if chip.since or chip.until else chip for chip in self.chips]
        return replace(self, chips=tuple(chips))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Head):
    """One queue with the head of its line."""

    key: str
    sort: str
    closed: str
    cards: Sequence[str]
    more: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What the viewers of a look may do on the board; the verbs ask again."""

    take: bool
    lead: bool

    @classmethod
    def of(cls, viewer: Look | Membership) -> Rights:
        return cls(take=viewer.may(Action.ANSWER), lead=viewer.may(Action.ASSIGN))


def parts(look: Look, memory: reads.Memory) -> tuple[str, dict[str, dict[str, Any]]]:
    """The cursor, and what each part of the page shows. Nine statements."""
    floor = Floor(look, memory, cards=cards_of_each)
    rights = Rights.of(look)
    cards = _cards(floor, rights, memory)
    columns = [_column(number, line, floor, cards) for number, line in enumerate(floor.lines)]
    found: dict[str, dict[str, Any]] = {"agents": {"agents": people.agents_of(floor)}}
    for column in columns:
        found[column.key] = {"column": column, "rights": rights, "priorities": PRIORITIES}
    return floor.cursor, found


PRIORITIES = tuple(reversed(Priority.choices))


def cards_of_each(columns: int) -> int:
    """Many queues show fewer cards each: the page stays of one size."""
    return min(MOST, max(FEWEST, IN_ALL // max(1, columns)))


# ---------------------------------------------------------------- columns
def _column(number: int, line: Line, floor: Floor, cards: dict[UUID, str]) -> Column:
    shown = [cards[pk] for pk in line.waiting.first if pk in cards]
    rest = line.waiting.count - len(line.waiting.first)
    return Column.of(
        line,
        floor,
        key=f"col-{line.queue.pk}",
        sort=f"{number:04d}",
        closed=_closed(line, floor),
        cards=shown,
        more=count_text(rest) if rest > 0 else "",
    )


def _closed(line: Line, floor: Floor) -> str:
    """Why the queue serves nobody now, and until when; empty while it is open."""
    if not line.queue.is_active:
        return _("switched off")
    if line.facts.is_open:
        return ""
    opens = line.facts.opens_at
    if opens is None:
        return _("closed")
    local = opens.astimezone(floor.zone)
    days = (local.date() - floor.midnight.date()).days
    when = formats.date_format(local, "H:i" if days == 0 else "D H:i" if days < 7 else "SHORT_DATE_FORMAT")
    return _("closed, opens %s") % when


# ---------------------------------------------------------------- cards
def _cards(floor: Floor, rights: Rights, memory: reads.Memory) -> dict[UUID, str]:
    """The cards as HTML; one that shows what it showed a moment ago is not rendered again."""
    ids = [pk for queue in floor.queues for pk in floor.waiting[queue.pk].first]
    before, memory.cards = memory.cards, {}
    found = {}
    for card in (_card(c, floor.now) for c in waiting_cards(ids)):
        stable = card.stable
        html = before.get(stable) or render_to_string(CARD, {"card": card, "rights": rights})
        found[card.pk] = memory.cards[stable] = html
    return found


def waiting_cards(ids: Sequence[UUID]) -> QuerySet[Conversation]:
    """What a card shows, in one statement."""
    offers = Offer.objects.filter(conversation=OuterRef("pk"), outcome=Offer.Outcome.OPEN)
    waiting = Conversation.objects.filter(pk__in=ids, state=State.QUEUED)
    rows = pages.with_sla(waiting.select_related("contact", "channel", "identity"))
    return rows.annotate(offered_to=Subquery(offers.values("agent__user__name")[:1]))


def _card(c: Any, now: datetime) -> Card:
    """A conversation as `waiting_cards` reads it."""
    promised = pages.sla_chip(c, now)
    return Card(
        pk=c.pk,
        url=reverse("inbox-thread", args=[c.pk]),
        name=pages.name_of(c),
        icon=pages.channel_icon(c.channel.kind),
        channel=c.channel.name,
        priority=c.queue_priority,
        chips=(_waited(c, now), *_urgency(c), *([promised] if promised else [])),
        offered_to=c.offered_to or "",
    )


def _waited(c: Conversation, now: datetime) -> Chip:
    """How long it waits; when its promise is broken or near, the chip of the promise says so louder."""
    return Chip("", "clock-pause", clock_text(now - c.queued_at), since=c.queued_at.isoformat())


def _urgency(c: Conversation) -> list[Chip]:
    if c.queue_priority not in LOUD:
        return []
    priority = Priority(c.queue_priority)
    return [Chip(LOUD[priority], "", str(priority.label))]
