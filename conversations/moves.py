"""The only door through which a conversation changes: lock, let the caller act, write, record, announce."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from accounts.models import Membership
from conversations import deadlines, live
from conversations.models import Conversation, Event


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
        yield conversation
        conversation.is_moving = False
        deadlines.rearm(conversation, now or database_now())


@contextmanager
def writing(pk: UUID, *, actor: Membership | None = None, cause: str = "") -> Iterator[Conversation]:
    """Lock a conversation to add facts (messages, statuses, notes) without changing its state."""
    with _locked(pk, actor, cause) as conversation:
        yield conversation


@contextmanager
def _locked(pk: UUID, actor: Membership | None, cause: str) -> Iterator[Conversation]:
    with transaction.atomic():
        # no_key: messages that point here may be inserted meanwhile.
        conversation = Conversation.objects.select_for_update(no_key=True).get(pk=pk)
        conversation.is_locked = True
        yield conversation
        _write(conversation, actor, cause)
        conversation.is_locked = False


def _write(conversation: Conversation, actor: Membership | None, cause: str) -> None:
    conversation.save(update_fields=Conversation.MOVED)
    for event in conversation.unwritten:
        event.actor = event.actor or actor
        event.cause = event.cause or cause
    if conversation.unwritten:
        Event.objects.bulk_create(conversation.unwritten)
        conversation.unwritten = []
        live.touch(conversation)
