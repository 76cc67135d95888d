"""The words every channel speaks: who wrote, what happened, what we send, how it ended."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Location = tuple[float, float, str]
"""Latitude, longitude, label."""


# ------------------------------------------------------------------ people
@dataclass(frozen=True, slots=True)
class Address:
    """One way to reach a person on one channel; (scheme, value) is unique per channel."""

    scheme: str  # phone bsuid psid igsid tg slack discord line viber teams email visitor ext
    value: str  # canonical form
    raw: str = ""  # exactly what the platform sent: this goes back on the wire

    @property
    def wire(self) -> str:
        return self.raw or self.value


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as one platform describes them; the first address is preferred for replies."""

    addresses: tuple[Address, ...]
    name: str = ""
    username: str = ""
    phone: str = ""  # E.164 when the platform gives one
    email: str = ""
    locale: str = ""
    avatar_url: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Thread:
    """Where to answer. Equal keys are one conversation on the platform."""

    key: str
    is_group: bool = False
    reply_context: Mapping[str, Any] = field(default_factory=dict)


# ------------------------------------------------------------------ inbound
class Kind(enum.StrEnum):
    """What an event from a platform is about."""

    MESSAGE = "message"
    EDITED = "edited"
    DELETED = "deleted"
    REACTION = "reaction"
    STATUS = "status"
    TYPING = "typing"
    READ = "read"  # the customer read up to a point
    ECHO = "echo"  # our side spoke outside our platform
    STARTED = "started"  # get started, follow, subscribe
    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"
    IDENTITY = "identity"  # address added or replaced
    TEMPLATE = "template"  # approval or quality of a template changed
    ACCOUNT = "account"  # the platform warns about the channel itself
    NOTICE = "notice"  # verified, understood, nothing to do


@dataclass(frozen=True, slots=True)
class MediaRef:
    """A file on a platform (inbound) or at a public URL of ours (outbound)."""

    kind: str  # image audio voice video file sticker
    mime: str = ""
    filename: str = ""
    size: int | None = None
    sha256: str = ""
    url: str = ""  # may need credentials and may expire
    media_id: str = ""  # resolve first when set and url is empty
    expires_at: datetime | None = None
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Answer to a button, list, quick reply or form; `id` is the payload we put on the wire."""

    id: str
    title: str = ""
    kind: str = "button"  # button list quick_reply postback form
    data: Mapping[str, Any] = field(default_factory=dict)
    source_message_id: str = ""


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """One thing a platform told us, in our words."""

    kind: Kind
    dedup_key: str  # stable across redeliveries, unique per channel
    occurred_at: datetime  # platform clock, aware
    sender: Identity | None = None
    thread: Thread | None = None
    message_id: str = ""  # platform id of the message this event is about
    text: str = ""
    media: tuple[MediaRef, ...] = ()
    location: Location | None = None
    contacts: tuple[Mapping[str, Any], ...] = ()
    choice: Choice | None = None
    reaction: str = ""  # empty with Kind.REACTION: removed
    reply_to: str = ""  # platform id of the quoted message
    status: Delivery | None = None
    referral: Mapping[str, Any] = field(default_factory=dict)
    order_key: tuple[Any, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sort_key(self) -> tuple[Any, ...]:
        """Order inside one thread: the platform's counter where it has one."""
        return self.order_key or (self.occurred_at, self.message_id)


# ------------------------------------------------------------------ delivery
class State(enum.StrEnum):
    """Status of an outgoing message."""

    PENDING = "pending"  # the row exists, nobody took it
    PROCESSING = "processing"  # a worker holds the lease
    RETRYING = "retrying"  # surely not handed over, waiting for the next try
    UNKNOWN = "unknown"  # handed over or not? no machine sends it again
    QUEUED = "queued"  # the platform took it and gave an id
    SENT = "sent"  # it left the platform
    CANCELLED = "cancelled"  # withdrawn before it was handed over
    EXPIRED = "expired"  # grew too old before it could be handed over
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"


LADDER: tuple[State, ...] = tuple(State)
"""Weakest to strongest evidence. A failure outranks `sent`, and proof of delivery outranks a failure.

One total order makes the merge a maximum: commutative, associative, idempotent, never going down.
The ladder is that of one message at the platform. A new try is a new message there and starts from below:
from RETRYING to PROCESSING by the outbox's own claim, and to RETRYING by `conversations.receipts` when the
platform tells late of a failure that another try may mend. What an earlier try still reports counts only
where it proves delivery.
"""
RANK: Mapping[State, int] = {state: rank for rank, state in enumerate(LADDER)}
FINAL = frozenset({State.READ, State.FAILED, State.EXPIRED, State.CANCELLED})
BROKEN = (State.FAILED, State.EXPIRED, State.CANCELLED, State.UNKNOWN)


def merge_state(current: State, incoming: State) -> State:
    """What we know after one more report, in whatever order reports arrive."""
    return max(current, incoming, key=RANK.__getitem__)


def whole_message(parts: Sequence[State]) -> State:
    """State of a message that went out as several platform messages: the worst, else the slowest part."""
    for broken in BROKEN:
        if broken in parts:
            return broken
    return min(parts, key=RANK.__getitem__, default=State.PENDING)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A platform's report about a message of ours."""

    provider_id: str
    state: State
    at: datetime
    client_ref: str = ""  # our own id when the platform echoes one
    code: str = ""
    detail: str = ""


# ------------------------------------------------------------------ outbound
@dataclass(frozen=True, slots=True)
class Option:
    """One answer offered to the customer."""

    id: str
    title: str
    description: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A message approved beforehand: template name, Content SID, ESP template id."""

    ref: str
    language: str = ""
    body: Mapping[str, str] = field(default_factory=dict)  # "1" or "name" -> value
    header: MediaRef | str | None = None
    buttons: tuple[Mapping[str, str], ...] = ()  # {"index", "type", "value"}
    category: str = ""


@dataclass(frozen=True, slots=True)
class PlatformTemplate:
    """A template as the platform keeps it, and what it says of it."""

    ref: str
    name: str
    language: str
    category: str
    body: str  # with {{1}} or {{name}}
    variables: Mapping[str, str]  # name -> sample
    buttons: tuple[Mapping[str, str], ...]
    media: tuple[str, ...]
    approval: str  # draft pending approved rejected paused
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutMessage:
    """What we want to say to one address; `client_ref` is our id and comes back in receipts."""

    client_ref: str
    to: Address
    thread: Thread | None = None
    text: str = ""
    media: tuple[MediaRef, ...] = ()
    options: tuple[Option, ...] = ()
    options_style: str = "auto"  # auto buttons list quick_replies links
    location: Location | None = None
    template: Template | None = None
    reply_to: str = ""
    human: bool = False  # typed by an agent, not by automation
    subject: str = ""


class Outcome(enum.StrEnum):
    """What an answer of a platform means for the message, and for the next try."""

    ACCEPTED = "accepted"
    PERMANENT = "permanent"  # the same request will never work
    RETRYABLE = "retryable"  # surely not sent, try later
    RATE_LIMITED = "rate_limited"  # surely not sent, wait retry_after
    AMBIGUOUS = "ambiguous"  # may have been sent
    WINDOW_CLOSED = "window_closed"  # needs a template or a new inbound message
    UNREACHABLE = "unreachable"  # this address: blocked, unsubscribed, not on the platform
    AUTH = "auth"  # credentials: stop the channel, tell an admin
    CONTENT = "content"  # too long, bad media, bad parameters


@dataclass(frozen=True, slots=True)
class SendResult:
    """How one attempt ended."""

    outcome: Outcome
    provider_id: str = ""
    state: State = State.QUEUED
    code: str = ""
    detail: str = ""
    retry_after: float | None = None  # seconds
    alias: Address | None = None  # the platform told us another address of this person


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can show and how fast; numbers live here, never in code."""

    text_limit: int
    text_unit: str = "char"  # char utf16 byte
    caption_limit: int = 0  # 0: no captions
    options_text_limit: int = 0  # text above buttons or list; 0: text_limit
    media: Mapping[str, int] = field(default_factory=dict)  # kind -> max bytes
    mime: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    media_per_message: int = 1
    media_source: str = "url"  # url upload both
    buttons: int = 0
    button_title: int = 20
    list_rows: int = 0
    list_title: int = 24
    quick_replies: int = 0
    typing_seconds: int = 0  # 0: cannot show typing
    marks_read: bool = False
    receipts: frozenset[State] = frozenset()  # states the platform will report
    edits: bool = False
    deletes: bool = False
    reactions: bool = False
    replies: bool = False
    templates: str = ""  # "" meta content_sid esp
    idempotent: str = ""  # "" header nonce callback (correlates only)
    rate_per_second: float | None = None  # whole channel
    pair_interval: float | None = None  # seconds between messages to one person, on average
    pair_burst: int = 1  # so many at once, before the interval counts
    waits_for_sent: float | None = None  # seconds that the next message waits for the report "sent" at most
    ack_deadline: float = 10.0


class WindowMode(enum.StrEnum):
    """Who may write to this person now."""

    OPEN = "open"
    HUMAN_ONLY = "human_only"  # an agent may, automation may not
    TEMPLATE_ONLY = "template_only"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How long after a customer's message free text is allowed."""

    base: timedelta | None = None  # None: no window on this channel
    human: timedelta | None = None  # longer window for agents
    after: WindowMode = WindowMode.TEMPLATE_ONLY
    margin: timedelta = timedelta(minutes=2)

    def mode(
        self, last_inbound: datetime | None, now: datetime, entry_until: datetime | None = None
    ) -> WindowMode:
        """Mode at `now`; the margin keeps a message from arriving just after the platform closed."""
        if self.base is None or (entry_until and now < entry_until - self.margin):
            return WindowMode.OPEN
        if last_inbound is None:
            return self.after
        age = now - last_inbound + self.margin
        if age < self.base:
            return WindowMode.OPEN
        return WindowMode.HUMAN_ONLY if self.human and age < self.human else self.after

    def closes_at(self, last_inbound: datetime | None) -> datetime | None:
        """When free text stops being allowed; None where there is no window or no message yet."""
        return last_inbound + self.base - self.margin if self.base and last_inbound else None


# ------------------------------------------------------------------ http
@dataclass(frozen=True, slots=True)
class RawRequest:
    """A webhook call as it came in. `url` is the public URL the platform called, with query string."""

    method: str
    url: str
    headers: Mapping[str, str]  # lower-case names
    body: bytes  # untouched
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remote_addr: str = ""
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Ack:
    """What to answer the platform."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountKey:
    """Which channel a request of an app-level URL is for, as its body says."""

    account: str
    address: str = ""
    config: Mapping[str, str] = field(default_factory=dict)  # settings that name the channel without address


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A platform's answer, read completely and within the size limit; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The parsed body, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class HttpStream:
    """A body that is still on the wire. Iterate `chunks` once; call `close` in any case."""

    status: int
    headers: Mapping[str, str]
    chunks: Iterable[bytes]
    close: Any = lambda: None


# ------------------------------------------------------------------ errors
class BadSignature(Exception):
    """The request does not come from the platform."""


class BadPayload(Exception):
    """Signed, but not in a shape we can read."""


class NotSent(Exception):
    """The request never left: refused, unresolved, no TLS, forbidden address. Trying again is safe."""


class MaybeSent(Exception):
    """The request left and no usable answer came. Trying again could double it."""


class MediaUnavailable(Exception):
    """The platform no longer gives this file, or it may not be fetched."""
