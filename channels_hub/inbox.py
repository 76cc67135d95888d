"""The raw inbox: every event of a verified call becomes one row, once, before anything is done about it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import connection
from django.utils import timezone

from channels_hub.contract import Adapter, BadPayload, RawRequest
from channels_hub.models import ChannelAccount, InboundEvent
from channels_hub.vocabulary import InboundEvent as Event
from channels_hub.vocabulary import Kind

UNREADABLE = "unreadable"


def keep(account: ChannelAccount, adapter: Adapter, request: RawRequest) -> list[UUID]:
    """Store a verified request, one row per event; the ids of the rows that wait for processing.

    Runs inside the account's scope and the caller's transaction. An event that is there already stays as it
    is: the id returned for its second coming leads nowhere. An adapter that stumbles over the payload costs
    one dead row with the reason, never an answer that makes the platform call again.
    """
    rows = _rows(account, adapter, request)
    _insert(rows)
    return [row.id for row in rows if row.state == InboundEvent.State.NEW]


def _insert(rows: Sequence[InboundEvent]) -> None:
    """One statement for one call, its commit included: `bulk_create` would ask the database three times."""
    if not rows:
        return
    fields = InboundEvent._meta.concrete_fields
    columns = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(["(" + ", ".join(["%s"] * len(fields)) + ")"] * len(rows))
    values = [
        field.get_db_prep_save(field.pre_save(row, add=True), connection) for row in rows for field in fields
    ]
    table = InboundEvent._meta.db_table
    with connection.cursor() as cursor:
        # Names of our own columns only; every value is a parameter.
        cursor.execute(
            f'INSERT INTO "{table}" ({columns}) VALUES {places} ON CONFLICT DO NOTHING',  # noqa: S608
            values,
        )


def replay(row: InboundEvent, adapter: Adapter) -> list[UUID]:
    """Give a dead row another chance, split anew when it never was; the ids that wait for processing."""
    if row.kind != UNREADABLE:
        row.state, row.attempts, row.next_attempt_at = InboundEvent.State.NEW, 0, timezone.now()
        row.save(update_fields=["state", "attempts", "next_attempt_at"])
        return [row.id]
    rows = _rows(row.account, adapter, row.request())
    if rows[0].kind == UNREADABLE:
        return []
    InboundEvent.objects.bulk_create(rows, ignore_conflicts=True)
    row.state, row.reason = InboundEvent.State.IGNORED, f"split again into {len(rows)}"
    row.processed_at = timezone.now()
    row.save(update_fields=["state", "reason", "processed_at"])
    return [one.id for one in rows if one.state == InboundEvent.State.NEW]


def read(row: InboundEvent, adapter: Adapter) -> Event:
    """The event of a row again, from its raw bytes; BadPayload when it cannot be found."""
    events: Sequence[Event] = list(adapter.parse(row.request()))
    if row.part >= len(events):
        raise BadPayload("the request no longer has this part")
    return events[row.part]


def _rows(account: ChannelAccount, adapter: Adapter, request: RawRequest) -> list[InboundEvent]:
    try:
        events = enumerate(adapter.parse(request))
        return [_row(account, adapter, request, part, event) for part, event in events]
    except Exception as error:  # whatever an adapter does, the raw call is kept for a replay
        return [_dead(account, adapter, request, error)]


def _row(
    account: ChannelAccount, adapter: Adapter, request: RawRequest, part: int, event: Event
) -> InboundEvent:
    row = _envelope(account, adapter, request)
    row.key = InboundEvent.key_for(account, event.dedup_key)
    row.sender_key = InboundEvent.sender_key_for(account, event)
    row.part, row.kind, row.occurred_at = part, event.kind.value, event.occurred_at
    if event.kind is Kind.NOTICE:
        row.state = InboundEvent.State.IGNORED
        row.reason = str(event.meta.get("reason", "nothing to do"))
        row.processed_at = request.received_at
    return row


def _dead(account: ChannelAccount, adapter: Adapter, request: RawRequest, error: Exception) -> InboundEvent:
    row = _envelope(account, adapter, request)
    # The body is the identity here: a redelivery of the same bytes is the same row.
    row.key = InboundEvent.key_for(account, UNREADABLE + request.body.hex())
    row.sender_key = row.key[:16]
    row.kind, row.state, row.occurred_at = UNREADABLE, InboundEvent.State.DEAD, request.received_at
    row.reason = str(error) if isinstance(error, BadPayload) else f"parser: {type(error).__name__}"
    return row


def _envelope(account: ChannelAccount, adapter: Adapter, request: RawRequest) -> InboundEvent:
    kept = {name: request.headers[name] for name in adapter.kept_headers if name in request.headers}
    return InboundEvent(
        organization_id=account.organization_id,
        account=account,
        method=request.method,
        url=request.url[:2000],
        headers=kept,
        body=request.body,
        received_at=request.received_at,
        next_attempt_at=request.received_at,
    )
