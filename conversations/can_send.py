"""The one oracle: may this content go to this person on this channel now?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from channels_hub.contract import WindowMode
from channels_hub.registry import adapter_for
from conversations.models import Conversation


@dataclass(frozen=True, slots=True)
class Window:
    """The messaging window of a conversation; `closes_at` is None where the channel has none."""

    mode: WindowMode
    closes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is empty when it may go, else why not; `window` explains window_closed."""

    code: str
    window: Window

    @property
    def ok(self) -> bool:
        return not self.code


def window_of(conversation: Conversation, now: datetime) -> Window:
    """The window by the platform's own clock (only the phone simulator shifts it)."""
    adapter = adapter_for(conversation.channel)
    rule = adapter.window
    here = adapter.clock(now)
    mode = rule.mode(conversation.last_inbound_at, here)
    if rule.base is None or conversation.last_inbound_at is None:
        return Window(mode)
    shift: timedelta = here - now
    return Window(mode, conversation.last_inbound_at + rule.base - rule.margin - shift)


def can_send(
    conversation: Conversation, *, human: bool = False, template: bool = False, now: datetime
) -> Verdict:
    """Block, consent, channel, address, window. Asked before a message is written and again in the claim."""
    window = window_of(conversation, now)
    contact = conversation.contact
    if contact.blocked_at:
        return Verdict("blocked", window)
    if contact.opted_out_at:
        return Verdict("opted_out", window)
    if not conversation.channel.is_active:
        return Verdict("channel_inactive", window)
    if conversation.identity is None:
        return Verdict("no_address", window)
    if not template and not _window_allows(window.mode, human):
        return Verdict("window_closed", window)
    return Verdict("", window)


def _window_allows(mode: WindowMode, human: bool) -> bool:
    return mode == WindowMode.OPEN or (human and mode == WindowMode.HUMAN_ONLY)
