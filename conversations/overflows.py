"""Overflow of those who wait already: by a rule about waiting they go on, as old in line as they are."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django_scopes import scope, scopes_disabled

from accounts.models import Organization
from conversations import deadlines
from conversations.models import Conversation, Deadline, State, Stay
from conversations.moves import database_now, moving, writing
from conversations.queueing import check_and_apply_overflow, pass_on
from queues.models import OverflowRule

RETRY, LONGEST = timedelta(minutes=1), timedelta(minutes=30)  # pauses while nothing takes it
BATCH = 1000


# ---------------------------------------------------------------- one conversation
def wait_elsewhere(deadline: Deadline) -> bool:
    """Carry out the waiting rules of a conversation's queue; whether it went on.

    Raises deadlines.Void when it left its place meanwhile: two workers move it once.
    """
    now, pk = database_now(), deadline.conversation_id
    queues = Conversation.objects.filter(pk=pk, state=State.QUEUED).values_list("queue_id", flat=True)
    if (queue_id := queues.first()) is None:
        return False
    waited = now - datetime.fromisoformat(deadline.data["since"])
    with transaction.atomic():
        target = check_and_apply_overflow(queue_id, now=now, besides=pk, waited=waited)
        if not target.hops:
            _stay(deadline, queue_id, waited, now)
            return False
        with moving(pk, cause="overflow", now=now) as conversation:
            deadlines.must_stand(deadline)
            pass_on(conversation, target, now)
    return True


def _stay(deadline: Deadline, queue_id: UUID, waited: timedelta, now: datetime) -> None:
    """Nothing takes it, or no rule holds yet: say so once and look again, less and less often."""
    found = OverflowRule.objects.filter(queue=queue_id, condition=OverflowRule.Condition.WAITED)
    waits = [timedelta(minutes=minutes) for minutes in found.values_list("after_minutes", flat=True)]
    pauses = [wait - waited for wait in waits if wait > waited]
    stuck = len(pauses) < len(waits)
    data, tried = deadline.data, deadline.data.get("tried", 0)
    if stuck:
        pauses.append(min(RETRY * 2 ** min(tried, 10), LONGEST))
        data = {**data, "tried": tried + 1}
    with writing(deadline.conversation_id, cause="overflow") as conversation:
        deadlines.must_stand(deadline)
        if stuck and not tried:
            told = {"queue": conversation.queue.name, "condition": OverflowRule.Condition.WAITED}
            conversation.log("overflow_exhausted", told)
        if pauses:
            deadlines.arm(conversation, deadlines.Kind.OVERFLOW, now + min(pauses), data)


# ---------------------------------------------------------------- rules that came later
def sweep() -> int:
    """Waiting rules made or shortened later hold for those who wait already; how many were armed."""
    with scopes_disabled():
        found = OverflowRule.objects.filter(condition=OverflowRule.Condition.WAITED)
        organizations = list(Organization.objects.filter(pk__in=found.values("organization")))
    armed = 0
    for organization in organizations:
        with scope(organization=organization):
            for queue_id, minutes in _first_waits():
                armed += _arm_missing(queue_id, minutes) + _arm_changed(queue_id, minutes)
    return armed


def _first_waits() -> Iterable[tuple[UUID, int]]:
    rules = OverflowRule.objects.filter(condition=OverflowRule.Condition.WAITED).order_by()
    return rules.values("queue").annotate(first=Min("after_minutes")).values_list("queue", "first")


def _arm_missing(queue_id: UUID, minutes: int) -> int:
    armed = Deadline.objects.filter(conversation=OuterRef("pk"), kind=deadlines.Kind.OVERFLOW)
    stay = Stay.objects.filter(conversation=OuterRef("pk"), left_at__isnull=True)
    rows = Conversation.objects.filter(~Exists(armed), state=State.QUEUED, queue=queue_id)
    entered = rows.values_list("pk", Coalesce(Subquery(stay.values("entered_at")[:1]), "queued_at"))
    since = dict(entered.order_by("queued_at")[:BATCH])
    found = Conversation.objects.filter(pk__in=since)
    new = [_deadline(conversation, since[conversation.pk], minutes) for conversation in found]
    # Without the conversations' locks: a deadline that comes too late for one finds that it has left.
    Deadline.objects.bulk_create(new, ignore_conflicts=True)
    return len(new)


def _deadline(conversation: Conversation, since: datetime, minutes: int) -> Deadline:
    return Deadline(
        organization_id=conversation.organization_id,
        conversation=conversation,
        kind=deadlines.Kind.OVERFLOW,
        due_at=since + timedelta(minutes=minutes),
        epoch=conversation.bot_epoch,
        data=deadlines.overflow_data(conversation, since, minutes),
    )


def _arm_changed(queue_id: UUID, minutes: int) -> int:
    """Only what was not claimed yet: the rest looks at the rules as they are when it is carried out."""
    rows = Deadline.objects.filter(
        kind=deadlines.Kind.OVERFLOW, conversation__queue=queue_id, attempts=0, data__tried__isnull=True
    )
    stale = list(rows.exclude(data__minutes=minutes)[:BATCH])
    for row in stale:
        due_at = datetime.fromisoformat(row.data["since"]) + timedelta(minutes=minutes)
        unclaimed = Deadline.objects.filter(pk=row.pk, due_at=row.due_at, attempts=0)
        unclaimed.update(due_at=due_at, data={**row.data, "minutes": minutes})
    return len(stale)
