"""The router: gives what waits to agents, by itself, wherever a queue asks for it.

It looks at a desk when something changed who can take what (the rows of RoutingCall, found by a woken worker
or the poller) and, should a call be lost, every ten seconds. One router gives per organization at a time, so
that turns are fair; what people do meanwhile is caught by the agent's and the conversation's locks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import OuterRef, Subquery
from django.utils.translation import gettext as _
from django_fsm import TransitionNotAllowed
from django_scopes import scope, scopes_disabled

from accounts.models import Membership, Organization
from conversations import deadlines, decisions
from conversations.capacity import lock_agent, refuse_if_full_here
from conversations.conflicts import Conflict, Full
from conversations.models import Conversation, Deadline, Offer, State
from conversations.moves import database_now, moving, writing
from conversations.selectors import candidates, line_of
from queues import routing, services
from queues.models import AgentProfile, Queue, RoutingCall

BATCH = 100  # of one queue looked at in one go; behind so many nobody is free anyway
LOOK_BACK = timedelta(hours=1)  # offers that may still speak against asking an agent again


class Busy(Exception):
    """Another router gives something at this organization just now."""


# ---------------------------------------------------------------- when
def drain() -> int:
    """Answer the calls: route each organization that has one. The number of conversations given."""
    given = 0
    while called := _called():
        answers = [_answer(pk) for pk in called]
        given += sum(n for n in answers if n is not None)
        if None in answers:
            return given  # the router that is at work there asks for calls again when it is done
    return given


def _called() -> list[UUID]:
    with scopes_disabled():
        return list(RoutingCall.objects.order_by().values_list("organization_id", flat=True).distinct())


def _answer(organization_id: UUID) -> int | None:
    """None, and the calls stay, while another router gives something at this organization."""
    with transaction.atomic():
        if not _alone(organization_id):
            return None
        with scopes_disabled():
            # Taken before looking: a call that comes while we look stays for the next round.
            RoutingCall.objects.filter(organization_id=organization_id).delete()
    return route(organization_id)


def sweep() -> int:
    """Look at every desk where somebody waits for the router, called or not."""
    with scopes_disabled():
        waiting = Conversation.objects.filter(state=State.QUEUED, queue__auto_assign_conversations=True)
        ids = list(waiting.order_by().values_list("organization_id", flat=True).distinct())
    return sum(route(pk) for pk in ids)


def route(organization_id: UUID) -> int:
    """Give what can be given at one desk: by priority, then age, then id, over all its queues.

    Where another router is at work it stops and leaves a call: two would only wait for each other.
    """
    with scope(organization=Organization.objects.get(pk=organization_id)):
        now, nobody = database_now(), []
        given = 0
        desk = Desk.look(now)
        for waiting in desk.in_order():
            decision = desk.decide(waiting)
            if decision.chosen is None:
                nobody.append((waiting, decision))
                continue
            try:
                gave = _give(waiting.conversation)
            except Busy:
                services.call_router(organization_id, "another router was at work")
                break
            if gave:
                given += 1
                desk = desk.with_agents(now)
        _note_nobody(nobody, now)
        return given


# ---------------------------------------------------------------- what there is
@dataclass(frozen=True, slots=True)
class Waiting:
    """A waiting conversation with the queue it stands in."""

    conversation: Conversation
    line: routing.Line
    case: routing.Case

    def place(self) -> tuple[int, datetime, UUID]:
        """Who is smaller comes first."""
        return -self.conversation.queue_priority, self.conversation.queued_at, self.conversation.pk

    @property
    def is_plain(self) -> bool:
        """Nothing but the line decides about it: the next plain one in this line gets the same answer."""
        case = self.case
        return not (case.known_to or case.refused or case.barred or self.line.preferred)


@dataclass(frozen=True, slots=True)
class Desk:
    """What waits for the router at one organization, and who is there, read without locks."""

    waiting: tuple[Waiting, ...]
    agents: Sequence[routing.Candidate]
    now: datetime
    answers: dict[UUID, routing.Decision] = field(default_factory=dict)  # by line, for the plain ones

    @classmethod
    def look(cls, now: datetime) -> Desk:
        queues = [q for q in Queue.objects.select_related("calendar") if q.routes_itself]
        found = [(line_of(q, now), q, c) for q in queues for c in _first_of(q)]
        cases = _cases([(c, q) for _line, q, c in found], now)
        waiting = tuple(Waiting(c, line, cases[c.pk]) for line, _q, c in found)
        return cls(waiting, candidates() if waiting else (), now)

    def with_agents(self, now: datetime) -> Desk:
        """The same line after one was given: only the agents have changed."""
        return Desk(self.waiting, candidates(), now)

    def in_order(self) -> Iterator[Waiting]:
        return iter(sorted(self.waiting, key=Waiting.place))

    def decide(self, waiting: Waiting) -> routing.Decision:
        if waiting.is_plain and (known := self.answers.get(waiting.line.id)):
            return known
        decision = routing.decide(waiting.case, self.agents, waiting.line, self.now)
        if waiting.is_plain:
            self.answers[waiting.line.id] = decision
        return decision


def _first_of(queue: Queue) -> list[Conversation]:
    offered = Offer.objects.filter(outcome=Offer.Outcome.OPEN).values("conversation")
    rows = Conversation.objects.filter(state=State.QUEUED, queue=queue).exclude(pk__in=offered)
    return list(rows.order_by("-queue_priority", "queued_at", "id")[:BATCH])


def _cases(waiting: Sequence[tuple[Conversation, Queue]], now: datetime) -> Mapping[UUID, routing.Case]:
    """What speaks for and against agents in each conversation: two statements for all of them."""
    refused: dict[UUID, dict[UUID, datetime]] = {}
    answered = Offer.objects.filter(
        conversation__in=[c.pk for c, _queue in waiting],
        outcome__in=[Offer.Outcome.DECLINED, Offer.Outcome.TIMED_OUT],
        answered_at__gte=now - LOOK_BACK,
    )
    for offer in answered.order_by("answered_at"):
        refused.setdefault(offer.conversation_id, {})[offer.agent_id] = offer.answered_at
    known = _known_agents([(c, q) for c, q in waiting if q.sticky_minutes], now)
    return {
        c.pk: routing.Case(c.pk, c.queued_at, known.get(c.pk), refused.get(c.pk, {}), _barred(c))
        for c, _queue in waiting
    }


def _known_agents(waiting: Sequence[tuple[Conversation, Queue]], now: datetime) -> dict[UUID, UUID]:
    """Who had the customer of each conversation last, when that is not longer ago than the queue's grace."""
    before = Conversation.objects.filter(
        contact_id=OuterRef("contact_id"), state=State.CLOSED, assigned_agent__isnull=False
    ).order_by("-closed_at")
    rows = Conversation.objects.filter(pk__in=[c.pk for c, _queue in waiting]).annotate(
        known=Subquery(before.values("assigned_agent")[:1]), ended=Subquery(before.values("closed_at")[:1])
    )
    last = {pk: (agent, at) for pk, agent, at in rows.values_list("pk", "known", "ended")}
    found = {}
    for conversation, queue in waiting:
        agent, ended = last[conversation.pk]
        if agent and now - ended <= timedelta(minutes=queue.sticky_minutes):
            found[conversation.pk] = agent
    return found


def _barred(conversation: Conversation) -> dict[UUID, datetime]:
    """An agent from whom it was taken (`sla` reassigns) does not get it back at once."""
    mark = conversation.extra_data.get("not_again")
    return {UUID(mark["agent_id"]): datetime.fromisoformat(mark["until"])} if mark else {}


def picture_of(conversation: Conversation, now: datetime) -> routing.Decision:
    """What the router would decide about one waiting conversation now. Writes and locks nothing."""
    queue = Queue.objects.select_related("calendar").get(pk=conversation.queue_id)
    case = _cases([(conversation, queue)], now)[conversation.pk]
    return routing.decide(case, candidates(), line_of(queue, now), now)


# ---------------------------------------------------------------- giving
def _give(seen: Conversation) -> bool:
    """Decide again with fresh facts, alone in this organization, and carry it out. Raises Busy."""
    try:
        with transaction.atomic():
            if not _alone(seen.organization_id):
                raise Busy
            now = database_now()
            conversation = Conversation.objects.select_related("queue__calendar").get(pk=seen.pk)
            if conversation.state != State.QUEUED or not conversation.queue.routes_itself:
                return False
            decision = picture_of(conversation, now)
            if decision.chosen is None:
                return False
            agent = lock_agent(decision.chosen)
            if agent.presence != AgentProfile.Presence.ONLINE:
                return False  # left between decision and lock
            if conversation.queue.offer_seconds:
                _offer(conversation, agent, now)
            else:
                _assign(conversation.pk, agent, conversation.queue_id, now)
            decisions.mark_assigned(agent, now)
            decisions.keep(conversation, decision, agent.member)
    except (Full, Conflict, TransitionNotAllowed, Conversation.DoesNotExist):
        return False  # people were faster; the next look sees it
    return True


def _alone(organization_id: UUID) -> bool:
    """Whether no other router gives something at this organization, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"router {organization_id}"]
        )
        return cursor.fetchone()[0]


def _assign(pk: UUID, agent: AgentProfile, queue_id: UUID, now: datetime) -> None:
    with moving(pk, cause="router", now=now) as conversation:
        _still_fits(conversation, agent, queue_id)
        conversation.claim(agent.member, now)


def _still_fits(conversation: Conversation, agent: AgentProfile, queue_id: UUID) -> None:
    """Under both locks: nobody took it or filled the agent's place in this queue meanwhile."""
    refuse_if_full_here(conversation, agent)
    offered = Offer.objects.filter(conversation=conversation, outcome=Offer.Outcome.OPEN)
    if conversation.state != State.QUEUED or conversation.queue_id != queue_id or offered.exists():
        raise Conflict


# ---------------------------------------------------------------- offers
def _offer(waiting: Conversation, agent: AgentProfile, now: datetime) -> None:
    expires = now + timedelta(seconds=waiting.queue.offer_seconds)
    with writing(waiting.pk, cause="router") as conversation:
        _still_fits(conversation, agent, waiting.queue_id)
        Offer.objects.create(
            organization_id=conversation.organization_id,
            conversation=conversation,
            agent=agent.member,
            queue_id=conversation.queue_id,
            offered_at=now,
            expires_at=expires,
        )
        conversation.log("offered", {"agent": agent.member.name, "agent_id": str(agent.member_id)})
        deadlines.arm(conversation, deadlines.Kind.OFFER, expires)


def decline(pk: UUID, *, agent: Membership) -> None:
    """The agent does not take what was offered; the next one is asked. Raises Conflict when it is over."""
    with writing(pk, actor=agent, cause="decline") as conversation:
        _refuse(conversation, Offer.Outcome.DECLINED, agent.pk)


def expire_offer(pk: UUID) -> Membership | None:
    """Nobody answered in time: ask the next one. Who let it pass, if the offer was still open."""
    with writing(pk, cause="deadline") as conversation:
        offer = Offer.objects.filter(conversation=conversation, outcome=Offer.Outcome.OPEN).first()
        if offer is None or offer.expires_at > database_now():
            return None
        _refuse(conversation, Offer.Outcome.TIMED_OUT, offer.agent_id)
        return offer.agent


def _refuse(conversation: Conversation, outcome: str, agent_id: UUID) -> None:
    mine = Offer.objects.filter(conversation=conversation, agent_id=agent_id, outcome=Offer.Outcome.OPEN)
    offer = mine.select_related("agent__user").first()
    if offer is None:
        raise Conflict(_("This offer is over."))
    offer.outcome, offer.answered_at = outcome, database_now()
    offer.save(update_fields=["outcome", "answered_at"])
    conversation.log(f"offer_{outcome}", {"agent": offer.agent.name, "agent_id": str(agent_id)})
    deadlines.disarm(conversation, deadlines.Kind.OFFER)
    decisions.call_router(conversation.organization_id, "offer refused")


# ---------------------------------------------------------------- nobody
def _note_nobody(found: Sequence[tuple[Waiting, routing.Decision]], now: datetime) -> None:
    """Put on record that nobody fits, once per picture, and look again when time alone changes it."""
    decisions.keep_new([(waiting.conversation, decision) for waiting, decision in found])
    for waiting, decision in found:
        if decision.look_again:
            _look_again(waiting.conversation, decision.look_again)


def _look_again(conversation: Conversation, at: datetime) -> None:
    """Without the conversation's lock: at worst the router is called for nothing."""
    Deadline.objects.update_or_create(
        conversation=conversation,
        kind=Deadline.Kind.ROUTE,
        defaults={"organization_id": conversation.organization_id, "due_at": at},
    )
