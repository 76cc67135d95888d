"""Nobody is stuck: each minute, what stands where nothing will ever move it is found, mended and noted.

Every open conversation has one owner and a next deadline; the verbs see to that. This is the net below them,
for what a crash, a restored backup or a queue switched off left behind. Each repair looks again under the
lock, so that two sweeps mend a thing once; a thing that does not stay mended goes to a supervisor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django_scopes import scope, scopes_disabled

from accounts.models import Organization
from conversations import deadlines, outbox, router, stays
from conversations.conflicts import Conflict, NoQueue
from conversations.models import Conversation, Deadline, Event, FlowRun, Offer, Reception, State, Stay
from conversations.moves import database_now, moving, writing
from conversations.queueing import check_and_apply_overflow, enter_queue, pass_on
from queues.models import Queue

logger = logging.getLogger(__name__)
Kind = Deadline.Kind
BATCH = 100  # of each kind and round; the next round is a minute away
REST = timedelta(hours=1)  # mended twice within it: a supervisor is told, and it is left alone as long
OVERDUE = timedelta(minutes=1)  # an offer's own deadline had its chance
CAUSE = "repair"


@dataclass(frozen=True, slots=True)
class Fault:
    """`broken` narrows conversations to those that have it; `mend` works in a transaction of its own."""

    what: str
    broken: Callable[[datetime], Q]
    mend: Callable[[UUID, Fault], bool]

    def still_there(self, pk: UUID, now: datetime) -> bool:
        return Conversation.objects.filter(self.broken(now), pk=pk).exists()


# ---------------------------------------------------------------- the sweep
def sweep() -> int:
    """Find and mend; how many were mended. Each in its own transaction: a hopeless one stops no other."""
    return sum(_mended(organization, pk, fault) for fault in FAULTS for organization, pk in _found(fault))


def _found(fault: Fault) -> list[tuple[Organization, UUID]]:
    """The first of them over all organizations; those that a supervisor was just told of are left alone."""
    with scopes_disabled():
        now = database_now()
        told = Event.objects.filter(
            conversation=OuterRef("pk"), type="attention", cause=CAUSE, at__gte=now - REST
        )
        rows = Conversation.objects.filter(fault.broken(now)).exclude(Exists(told))
        found = rows.order_by().select_related("organization").only("organization")[:BATCH]
        return [(conversation.organization, conversation.pk) for conversation in found]


def _mended(organization: Organization, pk: UUID, fault: Fault) -> bool:
    with scope(organization=organization):
        try:
            if _mended_before(pk, fault):
                return _tell(pk, fault)
            return fault.mend(pk, fault)
        except NoQueue:
            return _tell(pk, fault)
        except Exception:
            # Logged by id; it is found again in a minute.
            logger.exception("%s of %s could not be mended", fault.what, pk)
            return False


def _mended_before(pk: UUID, fault: Fault) -> bool:
    """Within the hour: mending it again would go round in circles."""
    since = database_now() - REST
    return Event.objects.filter(
        conversation_id=pk, type="repaired", data__what=fault.what, at__gte=since
    ).exists()


def _tell(pk: UUID, fault: Fault) -> bool:
    """It needs a person: said once an hour, on the conversation and to supervisors."""
    with writing(pk, cause=CAUSE) as conversation:
        now = database_now()
        since = Event.objects.filter(conversation_id=pk, type="attention", cause=CAUSE, at__gte=now - REST)
        if fault.still_there(pk, now) and not since.exists():
            conversation.log("attention", {"why": fault.what})
    return False


def _note(conversation: Conversation, fault: Fault) -> None:
    conversation.log("repaired", {"what": fault.what})


# ---------------------------------------------------------------- without a deadline
def _no_deadline(now: datetime) -> Q:
    armed = Deadline.objects.filter(conversation=OuterRef("pk"))
    return ~Q(state=State.CLOSED) & ~Q(Exists(armed))


def _rearm(pk: UUID, fault: Fault) -> bool:
    """The door arms what the state needs when its block ends; the bot is asked at once for what it missed."""
    now = database_now()
    with moving(pk, cause=CAUSE, now=now) as conversation:
        if not fault.still_there(pk, now):
            return False
        if conversation.state in (State.PENDING, State.BOT):
            deadlines.arm(conversation, Kind.BOT_TURN, now)
        _note(conversation, fault)
    return True


# ---------------------------------------------------------------- a bot that is not there
def _bot_without_run(now: datetime) -> Q:
    live = FlowRun.objects.filter(conversation=OuterRef("pk"), ended_at__isnull=True)
    turn = Deadline.objects.filter(conversation=OuterRef("pk"), kind=Kind.BOT_TURN)
    return Q(state=State.BOT) & ~Q(Exists(live)) & ~Q(Exists(turn))


# ---------------------------------------------------------------- with nobody who could act
def _in_a_dead_queue(now: datetime) -> Q:
    return Q(state=State.QUEUED, queue__is_active=False)


def _agent_gone(now: datetime) -> Q:
    return Q(state=State.HUMAN_HANDOFF, assigned_agent__is_active=False)


def _line_up(pk: UUID, fault: Fault) -> bool:
    """To people who can act; who waits already keeps the place in line. Raises NoQueue."""
    now = database_now()
    with transaction.atomic():
        target = check_and_apply_overflow(_home_of(pk), besides=pk, now=now)
        with moving(pk, cause=CAUSE, now=now) as conversation:
            if not fault.still_there(pk, now):
                return False
            turn = conversation.seq + 1
            _note(conversation, fault)
            if conversation.state == State.QUEUED:
                pass_on(conversation, target, now)
            else:
                enter_queue(conversation, target, priority=None, now=now)
            outbox.fence(conversation, before_seq=turn, now=now)
    return True


def _home_of(pk: UUID) -> UUID:
    """Its own queue, one of the same department, the channel's, else the first of all that are active."""
    conversation = Conversation.objects.select_related("queue").get(pk=pk)
    queue, active = conversation.queue, Queue.objects.filter(is_active=True).order_by("-priority", "slug")
    of_channel = Reception.objects.filter(channel_id=conversation.channel_id).values("default_queue")
    choices = [active.filter(pk__in=of_channel), active]
    if queue:
        choices = [active.filter(pk=queue.pk), active.filter(department=queue.department_id), *choices]
    for choice in choices:
        if found := choice.values_list("pk", flat=True).first():
            return found
    raise NoQueue


# ---------------------------------------------------------------- asleep for ever
def _overslept(now: datetime) -> Q:
    alarm = Deadline.objects.filter(conversation=OuterRef("pk"), kind=Kind.SNOOZE)
    return Q(state=State.HUMAN_HANDOFF, snoozed_until__lt=now) & ~Q(Exists(alarm))


def _wake(pk: UUID, fault: Fault) -> bool:
    now = database_now()
    with writing(pk, cause=CAUSE) as conversation:
        if not fault.still_there(pk, now):
            return False
        deadlines.arm(conversation, Kind.SNOOZE, now)
        _note(conversation, fault)
    return True


# ---------------------------------------------------------------- offered for ever
def _offer_overdue(now: datetime) -> Q:
    late = Offer.objects.filter(outcome=Offer.Outcome.OPEN, expires_at__lt=now - OVERDUE)
    return Q(pk__in=late.values("conversation"))


def _end_offer(pk: UUID, fault: Fault) -> bool:
    try:
        if router.expire_offer(pk) is None:
            return False
    except Conflict:
        return False  # answered meanwhile
    with writing(pk, cause=CAUSE) as conversation:
        _note(conversation, fault)
    return True


# ---------------------------------------------------------------- the book of stays
def _not_in_the_book(now: datetime) -> Q:
    """Waiting without an open stay in this queue since then."""
    same = Stay.objects.filter(
        conversation=OuterRef("pk"),
        left_at__isnull=True,
        queue=OuterRef("queue"),
        entered_at__gte=OuterRef("queued_at"),
    )
    return Q(state=State.QUEUED) & ~Q(Exists(same))


def _left_in_the_book(now: datetime) -> Q:
    """An open stay of one that does not wait."""
    still = Stay.objects.filter(left_at__isnull=True)
    return ~Q(state=State.QUEUED) & Q(pk__in=still.values("conversation"))


def _rewrite_stay(pk: UUID, fault: Fault) -> bool:
    now = database_now()
    with writing(pk, cause=CAUSE) as conversation:
        if not fault.still_there(pk, now):
            return False
        _note(conversation, fault)
        stays.note(conversation)
    return True


FAULTS: tuple[Fault, ...] = (
    Fault("bot without a run", _bot_without_run, _line_up),
    Fault("queue is switched off", _in_a_dead_queue, _line_up),
    Fault("agent works here no more", _agent_gone, _line_up),
    Fault("snooze never ends", _overslept, _wake),
    Fault("offer never ends", _offer_overdue, _end_offer),
    Fault("stay does not match", _not_in_the_book, _rewrite_stay),
    Fault("stay does not match", _left_in_the_book, _rewrite_stay),
    Fault("no deadline", _no_deadline, _rearm),
)
