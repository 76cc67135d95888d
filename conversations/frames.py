"""Live frames: what a page must change to be up to date, read from the ledger behind a cursor.

A cursor is "xid.id": everything before it was committed and is on the page. Only rows of transactions older
than every one running in this database are read, in the order (xid, id), so nothing that commits late is
ever missed. Every op replaces by DOM id: seeing one twice is harmless, so the same frames serve socket,
fetch and catch-up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django_scopes import scope, scopes_disabled

from accounts.models import Membership
from conversations import around, me, offers, pages, selectors, thread, timeline
from conversations.models import Conversation, ConversationQuerySet
from conversations.moves import database_now
from conversations.pages import View
from queues.models import AgentProfile

LIMIT = 500  # more than this behind: the page is fetched anew
TO_TOP = frozenset({"message_in", "message_out"}) | timeline.MOVES
RESTS = frozenset({"held", "unheld", "snoozed", "unsnoozed"})
PLANS = frozenset(
    {"later_planned", "later_changed", "later_withdrawn", "later_cancelled", "later_refused", "later_sent"}
)
PROMISES = frozenset({"message_out", "sla_warning", "sla_breach"})  # a clock was met, warns or is over

READ = """
SELECT xid::text::bigint, id, conversation_id, seq, type, data->>'message' FROM conversations_event
WHERE organization_id = %(organization)s
  AND (xid, id) > (%(xid)s::text::xid8, %(id)s)
  AND xid < conversations_settled_xid()
ORDER BY xid, id LIMIT %(limit)s
"""
NEWEST = """
SELECT o.id, e.xid, e.id FROM unnest(%s::uuid[]) AS o(id) CROSS JOIN LATERAL (
    SELECT xid::text::bigint AS xid, id FROM conversations_event
    WHERE organization_id = o.id AND xid < conversations_settled_xid()
    ORDER BY organization_id DESC, xid DESC, id DESC LIMIT 1) e
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A line of the ledger, as far as frames need it."""

    xid: int
    id: int
    conversation_id: UUID
    seq: int
    type: str
    message_id: str | None


# ---------------------------------------------------------------- cursors
def here_and_now() -> tuple[str, datetime]:
    """The cursor of a page that is read after this call, and the time. Never take it after the rows."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT conversations_settled_xid()::text, clock_timestamp()")
        settled, now = cursor.fetchone()
        return f"{settled}.0", now


def current_cursor() -> str:
    return here_and_now()[0]


def parsed(cursor: str) -> tuple[int, int] | None:
    """(xid, id), or None for anything else."""
    xid, dot, number = cursor.partition(".")
    if dot and xid.isascii() and xid.isdigit() and number.isascii() and number.isdigit() and len(cursor) < 40:
        pair = int(xid), int(number)
        return pair if max(pair) < 2**63 else None
    return None


def newest(organization_ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
    """The newest readable ledger line of each organization: what the poll compares. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(NEWEST, [list(organization_ids)])
        return {row[0]: (row[1], row[2]) for row in cursor.fetchall()}


# ---------------------------------------------------------------- the frame
def frames_since(
    member: Membership,
    cursor: str,
    view: View,
    open_conversation: UUID | None = None,
    limit: int = LIMIT,
) -> dict[str, Any]:
    """{"cursor", "kind", "events", "ops"} after `cursor`, or {"reset": true}: fetch the page anew.

    Each op is {"op": "upsert"|"top"|"remove"|"text"|"morph", "target", "scope", "seq", "html"}. What the
    member may see is asked now, not when the event happened.
    """
    at = parsed(cursor)
    told = _read(member.organization_id, at, limit + 1) if at else []
    if at is None or len(told) > limit:
        here = current_cursor()
        with scope(organization=member.organization):
            return {"reset": True, "cursor": here, "ops": [_offers_op(offers.cards(member, database_now()))]}
    if not told:
        return {"cursor": cursor, "kind": "events", "events": 0, "ops": []}
    with scope(organization=member.organization):
        ops = _ops(member, view, open_conversation, told)
    return {"cursor": f"{told[-1].xid}.{told[-1].id}", "kind": "events", "events": len(told), "ops": ops}


def presence_stamps(member_ids: Iterable[UUID]) -> dict[UUID, str]:
    """What tells one presence of an agent from the next, for the members of many organizations."""
    with scopes_disabled():
        rows = AgentProfile.objects.filter(member__in=list(member_ids))
        return {pk: me.stamp_of(since) for pk, since in rows.values_list("member_id", "presence_since")}


def presence_ops(member: Membership) -> list[dict[str, Any]]:
    """The member's own presence: the dot at the rail, the menu, the banner."""
    with scope(organization=member.organization):
        presence = me.me_of(member)
        context = {"presence": presence, "initials": pages.initials(member.name)}
        return [
            op("morph", target, render_to_string(f"inbox/_{target.replace('-', '_')}.html", context))
            for target in ("me-dot", "me-presence", "me-told")
            if presence
        ]


def _read(organization_id: UUID, at: tuple[int, int], limit: int) -> list[Told]:
    with connection.cursor() as cursor:
        cursor.execute(
            READ, {"organization": organization_id, "xid": str(at[0]), "id": at[1], "limit": limit}
        )
        return [Told(*row) for row in cursor.fetchall()]


def _ops(member: Membership, view: View, opened: UUID | None, told: Sequence[Told]) -> list[dict[str, Any]]:
    by_conversation: dict[UUID, list[Told]] = defaultdict(list)
    for line in told:
        by_conversation[line.conversation_id].append(line)
    visible = selectors.visible_to(member)
    ops = _row_ops(visible, member, view, by_conversation)
    ops += _count_ops(visible, member)
    ops += _offer_ops(member, by_conversation)
    if opened in by_conversation:
        ops += _thread_ops(visible, member, opened, by_conversation[opened])
    return ops


def op(kind: str, target: str, html: str = "", *, scope: object = "", seq: float = 0) -> dict[str, Any]:
    return {"op": kind, "target": target, "scope": str(scope), "seq": seq, "html": html}


# ---------------------------------------------------------------- the list
def _row_ops(
    visible: ConversationQuerySet, member: Membership, view: View, touched: dict[UUID, list[Told]]
) -> list[dict[str, Any]]:
    """A row that belongs into this list is placed or replaced; every other touched one is taken out."""
    found = list(pages.listed(visible, member, view).filter(pk__in=list(touched)))
    ops = []
    for row in pages.rows_of(found, member, view, database_now()):
        lines = touched[row.pk]
        kind = "top" if any(line.type in TO_TOP for line in lines) else "upsert"
        html = render_to_string("inbox/_row.html", {"row": row})
        ops.append(op(kind, f"row-{row.pk}", html, seq=lines[-1].seq))
    gone = touched.keys() - {c.pk for c in found}
    return ops + [op("remove", f"row-{pk}", seq=touched[pk][-1].seq) for pk in gone]


def _count_ops(visible: ConversationQuerySet, member: Membership) -> list[dict[str, Any]]:
    return [op("text", f"count-{tab}", str(n)) for tab, n in pages.counts(visible, member).items()]


def _offer_ops(member: Membership, touched: dict[UUID, list[Told]]) -> list[dict[str, Any]]:
    """What is on offer to the viewer, when that has changed; a new offer is read aloud."""
    types = {pk: {line.type for line in lines} for pk, lines in touched.items()}
    ended = [pk for pk, found in types.items() if found & (timeline.MOVES | offers.ENDED)]
    if not offers.are_changed(member, touched.keys(), ended):
        return []
    cards = offers.cards(member, database_now())
    new = [card for card in cards if "offered" in types.get(card.pk, ())]
    return [_offers_op(cards), *(op("text", "live-status", card.said) for card in new)]


def _offers_op(cards: Sequence[offers.Card]) -> dict[str, Any]:
    return op("morph", "offers", render_to_string("inbox/_offers.html", {"offers": cards}))


# ---------------------------------------------------------------- the open conversation
def _thread_ops(
    visible: ConversationQuerySet, member: Membership, pk: UUID, told: Sequence[Told]
) -> list[dict[str, Any]]:
    conversation = thread.opened(visible).filter(pk=pk).first()
    if conversation is None:
        return [op("morph", "open", render_to_string("inbox/_gone.html"), scope=pk)]
    reader = thread.Reader(conversation, member, database_now())
    ops = [
        op("upsert", item.id, render_to_string("inbox/_item.html", {"item": item}), scope=pk, seq=item.seq)
        for item in _items(reader, told)
    ]
    ops += _around(reader, told)
    return ops + _announcements(conversation, told)


def _items(reader: thread.Reader, told: Sequence[Told]) -> list[thread.Item]:
    """What the lines put into the log: new and changed bubbles, notes, ledger lines, the summary."""
    ids = {line.message_id for line in told if line.message_id}
    messages = thread.messages_of(reader.conversation).filter(pk__in=ids) if ids else ()
    items = [reader.bubble(message) for message in thread.with_files(messages)]
    seqs = [line.seq for line in told if line.type in timeline.TELLERS or line.type == "note"]
    if seqs:
        # From the first of them on, so that the latest line of a kind is known to be the latest.
        events = thread.ledger(reader.conversation, Q(seq__gte=min(seqs)))
        wanted = set(seqs)
        handed = any(line.type in timeline.HANDS_OVER | {"claim"} for line in told)
        found = thread.others(reader, events, newest=True)
        items += [item for item in found if item.seq in wanted or (item.kind == "summary" and handed)]
    return sorted(items, key=lambda item: item.seq)


def _around(reader: thread.Reader, told: Sequence[Told]) -> list[dict[str, Any]]:
    """Header, foot and panel change with the state, the window and what the bot learns."""
    types = {line.type for line in told}
    c, member, now = reader.conversation, reader.member, reader.now
    if not types & (timeline.MOVES | RESTS | PROMISES | PLANS | {"message_in", "flow_started"}):
        return []
    context = {
        "conversation": c,
        "head": around.header_of(c, member, now),
        "composer": around.composer_of(c, member, now),
        "rights": around.rights_of(c, member),
        "mine": c.assigned_agent_id == member.pk,
    }
    ops = [
        op("morph", name, render_to_string(f"inbox/_{name}.html", context), scope=c.pk, seq=c.seq)
        for name in ("head", "composer")
    ]
    if types & PLANS:
        context["planned"] = around.planned_of(c, reader)
        html = render_to_string("inbox/_planned.html", context)
        ops.append(op("morph", "planned", html, scope=c.pk, seq=c.seq))
    if types & timeline.MOVES:
        context["panel"] = around.panel_of(c, reader)
        ops.append(
            op("morph", "panel", render_to_string("inbox/_panel.html", context), scope=c.pk, seq=c.seq)
        )
    return ops


def _announcements(conversation: Conversation, told: Sequence[Told]) -> list[dict[str, Any]]:
    """Only what the customer writes is read aloud."""
    if not any(line.type == "message_in" for line in told):
        return []
    text = _("New message from %(name)s: %(text)s") % {
        "name": pages.name_of(conversation),
        "text": conversation.preview if conversation.preview_sender == "contact" else "",
    }
    return [op("text", "live-status", text, scope=conversation.pk)]
