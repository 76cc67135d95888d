"""What a queue tells its customer, in their language and with nothing promised that we do not know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import ceil

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, override

from conversations import estimates, outbox, stays
from conversations.conflicts import OutOfHours
from conversations.models import Conversation, Delivery, Message
from queues import notices
from queues.models import Queue

TRANSFERRING = gettext_lazy("Transferring you to an agent…")
CLOSED = gettext_lazy("We are closed at the moment, but your message has arrived. We are back {next_open}.")
COME_BACK = gettext_lazy("We are closed at the moment. Please write to us again {next_open}.")
ONLY_CLOSED = gettext_lazy("We are closed at the moment.")
ABANDONED = gettext_lazy("All our agents are busy. Please write to us again later.")


def tell(conversation: Conversation, queue: Queue, text: str, default: object, now: datetime) -> None:
    """Say the queue's own notice, else the desk's general sentence. Needs the conversation's lock."""
    say(conversation, rendered(conversation, queue, text, default, now), now)


def say(conversation: Conversation, text: str, now: datetime) -> None:
    """Say a finished text in the desk's name. Needs the conversation's lock."""
    draft = outbox.Draft(text=text, sender=Message.Sender.SYSTEM, origin=Delivery.Origin.SYSTEM, priority=1)
    outbox.say(conversation, draft, now=now)


def rendered(conversation: Conversation, queue: Queue, text: str, default: object, now: datetime) -> str:
    """The notice with its placeholders filled in; sentences whose value nobody knows are left out.

    When nothing is left of the queue's own words, the general sentence stands in.
    """
    with override(conversation.contact.language or conversation.organization.locale):
        wanted = notices.wanted(f"{text} {default}")
        values = {name: VALUES[name](conversation, queue, now) for name in wanted}
        return notices.fill(text, values) or notices.fill(str(default), values) or str(ONLY_CLOSED)


# ---------------------------------------------------------------- what stands for a placeholder
def _position(conversation: Conversation, queue: Queue, now: datetime) -> str:
    if conversation.queued_at is None:
        return ""
    ahead = stays.ahead_of(conversation)
    return str(ahead + 1) if ahead < stays.COUNTED else _("more than %(n)d") % {"n": stays.COUNTED}


def _expected_wait(conversation: Conversation, queue: Queue, now: datetime) -> str:
    if conversation.queued_at is None:
        return ""
    expected = estimates.expected_wait(queue.pk, stays.ahead_of(conversation), now)
    return "" if expected is None else _duration(expected)


def _duration(span: timedelta) -> str:
    """Whole minutes, rounded up: never less than what was estimated."""
    hours, minutes = divmod(max(1, ceil(span.total_seconds() / 60)), 60)
    parts = []
    if hours:
        parts.append(ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours})
    if minutes:
        parts.append(ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes})
    return _(" and ").join(parts)


def _next_open(conversation: Conversation, queue: Queue, now: datetime) -> str:
    opens = next_open(queue, now)
    return "" if opens is None else moment(opens, now.astimezone(opens.tzinfo))


def _name(conversation: Conversation, queue: Queue, now: datetime) -> str:
    return queue.name


VALUES: Mapping[str, Callable[[Conversation, Queue, datetime], str]] = {
    "position": _position,
    "expected_wait": _expected_wait,
    "next_open": _next_open,
    "queue": _name,
}


# ---------------------------------------------------------------- when it opens
def next_open(queue: Queue, now: datetime) -> datetime | None:
    """When the queue opens next, in its calendar's zone; None when it never closes or never opens."""
    if queue.calendar is None:
        return None
    hours = queue.calendar.hours()
    opens = hours.next_open(now)
    return opens.astimezone(hours.zone) if opens else None


def refusal(error: OutOfHours) -> str:
    """Why a closed queue took nobody in, for the person who asked."""
    if error.next_open is None:
        return _("%(queue)s is closed and takes nobody in.") % {"queue": error.queue}
    return _("%(queue)s is closed and takes nobody in before %(time)s.") % {
        "queue": error.queue,
        "time": date_format(error.next_open, "SHORT_DATETIME_FORMAT"),
    }


def moment(at: datetime, here: datetime) -> str:
    """A coming moment as people say it: today, tomorrow, a weekday, else a date. Both in one zone."""
    values = {"time": date_format(at, "TIME_FORMAT")}
    days = (at.date() - here.date()).days
    if days == 0:
        return _("today at %(time)s") % values
    if days == 1:
        return _("tomorrow at %(time)s") % values
    if days < 7:
        return _("on %(weekday)s at %(time)s") % {"weekday": date_format(at, "l"), **values}
    return _("on %(date)s at %(time)s") % {"date": date_format(at, "DATE_FORMAT"), **values}
