"""The log of an open conversation as people see it: bubbles, notes and ledger lines in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Case, OuterRef, Prefetch, Q, Subquery, When, prefetch_related_objects
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Membership
from accounts.roles import Action
from channels_hub.serving import PICTURES
from conversations import bot, laters, timeline
from conversations.models import (
    Attachment,
    Attempt,
    Conversation,
    ConversationQuerySet,
    Event,
    Message,
    Note,
    State,
)
from conversations.pages import RELATED, first_name, left_text, name_of, with_sla

PAGE = 40  # messages per page
MOST_LINES = 400  # ledger lines between two messages of a page

# by us before the call, by its answer, by a later status
SHUT = frozenset({"window_closed", "63016", "131047"})
REFUSALS = {
    "window_closed": gettext_lazy("The 24-hour window of this channel is closed."),
    "blocked": gettext_lazy("This contact is blocked."),
    "opted_out": gettext_lazy("This person asked not to receive messages any more."),
    "channel_inactive": gettext_lazy("The channel is switched off."),
    "no_address": gettext_lazy("There is no address to answer to."),
    "media_unsupported": gettext_lazy("This channel does not take this kind of file."),
    "template_unsupported": gettext_lazy("This channel has no template messages."),
}
# Codes we know how to put in plain words; others are shown as the platform gave them.
REASONS = {
    **REFUSALS,
    "expired": gettext_lazy("It grew too old before it could be sent."),
    "taken_over": gettext_lazy("Withdrawn: an agent took over."),
    "no_answer": gettext_lazy("The platform did not confirm it. It may have arrived."),
    "not_sent": gettext_lazy("The platform could not be reached."),
    "adapter_error": gettext_lazy("An error of ours while sending. It may have arrived."),
    "63016": gettext_lazy("The 24-hour window is closed: only approved template messages are delivered."),
    "63024": gettext_lazy("This number does not receive messages on this channel."),
    "63032": gettext_lazy("The person does not accept this message."),
    "21610": gettext_lazy("This person asked not to receive messages any more."),
    "21211": gettext_lazy("The number is not valid."),
    "21614": gettext_lazy("The number is not a mobile."),
    "30003": gettext_lazy("The phone is switched off or out of reach."),
    "30004": gettext_lazy("The carrier blocked the message."),
    "30005": gettext_lazy("The number does not exist."),
    "30006": gettext_lazy("A landline or an unreachable carrier."),
    "30007": gettext_lazy("The carrier took it for spam."),
    "30008": gettext_lazy("The carrier gave no reason."),
    "131026": gettext_lazy("The person cannot receive this message: no WhatsApp, or a very old one."),
    "131047": gettext_lazy("The 24-hour window is closed: only approved template messages are delivered."),
    "unreachable": gettext_lazy("This address cannot be reached."),
    "auth": gettext_lazy("The platform refused the channel's credentials."),
    "rate_limited": gettext_lazy("The platform took no more messages for now."),
    "retryable": gettext_lazy("The platform could not take it, several times in a row."),
    "content": gettext_lazy("The platform did not accept the content."),
    "permanent": gettext_lazy("The platform refused the message."),
}


@dataclass(frozen=True, slots=True)
class Tick:
    """How far an answer has come; the text is there for who cannot see the sign."""

    icon: str
    text: str
    css: str = ""


TICKS = {
    "pending": Tick("clock-pause", gettext_lazy("being sent")),
    "processing": Tick("clock-pause", gettext_lazy("being sent")),
    "retrying": Tick("history", gettext_lazy("trying again")),
    "queued": Tick("check", gettext_lazy("sent")),
    "sent": Tick("check", gettext_lazy("sent")),
    "delivered": Tick("checks", gettext_lazy("delivered")),
    "read": Tick("checks", gettext_lazy("read"), "rd"),
}
FAILED = {
    "failed": gettext_lazy("Not sent"),
    "expired": gettext_lazy("Not sent"),
    "cancelled": gettext_lazy("Withdrawn"),
    "unknown": gettext_lazy("Unconfirmed"),
}


@dataclass(frozen=True, slots=True)
class Media:
    kind: str  # image audio video file
    url: str
    name: str
    state: str
    size: int | None = None
    small: str = ""  # where the thumbnail is; of a small picture there is none


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the log: a bubble, a note, a ledger line or the bot's summary."""

    kind: str  # bubble note line summary
    id: str
    seq: float
    time: str
    day: str
    day_text: str
    css: str = ""
    icon: str = ""
    who: str = ""
    text: str = ""
    pk: UUID | None = None
    conversation: UUID | None = None
    tick: Tick | None = None
    broken: str = ""
    code: str = ""
    reason: str = ""
    can_retry: bool = False
    can_template: bool = False  # free text may not go, an approved template may
    unsure: bool = False  # nobody knows whether it arrived
    quote_who: str = ""
    quote: str = ""
    media: Sequence[Media] = ()
    fetching: bool = False
    options: Sequence[dict[str, Any]] = ()
    place: str = ""
    place_url: str = ""
    cards: Sequence[dict[str, str]] = ()
    facts: Sequence[tuple[str, str]] = ()
    first_unread: bool = False
    new_day: bool = False
    inbound: bool = False


@dataclass
class Reader:
    """Turns rows into items for one viewer."""

    conversation: Conversation
    member: Membership
    now: datetime
    zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        self.zone = ZoneInfo(self.member.organization.timezone)

    @cached_property
    def variables(self) -> list[tuple[str, str]]:
        """What the bot learned, as names and texts."""
        known = bot.variables_of(self.conversation)
        hidden = {
            name for name, value in known.items() if name.startswith("_") or value in (None, "", [], {})
        }
        return [(str(n), str(v)[:200]) for n, v in known.items() if n not in hidden | {"trigger"}]

    def stamp(self, at: datetime) -> dict[str, Any]:
        local = at.astimezone(self.zone)
        return {
            "time": local.strftime("%H:%M"),
            "day": local.date().isoformat(),
            "day_text": self._day(local),
        }

    def _day(self, local: datetime) -> str:
        today = self.now.astimezone(self.zone).date()
        if local.date() == today:
            return _("Today")
        if local.date() == today - timedelta(days=1):
            return _("Yesterday")
        return formats.date_format(local, "DATE_FORMAT")

    def bubble(self, message: Message, *, first_unread: bool = False) -> Item:
        media = [media_of(a.media) for a in message.attachments.all()] if message.kind not in PLAIN else []
        place, place_url = _place(message)
        return Item(
            kind="bubble",
            id=f"m-{message.client_id or message.pk}",
            seq=message.seq,
            **self.stamp(message.occurred_at if message.direction == "in" else message.created_at),
            css=_css(message),
            who=_who(message),
            text=message.text or (message.choice or {}).get("title", ""),
            pk=message.pk,
            conversation=message.conversation_id,
            **self._outcome(message),
            quote_who=_who(message.reply_to) or name_of(self.conversation) if message.reply_to else "",
            quote=(message.reply_to.text[:200] or _("Attachment")) if message.reply_to else "",
            media=media,
            fetching=any(m.state == "pending" for m in media),
            options=message.options,
            place=place,
            place_url=place_url,
            cards=[_card(card) for card in message.contacts],
            first_unread=first_unread,
            inbound=message.direction == "in",
        )

    def _outcome(self, message: Message) -> dict[str, Any]:
        if message.direction == Message.Direction.IN:
            return {}
        if message.status not in FAILED:
            return {"tick": TICKS.get(message.status)}
        code = message.error_code
        mine = self.conversation.assigned_agent_id == self.member.pk or self.member.may(Action.REPLAY)
        can_act = mine and self.member.may(Action.ANSWER) and message.status != "cancelled"
        shut = message.status == "failed" and not SHUT.isdisjoint((code, _class_of(message)))
        return {
            "broken": FAILED[message.status],
            "unsure": message.status == "unknown",
            "code": code if code not in REASONS or code.isdigit() else "",
            "reason": REASONS.get(code) or REASONS.get(_class_of(message)) or message.error_detail,
            "can_retry": can_act,
            "can_template": can_act and shut and self.conversation.assigned_agent_id == self.member.pk,
        }

    def note(self, note: Note) -> Item:
        text = _("Note · %(name)s") % {"name": note.author.name}
        return Item(
            "note", f"e-{note.seq}", note.seq, **self.stamp(note.created_at), who=text, text=note.text
        )

    def line(self, event: Event, story: timeline.Story) -> Item | None:
        told = timeline.line_of(event, story)
        if told is None:
            return None
        return Item(
            "line",
            f"e-{event.seq}",
            event.seq,
            **self.stamp(event.at),
            css=told.css,
            icon=told.icon,
            text=told.text,
        )

    def summary(self, event: Event) -> Item | None:
        """What the agent must know at a glance: why the bot gave up and what it learned."""
        c, extra = self.conversation, self.conversation.extra_data
        facts = [(_("Reason"), extra["handoff_context"])] if extra.get("handoff_context") else []
        facts += self.variables
        if hops := extra.get("overflow_history"):
            text = _("%(n)d time(s), now in %(queue)s") % {
                "n": len(hops), "queue": c.queue.name if c.queue else "–",
            }  # fmt: skip
            facts.append((_("Overflow"), text))
        if c.waited_seconds is not None and c.state != State.QUEUED:
            facts.append(
                (
                    _("Waited"),
                    left_text(timedelta(seconds=c.waited_seconds))
                    if c.waited_seconds >= 60
                    else _("less than a minute"),
                )
            )
        if not facts:
            return None
        return Item("summary", "bot-summary", event.seq + 0.5, **self.stamp(event.at), facts=facts)


PLAIN = frozenset({"text", "location", "contacts", "choice"})  # kinds without files


def _css(message: Message) -> str:
    side = "i2" if message.direction == Message.Direction.IN else "o"
    automatic = " auto" if message.sender in (Message.Sender.BOT, Message.Sender.SYSTEM) else ""
    return f"{side}{automatic}{' fail' if message.status in FAILED else ''}"


def _who(message: Message) -> str:
    match message.sender:
        case Message.Sender.BOT:
            return _("Bot")
        case Message.Sender.SYSTEM:
            return _("Automatic message")
        case Message.Sender.AGENT:
            return first_name(message.agent.name) if message.agent else _("Agent")
    return ""


def _class_of(message: Message) -> str:
    """How the last call of a broken message ended; read by `messages_of`."""
    return getattr(message, "ended", None) or ""


def _place(message: Message) -> tuple[str, str]:
    """A location as text and as a link to a map; only numbers reach the link."""
    where = message.location
    if not where:
        return "", ""
    latitude, longitude = float(where["latitude"]), float(where["longitude"])
    spot = f"{latitude:.6f}, {longitude:.6f}"
    url = f"https://www.openstreetmap.org/?mlat={latitude:.6f}&mlon={longitude:.6f}#map=17/{latitude:.6f}/{longitude:.6f}"
    return where.get("label") or spot, url


def _card(card: Any) -> dict[str, str]:
    """A contact card whatever shape the platform gave it."""
    if not isinstance(card, dict):
        return {"name": str(card)[:120], "phone": ""}
    name = card.get("name") or card.get("formatted_name") or ""
    if isinstance(name, dict):
        name = name.get("formatted_name", "")
    phones = card.get("phones") or []
    first = phones[0] if isinstance(phones, list) and phones else card.get("phone", "")
    phone = first.get("phone", "") if isinstance(first, dict) else first
    return {"name": str(name)[:120], "phone": str(phone)[:40]}


def media_of(media: Any) -> Media:
    kind = media.kind if media.kind in ("image", "audio", "video") else "file"
    if media.kind == "voice":
        kind = "audio"
    if media.kind == "sticker":
        kind = "image"
    if kind == "image" and media.state == "ok" and media.mime not in PICTURES:
        kind = "file"
    small = reverse("media-thumbnail", args=[media.pk]) if media.thumbnail else ""
    url, name = reverse("media", args=[media.pk]), media.filename or _("File")
    return Media(kind, url, name, media.state, media.size, small)


# ---------------------------------------------------------------- the log
@dataclass(frozen=True, slots=True)
class Log:
    items: Sequence[Item]
    earlier: int  # seq before which older messages exist, 0 at the beginning
    last_seq: int


def opened(visible: ConversationQuerySet) -> ConversationQuerySet:
    """Conversations with everything that the page of an open one shows."""
    found = with_sla(visible.select_related(*RELATED, "flow"))
    return laters.with_plans(bot.with_learned(found))


def messages_of(conversation: Conversation) -> Any:
    """With how the last call of each broken one ended: most codes are known to their platform only."""
    calls = Attempt.objects.filter(delivery__message=OuterRef("pk"), ended_at__isnull=False)
    ended = Subquery(calls.order_by("-ended_at").values("outcome")[:1])
    found = conversation.messages.annotate(ended=Case(When(status="failed", then=ended)))
    return found.select_related("agent__user", "reply_to__agent__user").order_by("-seq")


def with_files(messages: Iterable[Message]) -> list[Message]:
    """Read with their files, in one statement; where there is only text, in none."""
    found = list(messages)
    files = Prefetch("attachments", Attachment.objects.select_related("media"))
    prefetch_related_objects([m for m in found if m.kind not in PLAIN], files)
    return found


def log(reader: Reader, *, before: int | None = None) -> Log:
    """The last page of messages with everything that happened between them, oldest first."""
    conversation = reader.conversation
    found = messages_of(conversation)
    if before is not None:
        found = found.filter(seq__lt=before)
    page = with_files(found[: PAGE + 1])
    earlier = page[PAGE - 1].seq if len(page) > PAGE else 0
    messages = page[:PAGE]
    span = Q(seq__gte=earlier)
    if before is not None:
        span &= Q(seq__lt=before)
    events = ledger(conversation, span)
    unread = _first_unread(conversation, messages) if before is None else 0
    items = [reader.bubble(m, first_unread=m.seq == unread) for m in messages]
    items += others(reader, events, newest=before is None, floor=earlier)
    items.sort(key=lambda item: item.seq)
    return Log(_with_days(items), earlier, conversation.seq)


def ledger(conversation: Conversation, span: Q) -> list[Event]:
    told = [*timeline.TELLERS, "note"]
    rows = conversation.events.filter(span, type__in=told).select_related("actor__user")
    return list(rows.order_by("-seq")[:MOST_LINES])[::-1]


def others(reader: Reader, events: Sequence[Event], *, newest: bool, floor: float = 0) -> list[Item]:
    """Everything in the log that is no message. `newest`: these are the latest lines of the conversation."""
    story = story_of(reader, events if newest else ())
    lines = [reader.line(event, story) for event in events]
    noted = [event.seq for event in events if event.type == "note"]
    if noted:
        notes = reader.conversation.notes.filter(seq__in=noted).select_related("author__user")
        lines += [reader.note(note) for note in notes]
    if newest and (card := summary_of(reader, events, floor)):
        lines.append(card)
    return [line for line in lines if line]


def story_of(reader: Reader, events: Sequence[Event]) -> timeline.Story:
    """A line that names nobody can still be told when it is the latest of its kind."""
    gifts = [e.seq for e in events if e.type in timeline.GIVES]
    lines_up = [e.seq for e in events if e.type in timeline.LINES_UP]
    return timeline.Story(
        reader.conversation, reader.member.pk, max(gifts, default=0), max(lines_up, default=0)
    )


def summary_of(reader: Reader, events: Sequence[Event], floor: float) -> Item | None:
    """The bot's summary stands where people took over, or on top when that is further back."""
    if reader.conversation.handoff_at is None:
        return None
    handed = next((e for e in events if e.type in timeline.HANDS_OVER), None)
    return reader.summary(handed or Event(seq=floor, at=reader.conversation.handoff_at))


def _first_unread(conversation: Conversation, messages: Sequence[Message]) -> int:
    inbound = [m.seq for m in messages if m.direction == Message.Direction.IN][: conversation.unread]
    return inbound[-1] if inbound else 0


def _with_days(items: list[Item]) -> list[Item]:
    """Mark the first item of each day."""
    day, marked = "", []
    for item in items:
        if item.day != day:
            values = {name: getattr(item, name) for name in Item.__dataclass_fields__}
            item = Item(**{**values, "new_day": True})
            day = item.day
        marked.append(item)
    return marked
