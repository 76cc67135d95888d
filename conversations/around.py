"""What stands around the log of an open conversation: header, composer, contact, and what may be done now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import formats, timezone
from django.utils.translation import get_language_info, gettext_lazy
from django.utils.translation import gettext as _

from accounts.models import Membership
from accounts.roles import Action
from channels_hub.registry import adapter_for
from conversations import laters, thread
from conversations.can_send import can_send
from conversations.gate import Answer, Verdict
from conversations.models import Conversation, State
from conversations.pages import (
    HUES,
    Chip,
    channel_icon,
    coming_time,
    first_name,
    initials,
    left_text,
    name_of,
    phone_text,
    rest_chips,
    sla_chip,
    window_chip,
)

LAST_HOUR = timedelta(hours=1)  # from here on the foot warns that the window closes
CAUTIONS = {
    "channel_ails": gettext_lazy(
        "The platform refuses this channel's credentials: messages wait for an admin."
    ),
    "unreachable": gettext_lazy("The last message did not reach this address."),
}


@dataclass(frozen=True, slots=True)
class Composer:
    """What the foot of the thread offers; `mode` changes exactly when the foot must be drawn anew."""

    mode: str  # reply, template, unable, queued, bot, other, pending, closed, read_only
    text: str = ""
    hint: str = ""
    can_note: bool = False
    until: str = ""  # when the foot changes by time alone: the page asks for it anew
    left: str = ""  # until then, in words
    is_soon: bool = False
    templates: bool = False  # whether the channel has any
    can_wait: bool = False  # whether to write now what goes when the customer writes


@dataclass(frozen=True, slots=True)
class Rights:
    """What this member may do with this conversation now."""

    claim: bool = False
    take_over: bool = False
    transfer: bool = False
    release: bool = False
    close: bool = False
    hold: bool = False
    resume: bool = False
    snooze: bool = False


def rights_of(c: Conversation, member: Membership) -> Rights:
    if not member.may(Action.ANSWER) or c.state == State.CLOSED:
        return Rights()
    mine = c.assigned_agent_id == member.pk
    leads = member.may(Action.ASSIGN)
    rests = bool(c.held_at or c.snoozed_until)
    return Rights(
        claim=c.state == State.QUEUED,
        take_over=not mine and c.state != State.QUEUED and member.may(Action.TAKE_OVER),
        transfer=(mine or leads) and c.state in (State.QUEUED, State.HUMAN_HANDOFF),
        release=(mine or leads) and c.state in (State.QUEUED, State.HUMAN_HANDOFF),
        close=mine or leads,
        hold=mine and not rests,
        resume=(mine or leads) and rests,
        snooze=mine,
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
    return _of_verdict(can_send(c, human=True, now=now), bool(adapter_for(c.channel).caps.templates), now)


def _of_verdict(verdict: Verdict, templates: bool, now: datetime) -> Composer:
    """What the agent who has it may write."""
    if verdict.ok:
        left = verdict.until - now if verdict.until else None
        return Composer(
            "reply",
            hint=str(CAUTIONS.get(verdict.caution, "")),
            can_note=True,
            until=verdict.until.isoformat() if verdict.until else "",
            left=left_text(left) if left else "",
            is_soon=left is not None and left < LAST_HOUR,
            templates=templates,
        )
    text = str(thread.REFUSALS.get(verdict.code, verdict.code))
    if verdict.answer == Answer.NEEDS_TEMPLATE:
        hint = _(
            "Until the customer writes again, only template messages that the platform has approved"
            " may be sent."
        )
        return Composer("template", text, hint, can_note=True, templates=True, can_wait=True)
    return Composer("unable", text, _since(verdict), can_note=True, can_wait=verdict.code == "window_closed")


def _since(verdict: Verdict) -> str:
    if verdict.since is None:
        return ""
    since = formats.date_format(timezone.localtime(verdict.since), "SHORT_DATETIME_FORMAT")
    return _("Since %(time)s") % {"time": since}


def panel_of(c: Conversation, reader: thread.Reader) -> dict[str, Any]:
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
        "variables": reader.variables,
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


@dataclass(frozen=True, slots=True)
class Planned:
    """A message that waits for its time, or was refused when it came."""

    pk: UUID
    text: str
    who: str
    when: str
    files: Sequence[str] = ()  # their names
    refused: str = ""


def planned_of(c: Conversation, reader: thread.Reader) -> list[Planned]:
    """What stands between log and foot; nothing is planned where nobody has the conversation."""
    if c.state != State.HUMAN_HANDOFF:
        return []
    return [
        Planned(
            pk=later.pk,
            text=later.text,
            who=first_name(later.author.name),
            when=coming_time(later.send_at, reader.now, reader.zone)
            if later.send_at
            else _("when the customer writes"),
            files=[thread.media_of(file).name for file in laters.files_of(later)],
            refused=str(thread.REASONS.get(later.reason, later.reason)) if later.reason else "",
        )
        for later in laters.shown(c)
    ]


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
    chips += rest_chips(c, now, ZoneInfo(member.organization.timezone))
    if sla := sla_chip(c, now):
        chips.append(sla)
    if c.state != State.CLOSED and (chip := window_chip(verdict.window, now)):
        chips.append(chip)
    return {
        "name": name,
        "initials": initials(name),
        "hue": c.contact_id.int % HUES,
        "address": phone_text(c.identity.value) if c.identity else "",
        "channel": c.channel.name,
        "channel_icon": channel_icon(c.channel.kind),
        "chips": chips,
    }


def context_of(c: Conversation, member: Membership, now: datetime) -> dict[str, Any]:
    """Everything that the templates of an open conversation need."""
    reader = thread.Reader(c, member, now)
    return {
        "conversation": c,
        "log": thread.log(reader),
        "head": header_of(c, member, now),
        "composer": composer_of(c, member, now),
        "rights": rights_of(c, member),
        "panel": panel_of(c, reader),
        "mine": c.assigned_agent_id == member.pk,
        "planned": planned_of(c, reader),
    }
