"""Why is it where it is, why did this agent get it, what would move it, and what happens next.

One answer for the inbox, the admin and the API. It reads; nothing here moves anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import Membership
from conversations import estimates, router, selectors, words
from conversations.models import Conversation, Deadline, Offer, RoutingDecision, State
from conversations.stays import COUNTED
from queues import routing
from queues.models import Queue, Skill

MOST = 20  # candidates shown
RELATED = ("queue__calendar", "flow", "assigned_agent__user")  # select these with the conversations
Kind = Deadline.Kind
COMES = {Kind.ATTENTION: gettext_lazy("a supervisor is told")}  # else the deadline's own name
BOT_WAITS = (Kind.BOT_TIMEOUT, Kind.BOT_IDLE)


@dataclass(frozen=True, slots=True)
class Check:
    """One filter and what it found about an agent."""

    filter: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An agent who was considered: every filter, and what they were ordered by when they passed."""

    agent_id: UUID
    name: str
    chosen: bool
    checks: tuple[Check, ...]
    keys: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)


@dataclass(frozen=True, slots=True)
class Next:
    """The next thing that happens by itself."""

    kind: str
    what: str
    at: datetime

    @property
    def text(self) -> str:
        return _("%(time)s: %(what)s") % {"time": words.moment(self.at), "what": self.what}


@dataclass(frozen=True, slots=True)
class Why:
    """`owner` is who must act: bot, router, offer, queue, agent, supervisor or nobody (it is closed)."""

    state: str
    owner: str
    owner_name: str
    sentence: str
    next: Next | None = None
    position: int | None = None
    waited: timedelta | None = None
    expected_wait: timedelta | None = None
    mode: str = ""
    reason: str = ""
    decided_at: datetime | None = None
    candidates: tuple[Candidate, ...] = ()
    unblock: tuple[str, ...] = ()

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What pages list below the sentence: a title and a text each."""
        found = []
        if self.position is not None:
            found.append((_("Place in line"), place_text(self.position)))
        if self.waited is not None:
            found.append((_("Waited"), words.span(self.waited)))
        if self.position is not None:
            known = self.expected_wait and _("up to %(time)s") % {"time": words.span(self.expected_wait)}
            found.append((_("Expected wait"), known or _("too little history to say")))
        if self.mode:
            found.append((_("How"), self.mode))
        if self.next:
            found.append((_("Next"), self.next.text))
        return found


def place_text(position: int) -> str:
    """A place in line; behind a thousand nobody counts."""
    return _("behind more than %(n)s") % {"n": COUNTED} if position > COUNTED else str(position)


def of(conversation: Conversation, now: datetime) -> Why:
    """The whole answer about one conversation; a bounded number of statements, whatever the traffic."""
    coming = _next(conversation)
    match conversation.state:
        case State.QUEUED:
            return _waiting(conversation, coming, now)
        case State.HUMAN_HANDOFF:
            return _with_agent(conversation, coming)
    return _elsewhere(conversation, coming)


def _next(conversation: Conversation) -> Next | None:
    deadline = conversation.deadlines.order_by("due_at").first()
    return _told(deadline) if deadline else None


def _told(deadline: Deadline) -> Next:
    what = COMES.get(Kind(deadline.kind), deadline.get_kind_display())
    return Next(deadline.kind, str(what), deadline.due_at)


# ---------------------------------------------------------------- waiting
def _waiting(c: Conversation, coming: Next | None, now: datetime) -> Why:
    """Looked at now, as the router would: who could take it, and what stands against the others."""
    queue, decision, offer = c.queue, router.picture_of(c, now), _open_offer(c)
    ahead = estimates.position(c)
    names, skills = _names(one.agent_id for one in decision.candidates), _skill_names()
    owner, owner_name, sentence = _who_acts(queue, decision, offer, names)
    return Why(
        c.state,
        owner,
        owner_name,
        sentence,
        next=coming,
        position=ahead,
        waited=now - c.queued_at,
        expected_wait=estimates.expected_wait(queue.pk, ahead - 1, now),
        mode=str(words.MODES.get(decision.mode, decision.mode)),
        reason=words.reason(decision.reason),
        decided_at=now,
        candidates=_candidates(decision, names, skills),
        unblock=_unblock(queue, decision, offer, names, skills, now),
    )


def _open_offer(c: Conversation) -> Offer | None:
    return c.offers.filter(outcome=Offer.Outcome.OPEN).select_related("agent__user").first()


def _who_acts(
    queue: Queue, decision: routing.Decision, offer: Offer | None, names: Mapping[UUID, str]
) -> tuple[str, str, str]:
    """(owner, name, sentence): exactly one of agent with an offer, router, or the agents of the queue."""
    values = {"queue": queue.name}
    if offer:
        text = _("Waits in %(queue)s: offered to %(agent)s.") % {**values, "agent": offer.agent.name}
        return "offer", offer.agent.name, text
    if not queue.is_active:
        return "supervisor", queue.name, _("Waits in %(queue)s, which is switched off.") % values
    if not queue.routes_itself:
        return "queue", queue.name, _("Waits in %(queue)s until an agent takes it.") % values
    if decision.chosen:
        values["agent"] = names.get(decision.chosen, "")
        return "router", queue.name, _("Waits in %(queue)s: %(agent)s is about to get it.") % values
    text = _("Waits in %(queue)s: no agent can take it now.") % values
    return "router", queue.name, text


def _candidates(
    decision: routing.Decision, names: Mapping[UUID, str], skills: Mapping[str, str]
) -> tuple[Candidate, ...]:
    nearest = sorted(decision.candidates, key=lambda one: (len(one.failed), one.keys, one.agent_id))
    return tuple(
        Candidate(
            one.agent_id,
            names.get(one.agent_id, ""),
            one.agent_id == decision.chosen,
            tuple(
                Check(v.filter, v.ok, words.verdict(v.filter, v.ok, v.detail, skills)) for v in one.verdicts
            ),
            tuple(words.keys(decision.mode, one.keys)),
        )
        for one in nearest[:MOST]
    )


def _unblock(
    queue: Queue,
    decision: routing.Decision,
    offer: Offer | None,
    names: Mapping[UUID, str],
    skills: Mapping[str, str],
    now: datetime,
) -> tuple[str, ...]:
    """What would move it: each of these alone, as far as the filters can tell."""
    if offer:
        values = {"agent": offer.agent.name, "time": words.moment(offer.expires_at)}
        return (_("%(agent)s accepts it; after %(time)s somebody else is asked") % values,)
    fits = [names.get(one.agent_id, "") for one in decision.candidates if one.fits]
    if fits and not decision.chosen:
        return (_("%(agents)s takes it from the queue") % {"agents": words.either(fits)},)
    blocking = routing.unblockers(decision)
    opens = None
    if any(one.filter == "business_hours" for one in blocking) and queue.calendar:
        opens = queue.calendar.hours().next_open(now)
    return tuple(
        words.unblock(
            one.filter,
            [names.get(pk, "") for pk in one.agent_ids],
            one.detail,
            skills,
            opens=opens,
            again=decision.look_again,
        )
        for one in blocking
    )


def _names(ids: Iterable[UUID]) -> dict[UUID, str]:
    members = Membership.objects.select_related("user").filter(pk__in=set(ids))
    return {member.pk: member.name for member in members}


def _skill_names() -> dict[str, str]:
    return dict(Skill.objects.values_list("slug", "name"))


# ---------------------------------------------------------------- with an agent
def _with_agent(c: Conversation, coming: Next | None) -> Why:
    """The record of why this agent has it; what was known then, not what would be decided now."""
    record = c.routing.filter(chosen_id=c.assigned_agent_id).order_by("-at", "-id").first()
    told = told_of(record) if record else Record()
    values = {"agent": c.assigned_agent.name, "reason": told.reason}
    if c.snoozed_until:
        values["time"] = words.moment(c.snoozed_until)
        text = _("%(agent)s has it, snoozed until %(time)s.") % values
    elif c.held_at:
        text = _("%(agent)s has it, on hold.") % values
    elif told.reason:
        text = _("%(agent)s has it: %(reason)s.") % values
    else:
        text = _("%(agent)s has it.") % values
    return Why(
        c.state,
        "agent",
        c.assigned_agent.name,
        text,
        next=coming,
        waited=None if c.waited_seconds is None else timedelta(seconds=c.waited_seconds),
        mode=told.mode,
        reason=told.reason,
        decided_at=record.at if record else None,
        candidates=told.candidates,
    )


@dataclass(frozen=True, slots=True)
class Record:
    """A decision on record, in words."""

    mode: str = ""
    reason: str = ""
    candidates: tuple[Candidate, ...] = ()
    unblock: tuple[str, ...] = ()


def told_of(record: RoutingDecision) -> Record:
    """A stored decision in words. Names and figures are those of its time."""
    skills = _skill_names()
    return Record(
        str(words.MODES.get(record.mode, record.mode)),
        words.reason(record.reason),
        tuple(_kept(one, record, skills) for one in record.candidates),
        tuple(words.unblock(one["filter"], one["agents"], one["detail"], skills) for one in record.unblock),
    )


def _kept(one: Mapping[str, Any], record: RoutingDecision, skills: Mapping[str, str]) -> Candidate:
    pk = UUID(one["agent"]["id"])
    checks = tuple(
        Check(v["filter"], v["ok"], words.verdict(v["filter"], v["ok"], v["detail"], skills))
        for v in one["verdicts"]
    )
    ordered_by = tuple(words.keys(record.mode, one["keys"]))
    return Candidate(pk, one["agent"]["name"], pk == record.chosen_id, checks, ordered_by)


# ---------------------------------------------------------------- with the bot, with nobody, over
def _elsewhere(c: Conversation, coming: Next | None) -> Why:
    owner, name, text = _not_with_people(c, coming)
    return Why(c.state, owner, name, text, next=coming)


def _not_with_people(c: Conversation, coming: Next | None) -> tuple[str, str, str]:
    bot = c.flow.name if c.flow else _("Bot")
    match c.state:
        case State.CLOSED:
            return "nobody", "", _("It is closed: %(reason)s.") % {"reason": c.get_close_reason_display()}
        case State.BOT if coming and coming.kind not in BOT_WAITS:
            return "bot", bot, _("The bot is about to answer.")
        case State.BOT:
            return "bot", bot, _("The bot waits for the customer's answer.")
        case _ if coming and coming.kind == Kind.BOT_TURN:
            return "bot", bot, _("The desk is about to take it up.")
    return "supervisor", "", _("No flow and no queue receives it: somebody must take it or move it.")


# ---------------------------------------------------------------- many at once
@dataclass(frozen=True, slots=True)
class Brief:
    """One sentence, what would move it, and what happens next."""

    sentence: str
    unblock: tuple[str, ...]
    next: Next | None


def briefly(conversations: Sequence[Conversation], now: datetime) -> list[Brief]:
    """For lists: the same number of statements for one row and for fifty, so refused offers are left out."""
    ids = [c.pk for c in conversations]
    coming = _next_of(ids)
    offers = {
        offer.conversation_id: offer
        for offer in Offer.objects.filter(conversation__in=ids, outcome=Offer.Outcome.OPEN).select_related(
            "agent__user"
        )
    }
    agents = selectors.candidates()
    names, skills = _names(one.agent.id for one in agents), _skill_names()
    found = []
    for c in conversations:
        if c.state == State.QUEUED:
            case = routing.Case(c.pk, c.queued_at)
            decision = routing.decide(case, agents, selectors.line_of(c.queue, now), now)
            offer = offers.get(c.pk)
            text = _who_acts(c.queue, decision, offer, names)[2]
            helps = _unblock(c.queue, decision, offer, names, skills, now)
        elif c.state == State.HUMAN_HANDOFF:
            text, helps = _("%(agent)s has it.") % {"agent": c.assigned_agent.name}, ()
        else:
            text, helps = _not_with_people(c, coming.get(c.pk))[2], ()
        found.append(Brief(text, helps, coming.get(c.pk)))
    return found


def _next_of(ids: Sequence[UUID]) -> dict[UUID, Next]:
    rows = Deadline.objects.filter(conversation__in=ids).order_by("conversation", "due_at")
    return {row.conversation_id: _told(row) for row in rows.distinct("conversation")}
