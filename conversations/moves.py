"""The only door through which a conversation changes: lock, let the caller act, write, record, announce."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Membership
from accounts.rows import write_back
from conversations import bells, deadlines, hooks, live, plans, stays
from conversations.models import Conversation, Event, State
from queues.services import call_router

ROUTE = "conversations.tasks.route"


def database_now() -> datetime:
    """The one clock: asked once at each door and passed down."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


@contextmanager
def moving(
    pk: UUID, *, actor: Membership | None = None, cause: str = "", now: datetime | None = None
) -> Iterator[Conversation]:
    """Lock a conversation and let the caller call verbs on it; each writes its own line in the ledger.

    Raises Conversation.DoesNotExist, and TransitionNotAllowed from a verb that is illegal in this state.
    Never nest two blocks of one conversation: the inner one would not see what the outer one did.
    """
    with _locked(pk, actor, cause) as conversation:
        conversation.is_moving = True
        before = hooks.Standing.of(conversation)
        yield conversation
        conversation.is_moving = False
        now = now or database_now()
        deadlines.rearm(conversation, now)
        hooks.moved(conversation, before, now)


@contextmanager
def writing(pk: UUID, *, actor: Membership | None = None, cause: str = "") -> Iterator[Conversation]:
    """Lock a conversation to add facts (messages, statuses, notes) without changing its state."""
    with _locked(pk, actor, cause) as conversation:
        yield conversation


@contextmanager
def noting(pks: Iterable[UUID], *, cause: str = "") -> Iterator[dict[UUID, Conversation]]:
    """Lock several conversations, by id, to add lines to their ledgers: nothing else of them is written."""
    with transaction.atomic():
        rows = Conversation.objects.select_for_update(no_key=True).filter(pk__in=set(pks)).order_by("pk")
        found = {conversation.pk: conversation for conversation in rows}
        for conversation in found.values():
            conversation.is_locked = True
        yield found
        told = [conversation for conversation in found.values() if conversation.unwritten]
        write_back(told, ["seq"])
        lines = [event for conversation in told for event in conversation.unwritten]
        for event in lines:
            event.cause = event.cause or cause
        Event.objects.bulk_create(lines)
        for conversation in found.values():
            conversation.unwritten, conversation.is_locked = [], False
        if told:
            live.touch(told[0])


@contextmanager
def _locked(pk: UUID, actor: Membership | None, cause: str) -> Iterator[Conversation]:
    with transaction.atomic():
        # no_key: messages that point here may be inserted meanwhile.
        conversation = Conversation.objects.select_for_update(no_key=True).get(pk=pk)
        conversation.is_locked = True
        before, holder = Place.of(conversation), plans.holder(conversation)
        yield conversation
        if holder and plans.holder(conversation) != holder:
            plans.drop(conversation)
        _write(conversation, actor, cause)
        _follow(conversation, before, Place.of(conversation))
        conversation.is_locked = False


def _write(conversation: Conversation, actor: Membership | None, cause: str) -> None:
    conversation.save(update_fields=Conversation.MOVED)
    for event in conversation.unwritten:
        event.actor = event.actor or actor
        event.cause = event.cause or cause
    if conversation.unwritten:
        Event.objects.bulk_create(conversation.unwritten)
        live.touch(conversation)


# ---------------------------------------------------------------- what follows from the new place
@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation stands in line, and whose capacity it takes."""

    queue_id: UUID | None
    queued_at: datetime | None
    burdens: UUID | None

    @classmethod
    def of(cls, c: Conversation) -> Place:
        rests = c.state != State.HUMAN_HANDOFF or c.snoozed_until or c.held_at
        return cls(c.queue_id if c.queued_at else None, c.queued_at, None if rests else c.assigned_agent_id)


def _follow(conversation: Conversation, before: Place, after: Place) -> None:
    """Keep the book of waiting times; call the router when somebody waits for it or has room again."""
    if (before.queue_id, before.queued_at) != (after.queue_id, after.queued_at):
        stays.note(conversation, keeps_age=before.queued_at == after.queued_at)
        if after.queued_at and conversation.queue.routes_itself:
            _call_router(conversation, "queued")
    if before.burdens and before.burdens != after.burdens:
        _call_router(conversation, "capacity freed")
    conversation.unwritten = []


def _call_router(conversation: Conversation, reason: str) -> None:
    call_router(conversation.organization_id, reason)
    bells.wake_workers(ROUTE)
