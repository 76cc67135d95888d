"""The figures on the admin's first page: a fixed number of queries, whatever there is to count."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.admin_base import may
from accounts.roles import Action
from channels_hub.contract import State as Sending
from channels_hub.models import ChannelAccount, InboundEvent
from conversations.models import Conversation, Delivery, State
from conversations.moves import database_now
from queues.models import Queue

MOST = 999  # nobody needs to know more exactly than that


def cards(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """UNFOLD["DASHBOARD_CALLBACK"]: what waits, what is going on, what needs a person."""
    found: list[dict[str, Any]] = []
    still = ""
    if may(request, Action.READ_CONVERSATIONS):
        found += _conversations()
        still = reverse("admin:conversations_conversation_standing_still")
    if may(request, Action.READ_CHANNELS):
        found += _channels()
    if may(request, Action.READ_OUTBOX):
        found += _outbox()
    lines = _lines() if may(request, Action.READ_QUEUES) else []
    return {**context, "cards": found, "lines": lines, "standing_still": still}


def _lines() -> list[dict[str, Any]]:
    """The queues with who waits in them, the longest wait first."""
    now = database_now()
    waiting = {
        row["queue_id"]: row
        for row in Conversation.objects.filter(state=State.QUEUED)
        .order_by()
        .values("queue_id")
        .annotate(n=Count("id"), oldest=Min("queued_at"))
    }
    found = []
    for queue in Queue.objects.filter(is_active=True).only("name", "max_queue_size").order_by("name"):
        row = waiting.get(queue.pk)
        found.append(
            {
                "name": queue.name,
                "link": reverse("admin:queues_queue_change", args=[queue.pk]),
                "waiting": row["n"] if row else 0,
                "places": queue.max_queue_size,
                "minutes": int((now - row["oldest"]).total_seconds() // 60) if row else None,
            }
        )
    return sorted(found, key=lambda line: -1 if line["minutes"] is None else line["minutes"], reverse=True)


def _conversations() -> list[dict[str, Any]]:
    count = Conversation.objects.open().aggregate(
        waiting=Count("id", filter=Q(state=State.QUEUED)),
        agents=Count("id", filter=Q(state=State.HUMAN_HANDOFF)),
        bot=Count("id", filter=Q(state=State.BOT)),
        pending=Count("id", filter=Q(state=State.PENDING)),
    )
    page = "conversations_conversation"
    return [
        _card(_("Waiting"), _("in a queue"), count["waiting"], page, "state__exact=queued", "waiting"),
        _card(_("With an agent"), _("being served"), count["agents"], page, "state__exact=human_handoff"),
        _card(_("With the bot"), _("answering by itself"), count["bot"], page, "state__exact=bot"),
        _card(
            _("Unhandled"), _("nobody took them up"), count["pending"], page, "state__exact=pending", "bad"
        ),
    ]


def _channels() -> list[dict[str, Any]]:
    ill = ChannelAccount.objects.filter(is_active=True, health=ChannelAccount.Health.ATTENTION)
    dead = InboundEvent.objects.filter(state=InboundEvent.State.DEAD)
    return [
        _card(
            _("Dead events"),
            _("arrived, could not be processed"),
            _some(dead),
            "channels_hub_inboundevent",
            "state__exact=dead",
            "bad",
        ),
        _card(
            _("Channels in trouble"),
            _("need attention"),
            _some(ill),
            "channels_hub_channelaccount",
            "health__exact=attention",
            "bad",
        ),
    ]


def _outbox() -> list[dict[str, Any]]:
    page = "conversations_delivery"
    unknown = Delivery.objects.filter(status=Sending.UNKNOWN)
    due = Delivery.objects.filter(status__in=[Sending.PENDING, Sending.RETRYING])
    return [
        _card(_("Not confirmed"), _("handed over or not?"), _some(unknown), page, "status=unknown", "bad"),
        _card(_("In the outbox"), _("waiting to be sent"), _some(due), page, "status=pending"),
    ]


def _some(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: MOST + 1].count()


def _card(title: str, hint: str, figure: int, page: str, query: str, tone: str = "active") -> dict[str, Any]:
    """One figure and where to see what it counts; a tone of alarm only when there is something."""
    return {
        "title": title,
        "hint": hint,
        "figure": min(figure, MOST),
        "capped": figure > MOST,
        "link": f"{reverse(f'admin:{page}_changelist')}?{query}",
        "tone": tone if figure else "calm",
    }
