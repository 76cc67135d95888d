"""Agents come and go: one presence each, and what becomes of their conversations.

People choose a presence (`set_presence`) and say what happens to what they have in hand. Who falls silent
is judged by `queues.presence`: away, then, after the grace of the desk, offline - and their conversations go
back to their queues (`sweep`). Each conversation moves in a transaction of its own, under the lock order of
`handoff`, and only while that agent still has it: two sweeps, or a sweep and a person, move it once.

Snoozed and held conversations stay with an agent who leaves, for they come back when the agent does; of an
agent who vanished or works here no more they go back with the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _
from django_scopes import scope, scopes_disabled

from accounts import audit
from accounts.clock import ClockNow
from accounts.models import Membership, Organization
from accounts.roles import Action, Role
from conversations import bells, deadlines, decisions, handoff, outbox
from conversations.conflicts import Conflict, Full, NoQueue
from conversations.models import Conversation, ConversationQuerySet, Offer, State, Stay
from conversations.moves import ROUTE, database_now, moving, writing
from conversations.queueing import check_and_apply_overflow, enter_queue
from queues import presence, services
from queues.models import AgentProfile, BreakReason, PresenceSpan, Queue

logger = logging.getLogger(__name__)
Presence = AgentProfile.Presence
PRESENT = (Presence.ONLINE, Presence.BUSY)
LEAVING = (Presence.AWAY, Presence.OFFLINE)
KEEP, QUEUE, COLLEAGUE = "keep", "queue", "colleague"
ALLOWED = timedelta(minutes=1)  # for passing on what an agent had, before the sweep helps
LEFT, VANISHED, RETIRED = "agent left", "agent vanished", "agent retired"


class NotTheirs(Conflict):
    """The agent has this conversation no more, or chose anew what becomes of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an agent's conversations: ids, and for the refused ones a sentence each."""

    given: tuple[UUID, ...] = ()
    queued: tuple[UUID, ...] = ()
    refused: tuple[tuple[UUID, str], ...] = ()
    failed: tuple[UUID, ...] = ()  # by a fault of ours: the sweep tries again


# ---------------------------------------------------------------- people choose
def set_presence(
    member: Membership,
    status: str,
    *,
    reason: BreakReason | None = None,
    conversations: str = KEEP,
    to: UUID | None = None,
    actor: Membership | None = None,
) -> Outcome:
    """Say whether an agent is there. Who leaves keeps their conversations, or passes them on.

    `conversations` is KEEP, QUEUE (each back into its queue, at its old place) or COLLEAGUE (`to`, as long as
    they have room; the rest goes to the queue). `actor` is a supervisor who does it for them. The choice is
    kept with the presence until it is carried out: should that be cut short, `sweep` does the rest. Raises
    `queues.services.NoAgent`.
    """
    actor = actor or member
    passes_on = status in LEAVING and conversations != KEEP
    colleague = to if passes_on and conversations == COLLEAGUE and to != member.pk else None
    with transaction.atomic():
        changed = services.set_presence(member.pk, status, reason=reason, now=database_now())
        since = database_now() if passes_on else None
        AgentProfile.objects.filter(member=member).update(passes_on_since=since, passes_on_to=colleague)
        if changed and actor.pk != member.pk:
            _note(member, actor, status)
        if changed and status == Presence.ONLINE:
            bells.wake_workers(ROUTE)
    if status != Presence.ONLINE:
        _withdraw_offers(member.pk, actor)
    return _leave(member.pk, since, to=colleague, actor=actor) if since else Outcome()


def _leave(member_id: UUID, since: datetime, *, to: UUID | None, actor: Membership | None) -> Outcome:
    """Pass on what they had in hand when they said so, unless they choose anew meanwhile."""
    choice = AgentProfile.objects.filter(member=member_id, passes_on_since=since)
    mine = in_hand(member_id).filter(assigned_at__lte=since)
    guard = _still_of(member_id, choice)
    outcome = _pass_on(_ids(mine), guard=guard, to=to, actor=actor, cause=LEFT)
    if not outcome.failed:
        choice.update(passes_on_since=None, passes_on_to=None)
    return outcome


def _note(member: Membership, actor: Membership, status: str) -> None:
    audit.record(
        "presence.changed",
        organization=member.organization,
        actor=actor,
        target=member,
        data={"presence": status},
    )


def in_hand(member_id: UUID) -> ConversationQuerySet:
    """What an agent would leave behind: theirs, without what is snoozed or held."""
    return Conversation.objects.filter(
        state=State.HUMAN_HANDOFF,
        assigned_agent_id=member_id,
        snoozed_until__isnull=True,
        held_at__isnull=True,
    )


def _ids(found: ConversationQuerySet) -> list[UUID]:
    """Whose customers wait the longest for an answer comes first."""
    return list(found.order_by(F("waiting_since").asc(nulls_last=True), "pk").values_list("pk", flat=True))


def presence_before(profile: AgentProfile) -> str:
    """What an agent was when they were last there: what "I'm back" means."""
    spans = PresenceSpan.objects.filter(agent=profile, presence__in=PRESENT, ended_at__isnull=False)
    found = spans.order_by("-began_at").values_list("presence", flat=True).first()
    return found or Presence.ONLINE


# ---------------------------------------------------------------- what they had
Guard = Callable[[Conversation], None]


def _pass_on(
    pks: Sequence[UUID], *, guard: Guard, to: UUID | None, actor: Membership | None, cause: str
) -> Outcome:
    given, queued, refused, failed = [], [], [], []
    for pk in pks:
        try:
            if to and _give(pk, to, guard=guard, actor=actor, cause=cause):
                given.append(pk)
                continue
            to = None  # full: nobody asks again, the rest goes to the queue
            _give_back(pk, guard=guard, actor=actor, cause=cause)
            queued.append(pk)
        except (NotTheirs, Conversation.DoesNotExist):
            continue
        except NoQueue:
            _call_attention(pk, actor, cause)
            refused.append((pk, _("There is no active queue to pass it on to.")))
        except OperationalError:
            raise
        except Exception:
            # One that cannot be moved must not keep the others, nor the other agents of the sweep.
            logger.exception("conversation %s could not be passed on", pk)
            failed.append(pk)
    return Outcome(tuple(given), tuple(queued), tuple(refused), tuple(failed))


def _give(pk: UUID, to: UUID, *, guard: Guard, actor: Membership | None, cause: str) -> bool:
    """To a colleague; False when they have no room or are no agent any more."""
    try:
        handoff.transfer(pk, actor=actor, agent_id=to, cause=cause, guard=guard)
    except NotTheirs:
        raise
    except (Full, Conflict):
        return False
    return True


def _give_back(pk: UUID, *, guard: Guard, actor: Membership | None, cause: str) -> None:
    """To its own queue, else the first that is open for work. What it had waited before still counts."""
    now = database_now()
    with transaction.atomic():
        target = check_and_apply_overflow(_home_of(pk), now=now, besides=pk)
        with moving(pk, actor=actor, cause=cause, now=now) as conversation:
            guard(conversation)
            turn = conversation.seq + 1
            enter_queue(conversation, target, priority=None, now=now)
            _keep_place(conversation, now)
            outbox.fence(conversation, before_seq=turn, now=now)
        # The place is the old one, the stay is a new one: times are not counted twice.
        Stay.objects.filter(conversation=conversation, left_at__isnull=True).update(entered_at=now)


def _still_of(member_id: UUID, choice: QuerySet[AgentProfile] | None = None) -> Guard:
    """The guard of a move that was thought of before the lock: theirs, and the choice still holds."""

    def check(conversation: Conversation) -> None:
        if conversation.state != State.HUMAN_HANDOFF or conversation.assigned_agent_id != member_id:
            raise NotTheirs
        if choice is not None and not choice.exists():
            raise NotTheirs

    return check


def _keep_place(conversation: Conversation, now: datetime) -> None:
    """Its age in the line - unless the queue gives up on who waits long, for nobody waited all the time."""
    if conversation.waited_seconds and not conversation.queue.wait_limit_minutes:
        conversation.queued_at = now - timedelta(seconds=conversation.waited_seconds)
        conversation.waited_seconds = None


def _home_of(pk: UUID) -> UUID:
    """The queue a conversation came from, while it works; else the desk's first one. Raises NoQueue."""
    working = Queue.objects.filter(is_active=True, department__is_active=True)
    own = Conversation.objects.filter(pk=pk).values("queue")
    queue = working.filter(pk__in=own).first() or working.order_by("-priority", "slug").first()
    if queue is None:
        raise NoQueue
    return queue.pk


def _call_attention(pk: UUID, actor: Membership | None, cause: str) -> None:
    """A supervisor hears of it, once per agent who has it."""
    with writing(pk, actor=actor, cause=cause) as conversation:
        told = conversation.events.filter(type="attention", cause=cause)
        if not told.filter(at__gte=conversation.assigned_at or conversation.created_at).exists():
            conversation.log("attention", {"why": cause})


def _withdraw_offers(member_id: UUID, actor: Membership | None) -> None:
    """What was offered to somebody who is not there is offered to the next one."""
    mine = Offer.objects.filter(agent_id=member_id, outcome=Offer.Outcome.OPEN)
    for pk in list(mine.values_list("conversation", flat=True)):
        with writing(pk, actor=actor, cause=LEFT) as conversation:
            offer = mine.filter(conversation=conversation).select_related("agent__user").first()
            if offer is None:
                continue  # accepted or over by now
            mine.filter(pk=offer.pk).update(outcome=Offer.Outcome.WITHDRAWN, answered_at=ClockNow())
            conversation.log("offer_withdrawn", {"agent": offer.agent.name, "agent_id": str(member_id)})
            deadlines.disarm(conversation, deadlines.Kind.OFFER)
            decisions.call_router(conversation.organization_id, "offer withdrawn")


# ---------------------------------------------------------------- the desk looks
def sweep() -> int:
    """Judge everybody who is not settled, and bring back what nobody serves; how many went back.

    Safe when two run: an agent who is being judged is passed over, a conversation moves once.
    """
    with scopes_disabled():
        desks = set(_unsettled().order_by().values_list("organization", flat=True).distinct())
        desks |= set(_cut_short(database_now()).values_list("organization", flat=True))
        desks |= set(_abandoned().order_by().values_list("organization", flat=True).distinct())
        found = list(Organization.objects.filter(pk__in=desks))
    return sum(_sweep_desk(organization) for organization in found)


def _sweep_desk(organization: Organization) -> int:
    with scope(organization=organization):
        settings, now = services.desk_settings(), database_now()
        patience = presence.Patience(
            timedelta(minutes=settings.gone_after_minutes),
            timedelta(minutes=settings.away_after_minutes),
            timedelta(minutes=settings.return_after_minutes),
        )
        for profile in _unsettled().select_related("member"):
            if presence.judge(_facts(profile), patience, now):
                _judge(profile.pk, patience)
        done = sum(_bring_back(member) for member in _who_left_something())
        for profile in _cut_short(now):
            left = _leave(profile.member_id, profile.passes_on_since, to=profile.passes_on_to_id, actor=None)
            done += len(left.queued)
        return done


def _cut_short(now: datetime) -> QuerySet[AgentProfile]:
    """Who said what becomes of their conversations, and nobody carried it out to the end."""
    return AgentProfile.objects.filter(passes_on_since__lt=now - ALLOWED)


def _unsettled() -> QuerySet[AgentProfile]:
    """Whom silence can change, and who is present without working here."""
    waits = Q(presence__in=PRESENT) | Q(presence=Presence.AWAY, is_automatic=True)
    retired = Q(member__is_active=False) | Q(member__role=Role.VIEWER)
    return AgentProfile.objects.filter(waits | retired & ~Q(presence=Presence.OFFLINE))


def _serves(member: Membership) -> bool:
    return member.is_active and member.may(Action.ANSWER)


def _facts(profile: AgentProfile) -> presence.Facts:
    was_set_away = profile.is_automatic and profile.presence == Presence.AWAY
    return presence.Facts(
        presence=profile.presence,
        is_automatic=profile.is_automatic,
        since=profile.presence_since,
        seen_at=profile.last_seen_at,
        input_at=profile.last_input_at,
        before=presence_before(profile) if was_set_away else Presence.ONLINE,
        works_here=_serves(profile.member),
    )


def _judge(profile_id: UUID, patience: presence.Patience) -> None:
    """Judge again under the agent's lock, and let it be so."""
    with transaction.atomic():
        rows = AgentProfile.objects.select_for_update(no_key=True, skip_locked=True, of=("self",))
        profile = rows.select_related("member").filter(pk=profile_id).first()
        if profile is None:
            return  # somebody changes them right now
        now = database_now()
        change = presence.judge(_facts(profile), patience, now)
        if change is None:
            return
        services.set_presence(profile.member_id, change.presence, is_automatic=change.is_automatic, now=now)
        if change.presence == Presence.ONLINE:
            bells.wake_workers(ROUTE)
    if change.presence != Presence.ONLINE:
        _withdraw_offers(profile.member_id, None)


def set_away(member: Membership) -> None:
    """For who is available and does not react: away by the desk's doing, until there is input again."""
    with transaction.atomic():
        present = AgentProfile.objects.select_for_update(no_key=True).filter(presence__in=PRESENT)
        if present.filter(member=member).first() is None:
            return  # they went by themselves
        services.set_presence(member.pk, Presence.AWAY, is_automatic=True, now=database_now())
    _withdraw_offers(member.pk, None)


def _abandoned() -> ConversationQuerySet:
    """With somebody who does not serve customers any more, or who vanished after they got it.

    What a supervisor gives to a vanished agent later stays there: it was a decision.
    """
    retired = Q(assigned_agent__is_active=False) | Q(assigned_agent__role=Role.VIEWER)
    vanished = Q(
        assigned_agent__agent__presence=Presence.OFFLINE,
        assigned_agent__agent__is_automatic=True,
        assigned_at__lte=F("assigned_agent__agent__presence_since"),
    )
    return Conversation.objects.filter(retired | vanished, state=State.HUMAN_HANDOFF)


def _who_left_something() -> list[Membership]:
    left = _abandoned().order_by().values("assigned_agent").distinct()
    return list(Membership.objects.filter(pk__in=left))


def _bring_back(member: Membership) -> int:
    pks = _ids(_abandoned().filter(assigned_agent=member))
    cause = VANISHED if _serves(member) else RETIRED
    done = _pass_on(pks, guard=_still_of(member.pk), to=None, actor=None, cause=cause)
    return len(done.queued)
