"""May this content go to this person on this channel now? The decision, from facts alone."""

from __future__ import annotations

import enum
from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from channels_hub.contract import Capabilities, WindowMode

UNREACHABLE_RESTS = timedelta(hours=24)  # so long no machine tries an address again that could not be reached


class Answer(enum.StrEnum):
    """What the gate says."""

    OK = "ok"
    NEEDS_TEMPLATE = "needs_template"  # free text may not, an approved template may
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Content:
    """What somebody wants to say: its kinds of files, and whether it is an approved template."""

    media: Set[str] = frozenset()
    template: bool = False


TEXT = Content()
TEMPLATE = Content(template=True)


@dataclass(frozen=True, slots=True)
class Window:
    """The messaging window of a conversation; `closes_at` is None where the channel has none."""

    mode: WindowMode
    closes_at: datetime | None = None
    people_until: datetime | None = None  # where people may write longer than machines

    def allows(self, human: bool) -> bool:
        return self.mode == WindowMode.OPEN or (human and self.mode == WindowMode.HUMAN_ONLY)

    def ends(self, human: bool) -> datetime | None:
        return (self.people_until or self.closes_at) if human else self.closes_at


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the decision rests on."""

    window: Window
    caps: Capabilities
    human: bool = False
    blocked_at: datetime | None = None
    opted_out_at: datetime | None = None
    channel_active: bool = True
    channel_ails: bool = False  # its credentials were refused: messages wait for an admin
    has_address: bool = True
    unreachable_at: datetime | None = None  # and nothing was heard from there since


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is empty when it may go, else why not; `window` explains window_closed.

    `until` is when time alone changes the answer, `since` from when on the reason stands, and `caution` what
    a person should know although it may go.
    """

    code: str
    window: Window = field(default_factory=lambda: Window(WindowMode.OPEN))
    answer: Answer = Answer.OK
    until: datetime | None = None
    since: datetime | None = None
    caution: str = ""

    @property
    def ok(self) -> bool:
        return not self.code


def judge(facts: Facts, content: Content, now: datetime) -> Verdict:
    """Block, consent, channel, address, what the channel carries, window: the first that is against it."""
    window, caps = facts.window, facts.caps
    rests_until = facts.unreachable_at and facts.unreachable_at + UNREACHABLE_RESTS

    def no(code: str, *, since: datetime | None = None, until: datetime | None = None) -> Verdict:
        return Verdict(code, window, Answer.BLOCKED, until, since)

    if facts.blocked_at:
        return no("blocked", since=facts.blocked_at)
    if facts.opted_out_at:
        return no("opted_out", since=facts.opted_out_at)
    if not facts.channel_active:
        return no("channel_inactive")
    if not facts.has_address:
        return no("no_address")
    if rests_until and rests_until > now and not facts.human:
        return no("unreachable", since=facts.unreachable_at, until=rests_until)
    if not content.media <= caps.media.keys():
        return no("media_unsupported")
    if content.template and not caps.templates:
        return no("template_unsupported")
    if not content.template and not window.allows(facts.human):
        answer = Answer.NEEDS_TEMPLATE if caps.templates else Answer.BLOCKED
        return Verdict("window_closed", window, answer)
    caution = "channel_ails" if facts.channel_ails else "unreachable" if rests_until else ""
    until = None if content.template else window.ends(facts.human)
    return Verdict("", window, Answer.OK, until, caution=caution)
