"""The one oracle: may this content go to this person on this channel now?"""

from __future__ import annotations

from datetime import datetime

from channels_hub.models import ChannelAccount
from channels_hub.registry import adapter_for
from conversations.gate import TEXT, Content, Facts, Verdict, Window, judge
from conversations.models import Conversation, Message


def window_of(conversation: Conversation, now: datetime) -> Window:
    """The window by the platform's own clock (only the phone simulator shifts it)."""
    adapter = adapter_for(conversation.channel)
    rule, heard = adapter.window, conversation.last_inbound_at
    here = adapter.clock(now)
    mode = rule.mode(heard, here)
    if rule.base is None or heard is None:
        return Window(mode)
    ours = heard - rule.margin - (here - now)
    return Window(mode, ours + rule.base, ours + rule.human if rule.human else None)


def can_send(
    conversation: Conversation, content: Content = TEXT, *, human: bool = False, now: datetime
) -> Verdict:
    """Ask before a message is written and again in the claim; what the answer rests on is in `gate`."""
    channel, contact, identity = conversation.channel, conversation.contact, conversation.identity
    facts = Facts(
        window=window_of(conversation, now),
        caps=adapter_for(channel).caps,
        human=human,
        blocked_at=contact.blocked_at,
        opted_out_at=contact.opted_out_at,
        channel_active=channel.is_active,
        channel_ails=channel.health == ChannelAccount.Health.ATTENTION,
        has_address=identity is not None,
        unreachable_at=_lost(conversation, identity.unreachable_at) if identity else None,
    )
    return judge(facts, content, now)


def _lost(conversation: Conversation, unreachable_at: datetime | None) -> datetime | None:
    """Who wrote from an address after it was given up can be reached there."""
    heard = conversation.last_inbound_at
    return None if unreachable_at and heard and heard > unreachable_at else unreachable_at


def content_of(message: Message) -> Content:
    """What a written message holds, as the gate sees it."""
    kinds = {attachment.media.kind for attachment in message.attachments.all()}
    return Content(frozenset(kinds), message.template is not None)
