"""Written now, sent later: at a time, or as soon as the customer's message opens the window again.

The row is the plan. Whoever releases it holds the conversation's lock and writes message and row in one
transaction, so two sweeps or a death half-way send it once or leave it waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _
from django_scopes import scope, scopes_disabled

from accounts.models import Membership
from channels_hub.models import MediaFile
from conversations import attaching, outbox, plans
from conversations.can_send import can_send
from conversations.conflicts import Conflict
from conversations.gate import Content
from conversations.models import Conversation, ConversationQuerySet, Delivery, Later, LaterFile, Message
from conversations.moves import database_now, writing

logger = logging.getLogger(__name__)

MOST = 20  # plans waiting in one conversation
FARTHEST = timedelta(days=90)
WAITS_FOR_WINDOW = timedelta(days=30)
GRACE = timedelta(hours=24)  # so late it still goes out when nothing ran at its time
SHOWN = (Later.State.WAITING, Later.State.REFUSED)  # a refusal stays in sight until somebody takes it away


def plan(
    pk: UUID,
    *,
    agent: Membership,
    text: str,
    send_at: datetime | None,
    media: Sequence[UUID] = (),
    template: Mapping[str, Any] | None = None,
    client_id: str = "",
) -> tuple[Later, bool]:
    """Keep a message until `send_at`, or until the window opens: (plan, whether it is new).

    `media` are ids of files the agent uploaded for it. Raises NotYours, Conflict for a time that makes no
    sense, Refused when it may never go, attaching.NoSuchFile, attaching.NotReady.
    """
    now = database_now()
    with writing(pk, actor=agent, cause="later") as conversation:
        if client_id and (known := conversation.laters.filter(client_id=client_id).first()):
            return known, False
        if plans.holder(conversation) != agent.pk:
            raise outbox.NotYours
        files = attaching.named(conversation, agent, media)
        content = Content(frozenset(file.kind for file in files), template is not None)
        _must_make_sense(conversation, send_at, content, now)
        later = Later.objects.create(
            organization_id=conversation.organization_id,
            conversation=conversation,
            author=agent,
            text=text,
            template=template,
            send_at=send_at,
            expires_at=send_at + GRACE if send_at else now + WAITS_FOR_WINDOW,
            client_id=client_id,
        )
        LaterFile.objects.bulk_create(
            LaterFile(
                organization_id=conversation.organization_id, later=later, media=file, position=position
            )
            for position, file in enumerate(files)
        )
        conversation.log("later_planned", {"later": str(later.pk)})
    return later, True


def _must_make_sense(
    conversation: Conversation, send_at: datetime | None, content: Content, now: datetime
) -> None:
    verdict = can_send(conversation, content, human=True, now=now)
    if not verdict.ok and verdict.code != "window_closed":
        raise outbox.Refused(verdict.code)
    if send_at is None and verdict.ok:
        raise Conflict(_("Nothing stands in the way: send it now."))
    if send_at is not None and send_at <= now:
        raise Conflict(_("This time is over."))
    if send_at is not None and send_at > now + FARTHEST:
        raise Conflict(_("Choose a time within the next 90 days."))
    if conversation.laters.filter(state=Later.State.WAITING).count() >= MOST:
        raise Conflict(_("Enough is planned in this conversation already."))


def change(later_id: UUID, *, agent: Membership, send_at: datetime | None) -> Later:
    """Another time for what still waits. Raises NotYours, TooLate, Conflict, Refused."""
    now = database_now()
    later = Later.objects.get(pk=later_id)
    with writing(later.conversation_id, actor=agent, cause="later") as conversation:
        if plans.holder(conversation) != agent.pk:
            raise outbox.NotYours
        if (locked := _waiting(later_id)) is None:
            raise outbox.TooLate
        _must_make_sense(conversation, send_at, content_of(locked, files_of(locked)), now)
        locked.send_at = send_at
        locked.expires_at = send_at + GRACE if send_at else now + WAITS_FOR_WINDOW
        locked.save(update_fields=["send_at", "expires_at"])
        conversation.log("later_changed", {"later": str(later_id)})
    return locked


def cancel(later_id: UUID, *, actor: Membership) -> None:
    """Withdraw a plan, or take a refused one out of sight. Raises TooLate once it is sent."""
    later = Later.objects.get(pk=later_id)
    with writing(later.conversation_id, actor=actor, cause="later") as conversation:
        rows = Later.objects.filter(pk=later_id, state__in=SHOWN)
        if not rows.update(state=Later.State.CANCELLED, reason="withdrawn"):
            raise outbox.TooLate
        conversation.log("later_withdrawn", {"later": str(later_id)})


def with_plans(found: ConversationQuerySet) -> ConversationQuerySet:
    """With whether `shown` has anything to read, in the same statement."""
    return found.annotate(
        has_plans=Exists(Later.objects.filter(conversation=OuterRef("pk"), state__in=SHOWN))
    )


def shown(conversation: Conversation) -> list[Later]:
    """What is planned in a conversation and what was refused, the next one first."""
    if not vars(conversation).get("has_plans", True):
        return []
    rows = Later.objects.filter(conversation=conversation, state__in=SHOWN)
    rows = rows.select_related("author__user").prefetch_related("files__media")
    return sorted(rows, key=lambda one: (one.send_at or one.expires_at, one.pk))


def files_of(later: Later) -> list[MediaFile]:
    return [one.media for one in later.files.all()]


def content_of(later: Later, files: Sequence[MediaFile]) -> Content:
    return Content(frozenset(file.kind for file in files), later.template is not None)


# ---------------------------------------------------------------- their time comes
def window_opened(conversation: Conversation, now: datetime) -> None:
    """The customer wrote: what waited for that goes out, the oldest first. Needs the lock."""
    if plans.holder(conversation) is None:
        return
    waiting = conversation.laters.filter(state=Later.State.WAITING, send_at__isnull=True).order_by("pk")
    for later in waiting.prefetch_related("files__media"):
        _release(conversation, later, now)


def release_due(limit: int = 100) -> int:
    """Send what is due; how many plans ended. Two at once find each plan ended by the first."""
    now = database_now()
    with scopes_disabled():
        due = Later.objects.filter(Q(send_at__lte=now) | Q(expires_at__lte=now), state=Later.State.WAITING)
        found = list(due.select_related("organization").order_by("expires_at", "pk")[:limit])
    return sum(_release_one(later) for later in found)


def _release_one(later: Later) -> bool:
    try:
        with (
            scope(organization=later.organization),
            writing(later.conversation_id, cause="later") as conversation,
        ):
            now = database_now()
            locked = _waiting(later.pk)
            if locked is None or not _is_due(locked, now):
                return False  # somebody was faster, or moved it to another time
            _release(conversation, locked, now)
        return True
    except Exception:
        logger.exception("planned message %s failed", later.pk)  # the others must not wait for it
        return False


def _is_due(later: Later, now: datetime) -> bool:
    return min(later.send_at or later.expires_at, later.expires_at) <= now


def _release(conversation: Conversation, later: Later, now: datetime) -> None:
    """Ask the gate again, then say it or note why not."""
    files = files_of(later)
    verdict = can_send(conversation, content_of(later, files), human=True, now=now)
    reason = "expired" if later.expires_at <= now else verdict.code
    if reason:
        _end(later, Later.State.REFUSED, reason)
        conversation.log("later_refused", {"later": str(later.pk), "why": reason}, actor=later.author)
        return
    draft = outbox.Draft(
        text=later.text,
        sender=Message.Sender.AGENT,
        origin=Delivery.Origin.AGENT,
        agent=later.author,
        media=files,
        template=later.template,
        client_id=f"later-{later.pk}",
        priority=outbox.PRIORITIES["important"],
    )
    later.message = outbox.say(conversation, draft, now=now)
    _end(later, Later.State.SENT)
    conversation.log("later_sent", {"later": str(later.pk)}, actor=later.author)


def _end(later: Later, state: Later.State, reason: str = "") -> None:
    later.state, later.reason = state, reason
    later.save(update_fields=["state", "reason", "message"])


def _waiting(later_id: UUID) -> Later | None:
    return (
        Later.objects.filter(pk=later_id, state=Later.State.WAITING)
        .select_related("author")
        .prefetch_related("files__media")
        .first()
    )
