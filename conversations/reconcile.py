"""Evidence instead of hope: messages that no webhook told of are fetched, unconfirmed ones are looked up.

Both ask the platform's list of messages, each question once whatever the number of workers: whoever moves the
date of the next look is the one who looks. Asking twice would be harmless; it is only polite not to.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q
from django_scopes import scope, scopes_disabled

from channels_hub import http, inbox
from channels_hub.contract import Delivery as Report
from channels_hub.contract import MaybeSent, NotSent, State
from channels_hub.models import ChannelAccount, InboundEvent
from channels_hub.registry import adapter_for
from conversations import bells, pacing, receipts, sending
from conversations.models import Attempt, Conversation, Delivery, Pace, Receipt
from conversations.moves import database_now

logger = logging.getLogger(__name__)

DRAIN = "conversations.tasks.drain_inbox"
EVERY = timedelta(minutes=5)  # how often the list of what came in is read
AGAIN = timedelta(minutes=1)  # after a reading that did not work
OVERLAP = timedelta(hours=1)  # read again each time: platforms list late, unique keys drop what is known
FARTHEST = timedelta(days=7)  # the inbox keeps its keys for nine
FIRST_LOOK = timedelta(seconds=90)  # a status with our reference usually comes before
LONGEST_PAUSE = timedelta(minutes=10)
LOOK_FOR = timedelta(hours=24)  # after that only a person asks again
SKEW = timedelta(seconds=5)  # the platform's clock and ours


def sweep(*, limit: int = 50) -> int:
    """Everything that is due; how many messages were taken in or resolved."""
    return fetch_missed() + look_up_due(limit=limit)


# ---------------------------------------------------------------- what no webhook told
def fetch_missed() -> int:
    """Ask each channel that is due; how many messages were put into the inbox."""
    found = 0
    while (claimed := _claim_channel()) is not None:
        found += _fetch(*claimed)
    return found


def _claim_channel() -> tuple[Pace, datetime] | None:
    """A channel whose turn it is, and the moment of the claim: up to then the list is read."""
    with transaction.atomic(), scopes_disabled():
        with connection.cursor() as cursor:
            cursor.execute(pacing.NEW)
        now = database_now()
        due = Pace.objects.select_for_update(no_key=True, skip_locked=True, of=("self",)).filter(
            Q(next_look_at=None) | Q(next_look_at__lte=now), channel__is_active=True
        )
        pace = due.select_related("channel__organization").order_by(F("next_look_at").asc(nulls_first=True))
        if (first := pace.first()) is None:
            return None
        first.next_look_at = now + EVERY
        first.save(update_fields=["next_look_at"])
        return first, now


def _fetch(pace: Pace, now: datetime) -> int:
    channel = pace.channel
    # Not what came before the desk was connected, nor what the inbox may have forgotten that it knew.
    looked = (pace.looked_until or now) - OVERLAP
    since = max(looked, channel.created_at.replace(microsecond=0), now - FARTHEST)
    with scope(organization=channel.organization):
        try:
            found = take_missed(channel, since)
        except (NotSent, MaybeSent) as error:
            logger.warning("channel %s: its list could not be read: %s", channel.pk, type(error).__name__)
            Pace.objects.filter(pk=pace.pk).update(next_look_at=now + AGAIN)
            return 0
        except Exception:
            logger.exception("channel %s: its list could not be understood", channel.pk)
            return 0
        Pace.objects.filter(pk=pace.pk).update(looked_until=now)
    return found


def take_missed(channel: ChannelAccount, since: datetime) -> int:
    """Put what the platform lists since then into the inbox; how many were not there. Not in a transaction.

    Raises NotSent and MaybeSent.
    """
    adapter, found = adapter_for(channel), 0
    with closing(http.Client()) as client:
        for request in adapter.missed(since, client, channel.keys(), lambda ids: _known(channel, ids)):
            found += bool(inbox.keep(channel, adapter, request))
    if found:
        logger.info("channel %s: %s missed messages taken in", channel.pk, found)
        bells.wake_workers(DRAIN)
    return found


def _known(channel: ChannelAccount, ids: Collection[str]) -> set[str]:
    keys = {InboundEvent.key_for(channel, one): one for one in ids}
    rows = InboundEvent.objects.filter(account=channel, key__in=keys)
    return {keys[bytes(key)] for key in rows.values_list("key", flat=True)}


# ---------------------------------------------------------------- what nobody confirmed
def look_up_due(*, limit: int = 50) -> int:
    """Ask for unconfirmed messages whose pause is over; how many were resolved."""
    return sum(_look_up(pk, seen) for pk, seen in _due(limit))


def _due(limit: int) -> list[tuple[UUID, int]]:
    now = database_now()
    with scopes_disabled():
        rows = Delivery.objects.filter(
            status=State.UNKNOWN, settled_at__lte=now - FIRST_LOOK, settled_at__gt=now - LOOK_FOR
        )
        found = rows.order_by("settled_at").values_list("pk", "look_ups", "looked_up_at")
        due = [(pk, n) for pk, n, at in found if at is None or at + _pause(n) <= now]
    return due[:limit]


def _pause(look_ups: int) -> timedelta:
    return min(FIRST_LOOK * 2 ** min(look_ups, 10), LONGEST_PAUSE)


def _look_up(pk: UUID, seen: int) -> bool:
    """One due delivery, unless another worker counted up first."""
    with scopes_disabled():
        mine = Delivery.objects.filter(pk=pk, status=State.UNKNOWN, look_ups=seen)
        if not mine.update(look_ups=seen + 1, looked_up_at=database_now()):
            return False
        delivery = Delivery.objects.select_related("organization").get(pk=pk)
    with scope(organization=delivery.organization):
        try:
            return look_up(delivery)
        except Exception:
            logger.exception("delivery %s could not be looked up", pk)
            return False


def look_up(delivery: Delivery) -> bool:
    """Ask the platform for an unconfirmed delivery; whether there was evidence. It is never sent again.

    Also a person's "check again". Calls the platform: not in a transaction.
    """
    attempts = Attempt.objects.filter(delivery=delivery).order_by("-number")
    began = attempts.values_list("started_at", flat=True).first()
    if began is None or delivery.status != State.UNKNOWN:
        return False
    (row,) = sending.load([delivery.pk])
    adapter, part = sending.part_of(row)
    if part.template:  # the list shows what the customer reads
        part = replace(part, text=row.message.text)
    with closing(http.Client()) as client:
        found = adapter.find_sent(part, began - SKEW, client, row.channel.keys(), _taken(row))
    return found is not None and _settle(row, found)


def _taken(delivery: Delivery) -> set[str]:
    """The platform's ids that are other messages of ours to this person."""
    rows = Delivery.objects.filter(
        channel=delivery.channel, conversation__contact_id=delivery.conversation.contact_id
    )
    tried = Receipt.objects.filter(delivery__in=rows).exclude(provider_id="")
    sent = rows.exclude(provider_id="").values_list("provider_id", flat=True)
    return {*sent, *tried.values_list("provider_id", flat=True)}


def _settle(delivery: Delivery, found: Report) -> bool:
    """Take the evidence in, unless a colleague's look-up gave the same message to another delivery."""
    with transaction.atomic():
        Conversation.objects.select_for_update(no_key=True).get(pk=delivery.conversation_id)
        if found.provider_id in _taken(delivery):
            return False
        receipts.apply_report(delivery.channel, found)
    return True
