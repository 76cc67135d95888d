"""One open conversation as people see it: bubbles, notes and ledger lines in order, and what may be done now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.urls import reverse
from django.utils import formats
from django.utils.translation import get_language_info
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as lazy

from accounts.models import Membership
from accounts.roles import Action
from conversations import bot, timeline
from conversations.can_send import can_send
from conversations.models import Conversation, Event, Message, Note, State
from conversations.pages import (
    Chip,
    channel_icon,
    first_name,
    initials,
    left_text,
    name_of,
    phone_text,
    window_chip,
)

PAGE = 40  # messages per page
MOST_LINES = 400  # ledger lines between two messages of a page
INLINE_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})

REFUSALS = {
    "window_closed": lazy("The 24-hour window of this channel is closed."),
    "blocked": lazy("This contact is blocked."),
    "opted_out": lazy("This person asked not to receive messages any more."),
    "channel_inactive": lazy("The channel is switched off."),
    "no_address": lazy("There is no address to answer to."),
}
# Codes we know how to put in plain words; others are shown as the platform gave them.
REASONS = {
    **REFUSALS,
    "expired": lazy("It grew too old before it could be sent."),
    "taken_over": lazy("Withdrawn: an agent took over."),
    "no_answer": lazy("The platform did not confirm it. It may have arrived."),
    "not_sent": lazy("The platform could not be reached."),
    "adapter_error": lazy("An error of ours while sending. It may have arrived."),
    "63016": lazy("The 24-hour window is closed: only approved template messages are delivered."),
    "63024": lazy("This number does not receive messages on this channel."),
    "63032": lazy("The person does not accept this message."),
    "21610": lazy("This person asked not to receive messages any more."),
    "21211": lazy("The number is not valid."),
    "21614": lazy("The number is not a mobile."),
    "30003": lazy("The phone is switched off or out of reach."),
    "30004": lazy("The carrier blocked the message."),
    "30005": lazy("The number does not exist."),
    "30006": lazy("A landline or an unreachable carrier."),
    "30007": lazy("The carrier took it for spam."),
    "30008": lazy("The carrier gave no reason."),
    "131026": lazy("The person cannot receive this message: no WhatsApp, or a very old one."),
    "131047": lazy("The 24-hour window is closed: only approved template messages are delivered."),
    "unreachable": lazy("This address cannot be reached."),
    "content": lazy("The platform did not accept the content."),
    "permanent": lazy("The platform refused the message."),
}


@dataclass(frozen=True, slots=True)
class Tick:
    """How far an answer has come; the text is there for who cannot see the sign."""

    icon: str
    text: str
    css: str = ""


TICKS = {
    "pending": Tick("clock-pause", lazy("being sent")),
    "processing": Tick("clock-pause", lazy("being sent")),
    "retrying": Tick("history", lazy("trying again")),
    "queued": Tick("check", lazy("sent")),
    "sent": Tick("check", lazy("sent")),
    "delivered": Tick("checks", lazy("delivered")),
    "read": Tick("checks", lazy("read"), "rd"),
}
FAILED = {
    "failed": lazy("Not sent"),
    "expired": lazy("Not sent"),
    "cancelled": lazy("Withdrawn"),
    "unknown": lazy("Unconfirmed"),
}


@dataclass(frozen=True, slots=True)
class Media:
    kind: str  # image audio video file
    url: str
    name: str
    state: str


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


@dataclass(frozen=True, slots=True)
class Composer:
    """What the foot of the thread offers; `mode` changes exactly when the foot must be drawn anew."""

    mode: str  # reply, unable, queued, bot, other, pending, closed, read_only
    text: str = ""
    hint: str = ""
    can_note: bool = False


@dataclass(frozen=True, slots=True)
class Rights:
    """What this member may do with this conversation now."""

    claim: bool = False
    take_over: bool = False
    transfer: bool = False
    release: bool = False
    close: bool = False


@dataclass(slots=True)
class Reader:
    """Turns rows into items for one viewer."""

    conversation: Conversation
    member: Membership
    now: datetime
    zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        self.zone = ZoneInfo(self.member.organization.timezone)

    def stamp(self, at: datetime) -> dict[str, str]:
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
        return {
            "broken": FAILED[message.status],
            "unsure": message.status == "unknown",
            "code": code if code not in REASONS or code.isdigit() else "",
            "reason": REASONS.get(code) or message.error_detail,
            "can_retry": mine and self.member.may(Action.ANSWER) and message.status != "cancelled",
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
        facts += variable_facts(c)
        if hops := extra.get("overflow_history"):
            text = _("full %(n)d time(s), now in %(queue)s") % {
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
    if kind == "image" and media.state == "ok" and media.mime not in INLINE_IMAGES:
        kind = "file"
    return Media(kind, reverse("media", args=[media.pk]), media.filename or _("File"), media.state)


def variable_facts(conversation: Conversation) -> list[tuple[str, str]]:
    """What the bot learned, as names and texts."""
    if not hasattr(conversation, "known_variables"):
        conversation.known_variables = dict(bot.variables_of(conversation))
    return [
        (str(name), str(value)[:200])
        for name, value in conversation.known_variables.items()
        if value not in (None, "", [], {}) and not str(name).startswith("_") and name != "trigger"
    ]


# ---------------------------------------------------------------- the log
@dataclass(frozen=True, slots=True)
class Log:
    items: Sequence[Item]
    earlier: int  # seq before which older messages exist, 0 at the beginning
    last_seq: int


def messages_of(conversation: Conversation) -> Any:
    return (
        conversation.messages.select_related("agent__user", "reply_to__agent__user")
        .prefetch_related("attachments__media")
        .order_by("-seq")
    )


def log(reader: Reader, *, before: int | None = None) -> Log:
    """The last page of messages with everything that happened between them, oldest first."""
    conversation = reader.conversation
    found = messages_of(conversation)
    if before is not None:
        found = found.filter(seq__lt=before)
    page = list(found[: PAGE + 1])
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


# ---------------------------------------------------------------- around the log
def rights_of(c: Conversation, member: Membership) -> Rights:
    if not member.may(Action.ANSWER) or c.state == State.CLOSED:
        return Rights()
    mine = c.assigned_agent_id == member.pk
    leads = member.may(Action.ASSIGN)
    return Rights(
        claim=c.state == State.QUEUED,
        take_over=not mine and c.state != State.QUEUED and member.may(Action.TAKE_OVER),
        transfer=(mine or leads) and c.state in (State.QUEUED, State.HUMAN_HANDOFF),
        release=(mine or leads) and c.state in (State.QUEUED, State.HUMAN_HANDOFF),
        close=mine or leads,
    )


def composer_of(c: Conversation, member: Membership, now: datetime) -> Composer:
    """Write, or the sentence that says why not and what to do."""
    if not member.may(Action.ANSWER):
        return Composer("read_only", _("You can read this conversation, not answer in it."))
    match c.state:
        case State.QUEUED:
            return Composer("queued", _("This conversation is waiting. Take it to answer."), can_note=True)
        case State.BOT:
            return Composer("bot", _("The bot is talking with this person."), can_note=True)
        case State.PENDING:
            return Composer("pending", _("No flow and no queue receives this channel yet."), can_note=True)
        case State.CLOSED:
            text = _("This conversation is closed. The next message of the customer opens a new one.")
            return Composer("closed", text, can_note=True)
    if c.assigned_agent_id != member.pk:
        text = _("%(name)s is answering this conversation.") % {"name": c.assigned_agent.name}
        return Composer("other", text, can_note=True)
    verdict = can_send(c, human=True, now=now)
    if verdict.ok:
        return Composer("reply", can_note=True)
    hint = ""
    if verdict.code == "window_closed":
        hint = _(
            "Until the customer writes again, only template messages that the platform has approved may be sent."
        )
    return Composer("unable", str(REFUSALS.get(verdict.code, verdict.code)), hint, can_note=True)


def panel_of(c: Conversation, reader: Reader) -> dict[str, Any]:
    """The contact beside the thread: who it is, what the bot learned, what was before."""
    before = (
        Conversation.objects.filter(contact_id=c.contact_id)
        .exclude(pk=c.pk)
        .select_related("queue", "channel")
        .order_by("-created_at")[:5]
    )
    return {
        "address": phone_text(c.identity.value) if c.identity else "",
        "language": _language(c.contact.language),
        "local_time": reader.now.astimezone(reader.zone).strftime("%H:%M"),
        "variables": variable_facts(c),
        "own_fields": [(str(k), str(v)[:200]) for k, v in c.contact.fields.items()],
        "previous": [
            {
                "pk": old.pk,
                "date": formats.date_format(old.created_at.astimezone(reader.zone), "d/m/y"),
                "text": old.queue.name if old.queue else _("bot only"),
                "state": old.get_state_display(),
            }
            for old in before
        ],
    }


def _language(code: str) -> str:
    if not code:
        return ""
    try:
        return get_language_info(code.lower().replace("_", "-"))["name_local"].capitalize()
    except KeyError:
        return code


def header_of(c: Conversation, member: Membership, now: datetime) -> dict[str, Any]:
    name = name_of(c)
    verdict = can_send(c, human=True, now=now)
    chips: list[Chip] = []
    if c.state == State.QUEUED and c.queue:
        chips.append(Chip("warn", "clock-pause", c.queue.name))
    elif c.state == State.BOT:
        chips.append(Chip("info", "robot", _("Bot")))
    elif c.state == State.HUMAN_HANDOFF and c.assigned_agent_id != member.pk:
        chips.append(Chip("info", "user-plus", c.assigned_agent.name))
    elif c.state == State.CLOSED:
        chips.append(Chip("", "circle-check", _("Closed")))
    if c.state != State.CLOSED and (chip := window_chip(verdict.window, now)):
        chips.append(chip)
    return {
        "name": name,
        "initials": initials(name),
        "hue": c.contact_id.int % 8,
        "address": phone_text(c.identity.value) if c.identity else "",
        "channel": c.channel.name,
        "channel_icon": channel_icon(c.channel.kind),
        "chips": chips,
    }


def context_of(c: Conversation, member: Membership, now: datetime) -> dict[str, Any]:
    """Everything that the templates of an open conversation need."""
    reader = Reader(c, member, now)
    return {
        "conversation": c,
        "log": log(reader),
        "head": header_of(c, member, now),
        "composer": composer_of(c, member, now),
        "rights": rights_of(c, member),
        "panel": panel_of(c, reader),
        "mine": c.assigned_agent_id == member.pk,
    }
