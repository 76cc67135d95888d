"""The inbox list as people see it: tabs, rows and their chips, in a constant number of queries.

Everything is formatted here, so that the templates only place it: page and live frames render the same row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Value, When
from django.urls import reverse
from django.utils import formats
from django.utils.translation import gettext as _

from accounts.clock import ClockNow
from accounts.models import Membership
from channels_hub.contract import WindowMode
from contacts.models import Identity
from conversations import promises
from conversations.can_send import window_of
from conversations.gate import Window
from conversations.models import OPEN_STATES, Conversation, ConversationQuerySet, Event, Message, State
from queues.models import AgentProfile, Department, Queue

PAGE = 30
TABS = ("mine", "queue", "all")
LONGEST_SEARCH = 80
SOON = timedelta(hours=2)  # from here on the list warns that the 24 h window closes
RESTS = Case(
    When(Q(snoozed_until__isnull=False) | Q(held_at__isnull=False), then=Value(1)),
    default=Value(0),
    output_field=IntegerField(),
)
RELATED = ("contact", "channel", "queue", "identity", "assigned_agent__user")
CHANNEL_ICONS = {
    "phone": "phone-call",
    "twilio_whatsapp": "brand-whatsapp",
    "whatsapp_cloud": "brand-whatsapp",
    "telegram": "brand-telegram",
    "instagram": "brand-instagram",
    "messenger": "messages",
}
HUES = 8  # avatar colours, classes c0..c7 of the style sheet


@dataclass(frozen=True, slots=True)
class View:
    """Which conversations the list shows."""

    tab: str = "mine"
    q: str = ""
    only: str = ""  # what an alert is about: late, late:<department>, queue:<id> ... as in `narrowed`

    @classmethod
    def of(cls, tab: str, q: str = "", only: str = "") -> View:
        known = tab if tab in TABS else "mine"
        return cls(known, q.replace("\x00", "").strip()[:LONGEST_SEARCH], _known(only))


def _known(only: str) -> str:
    """The filter of an address, or none when it is not one of ours."""
    of_desk = re.fullmatch(r"(late|attention)(:[-\w]{1,60})?|unhandled", only)
    of_one = re.fullmatch(r"(queue|agent):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", only)
    return only if of_desk or of_one else ""


@dataclass(frozen=True, slots=True)
class Chip:
    css: str
    icon: str
    text: str
    since: str = ""  # counts up from here, in the page
    until: str = ""  # counts down to here
    label: str = ""  # stands before a time that counts
    over: str = ""  # what it says when a time that counts down is over; empty: the window is closed


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the list."""

    pk: UUID
    url: str
    name: str
    initials: str
    hue: int
    channel_icon: str
    channel: str
    time: str
    moment: str
    speaker: str
    preview: str
    unread: int
    chips: Sequence[Chip]
    sort: str  # the page keeps rows in descending order of it
    key: str  # where the next page of the list begins


# ---------------------------------------------------------------- which
def listed(visible: ConversationQuerySet, member: Membership, view: View) -> ConversationQuerySet:
    """The conversations of a tab, in its order. A search looks into closed ones too, except in the queue."""
    found = narrowed(with_sla(visible.select_related(*RELATED)), view.only)
    if view.tab == "queue":
        found = found.filter(state=State.QUEUED).order_by("-queue_priority", "queued_at", "id")
    else:
        found = found.order_by("-last_message_at", "-id")
        if view.tab == "mine":
            # What rests is still theirs: it stands below what can be worked on.
            found = found.filter(assigned_agent=member).annotate(rests=RESTS)
            found = found.order_by("rests", "-last_message_at", "-id")
        if not view.q:
            found = found.filter(state__in=OPEN_STATES)
    return found.filter(_matches(view.q)) if view.q else found


def words_of(only: str) -> str:
    """What the list is narrowed to, for people."""
    word, _colon, value = only.partition(":")
    match word:
        case "queue":
            return _name(Queue.objects.filter(pk=value).first())
        case "agent":
            agent = AgentProfile.objects.select_related("member__user").filter(member=value).first()
            return _name(agent and agent.member)
    texts = {
        "late": _("SLA missed"),
        "attention": _("Calls for a supervisor"),
        "unhandled": _("Nobody handles it"),
    }
    place = _name(Department.objects.filter(slug=value).first()) if value else ""
    return " · ".join(text for text in (texts[word], place) if text)


def _name(row: Any) -> str:
    return row.name if row else "–"


def narrowed(found: ConversationQuerySet, only: str) -> ConversationQuerySet:
    """What an alert of the wall counts, or what one queue or one agent has."""
    word, _colon, value = only.partition(":")
    match word:
        case "queue":
            return found.filter(queue_id=value)
        case "agent":
            return found.filter(assigned_agent_id=value)
        case "unhandled":
            return found.filter(state=State.PENDING)
        case "late":
            found = found.filter(sla_breached_at__isnull=False)
        case "attention":
            found = found.filter(pk__in=_calls_for_help(), state__in=(State.QUEUED, State.HUMAN_HANDOFF))
    return found.filter(queue__department__slug=value) if value else found


def _calls_for_help() -> QuerySet[Any, Any]:
    """Conversations that called for a supervisor within a day, and nothing happened in them since."""
    calls = Event.objects.filter(type="attention", at__gte=ClockNow() - timedelta(days=1))
    quiet = Q(conversation__last_activity_at__isnull=True) | Q(at__gt=F("conversation__last_activity_at"))
    return calls.filter(quiet).values("conversation")


def with_sla(found: ConversationQuerySet) -> ConversationQuerySet:
    """With what `sla_chip` shows: when the nearest promise ends."""
    return found.annotate(sla_due=promises.next_due(OuterRef("pk")))


def _matches(q: str) -> Q:
    known = Q(contact__name__icontains=q) | Q(preview__icontains=q)
    digits = re.sub(r"\D", "", q)
    address = Q(value__icontains=digits if len(digits) >= 4 else q)
    return known | Q(Exists(Identity.objects.filter(address, contact=OuterRef("contact"))))


def after(found: ConversationQuerySet, view: View, key: str) -> ConversationQuerySet:
    """What comes behind a row in this order; an unreadable key gives the first page."""
    try:
        if view.tab == "queue":
            priority, when, pk = key.split("~")
            first, at, pk_ = int(priority), _moment(when), UUID(pk)
            return found.filter(
                Q(queue_priority__lt=first)
                | Q(queue_priority=first, queued_at__gt=at)
                | Q(queue_priority=first, queued_at=at, pk__gt=pk_)
            )
        rests, when, pk = key.split("~")
        at = _moment(when)
        later = Q(last_message_at__lt=at) | Q(last_message_at=at, pk__lt=UUID(pk))
        if view.tab == "mine":
            at_rest = int(rests == "1")
            return found.filter(Q(rests__gt=at_rest) | Q(later, rests=at_rest))
        return found.filter(later)
    except (ValueError, OverflowError):
        return found


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) // 10**6, UTC) + timedelta(microseconds=int(text) % 10**6)


def _micros(moment: datetime | None) -> int:
    if moment is None:
        return 0
    return int(moment.timestamp()) * 10**6 + moment.microsecond


def counts(visible: ConversationQuerySet, member: Membership) -> dict[str, int]:
    """How many open conversations each tab holds."""
    return (
        visible.filter(state__in=OPEN_STATES)
        .order_by()
        .aggregate(
            mine=Count("pk", filter=Q(assigned_agent=member)),
            queue=Count("pk", filter=Q(state=State.QUEUED)),
            all=Count("pk"),
        )
    )


@dataclass(frozen=True, slots=True)
class Listing:
    rows: Sequence[Row]
    more: str  # key of the next page, empty at the end


def listing(
    visible: ConversationQuerySet, member: Membership, view: View, now: datetime, *, key: str = ""
) -> Listing:
    """One page of the list. One query."""
    found = listed(visible, member, view)
    if key:
        found = after(found, view, key)
    page = list(found[: PAGE + 1])
    rows = rows_of(page[:PAGE], member, view, now)
    return Listing(rows, rows[-1].key if len(page) > PAGE else "")


# ---------------------------------------------------------------- how a row looks
def rows_of(found: Iterable[Conversation], member: Membership, view: View, now: datetime) -> list[Row]:
    zone = ZoneInfo(member.organization.timezone)
    return [row_of(conversation, member, view, now, zone) for conversation in found]


def row_of(c: Conversation, member: Membership, view: View, now: datetime, zone: ZoneInfo) -> Row:
    name = name_of(c)
    at = c.last_message_at or c.created_at
    return Row(
        pk=c.pk,
        url=reverse("inbox-thread", args=[c.pk]),
        name=name,
        initials=initials(name),
        hue=c.contact_id.int % HUES,
        channel_icon=channel_icon(c.channel.kind),
        channel=c.channel.name,
        time=short_time(at, now, zone),
        moment=at.isoformat(),
        speaker=_speaker(c, member),
        preview=preview_of(c.preview),
        unread=c.unread,
        chips=_chips(c, now, zone),
        sort=_sort(c, view),
        key=_key(c, view),
    )


def _sort(c: Conversation, view: View) -> str:
    if view.tab == "queue":
        return f"{c.queue_priority:03d}-{10**16 * 9 - _micros(c.queued_at):017d}"
    active = view.tab != "mine" or not _rests(c)
    return f"{active:d}-{_micros(c.last_message_at):017d}-{c.pk}"


def _key(c: Conversation, view: View) -> str:
    if view.tab == "queue":
        return f"{c.queue_priority}~{_micros(c.queued_at)}~{c.pk}"
    return f"{_rests(c):d}~{_micros(c.last_message_at)}~{c.pk}"


def _rests(c: Conversation) -> bool:
    return bool(c.snoozed_until or c.held_at)


def name_of(c: Conversation) -> str:
    """What to call the customer: the name, else the address they write from."""
    return c.contact.name or (phone_text(c.identity.value) if c.identity else "") or _("Unknown")


def initials(name: str) -> str:
    words = [word for word in re.split(r"[\s.@]+", name) if word[:1].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "#"


def channel_icon(kind: str) -> str:
    return CHANNEL_ICONS.get(kind, "world")


def phone_text(value: str) -> str:
    """A Brazilian number as people write it; anything else as it is."""
    if found := re.fullmatch(r"\+55(\d\d)(\d{4,5})(\d{4})", value):
        return "+55 {} {}-{}".format(*found.groups())
    return value


def short_time(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Today the hour, yesterday the word, else the date."""
    day, today = at.astimezone(zone), now.astimezone(zone)
    if day.date() == today.date():
        return day.strftime("%H:%M")
    if day.date() == today.date() - timedelta(days=1):
        return _("yesterday")
    return formats.date_format(day, "d/m" if day.year == today.year else "SHORT_DATE_FORMAT")


def coming_time(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """Today the hour, within a week the weekday and the hour, else the date and the hour."""
    moment, days = at.astimezone(zone), (at.astimezone(zone).date() - now.astimezone(zone).date()).days
    if days == 0:
        return moment.strftime("%H:%M")
    return formats.date_format(moment, "D H:i" if days < 7 else "d/m H:i")


PLACEHOLDERS = {
    "[image]": lambda: _("📷 Photo"),
    "[audio]": lambda: _("🎤 Audio"),
    "[voice]": lambda: _("🎤 Voice message"),
    "[video]": lambda: _("🎬 Video"),
    "[file]": lambda: _("📎 File"),
    "[sticker]": lambda: _("Sticker"),
    "[location]": lambda: _("📍 Location"),
    "[contacts]": lambda: _("👤 Contact card"),
    "[choice]": lambda: _("Chose an option"),
}


def preview_of(text: str) -> str:
    return PLACEHOLDERS[text]() if text in PLACEHOLDERS else text


def _speaker(c: Conversation, member: Membership) -> str:
    match c.preview_sender:
        case Message.Sender.BOT | Message.Sender.SYSTEM:
            return _("Bot:")
        case Message.Sender.AGENT if c.assigned_agent_id == member.pk:
            return _("You:")
        case Message.Sender.AGENT:
            return f"{first_name(c.assigned_agent.name)}:" if c.assigned_agent else _("Agent:")
    return ""


def first_name(name: str) -> str:
    return name.split()[0] if name.split() else name


def _chips(c: Conversation, now: datetime, zone: ZoneInfo) -> list[Chip]:
    """At most three, the most urgent first."""
    chips = [*_state_chips(c, now, zone), *_window_chips(c, now)]
    if c.extra_data.get("overflow_exhausted") and c.state == State.QUEUED:
        chips.append(Chip("bad", "alert-triangle", _("No room")))
    elif c.extra_data.get("overflow_history") and c.state in (State.QUEUED, State.HUMAN_HANDOFF):
        chips.append(Chip("warn", "arrows-exchange", _("Overflow")))
    if c.queue and c.state in (State.QUEUED, State.HUMAN_HANDOFF):
        chips.insert(1 if c.state == State.QUEUED else 0, Chip("", "", c.queue.name))
    if sla := sla_chip(c, now):
        chips.insert(1 if sla.css == "ok" else 0, sla)
    return chips[:3]


def sla_chip(c: Conversation, now: datetime) -> Chip | None:
    """The nearest promise to the customer, or since when one is broken. Needs `with_sla`."""
    if c.state not in promises.WITH_PEOPLE:
        return None
    if broken := promises.broken_since(c):
        late = clock_text(now - broken)
        return Chip("bad", "alert-triangle", late, since=broken.isoformat(), label=_("SLA missed"))
    if c.sla_due is None:
        return None
    due = datetime.fromisoformat(c.sla_due)
    css = "warn" if promises.is_warned(c) or due <= now else "ok"
    return Chip(
        css, "clock-pause", clock_text(due - now), until=due.isoformat(), label=_("SLA"), over=_("missed")
    )


def _state_chips(c: Conversation, now: datetime, zone: ZoneInfo) -> list[Chip]:
    match c.state:
        case State.QUEUED:
            return [_waiting(c, now)]
        case State.BOT:
            return [Chip("info", "robot", _("Bot"))]
        case State.PENDING:
            return [Chip("bad", "alert-triangle", _("Nobody handles it"))]
        case State.CLOSED:
            return [Chip("", "circle-check", _("Closed"))]
    return rest_chips(c, now, zone)


def rest_chips(c: Conversation, now: datetime, zone: ZoneInfo) -> list[Chip]:
    """On hold, or until when it sleeps; nothing for what is being worked on."""
    if c.held_at:
        return [Chip("info", "clock-pause", _("On hold"))]
    if c.snoozed_until:
        until = coming_time(c.snoozed_until, now, zone)
        return [Chip("info", "calendar-time", _("Snoozed until %(time)s") % {"time": until})]
    return []


def _waiting(c: Conversation, now: datetime) -> Chip:
    """How long it waits: calm, then warning at half of the queue's promise, then late."""
    waited = now - c.queued_at
    limit = timedelta(minutes=c.queue.sla_minutes) if c.queue.sla_minutes else timedelta(minutes=30)
    css = "bad" if waited > limit else "warn" if waited > limit / 2 else "ok"
    return Chip(
        css,
        "alert-triangle" if css == "bad" else "clock-pause",
        clock_text(waited),
        since=c.queued_at.isoformat(),
    )


def _window_chips(c: Conversation, now: datetime) -> list[Chip]:
    if c.state != State.HUMAN_HANDOFF:
        return []
    window = window_of(c, now)
    if window.mode not in (WindowMode.OPEN, WindowMode.HUMAN_ONLY):
        return [Chip("bad", "lock", _("Window closed"))]
    if window.closes_at and window.closes_at - now < SOON:
        return [
            Chip(
                "warn",
                "lock",
                left_text(window.closes_at - now),
                until=window.closes_at.isoformat(),
                label=_("Window closes in"),
            )
        ]
    return []


def window_chip(window: Window, now: datetime) -> Chip | None:
    """The messaging window in the thread's header; None where the channel has none."""
    if window.mode not in (WindowMode.OPEN, WindowMode.HUMAN_ONLY):
        return Chip("bad", "lock", _("Window closed"))
    if window.closes_at is None:
        return None
    css = "warn" if window.closes_at - now < SOON else "ok"
    left = left_text(window.closes_at - now)
    return Chip(css, "clock-pause", left, until=window.closes_at.isoformat(), label=_("Window"))


def clock_text(span: timedelta) -> str:
    """04:40, or 2h 05m from one hour on."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 3600:
        return f"{seconds // 60:02d}:{seconds % 60:02d}"
    return left_text(span)


def left_text(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds()) // 60)
    if minutes >= 48 * 60:
        return f"{minutes // 1440}d"
    return f"{minutes // 60}h {minutes % 60:02d}m"
