"""The floor of a desk as board and wall see it: queues with who waits, people with what they have in hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Prefetch
from django.utils.translation import gettext as _

from accounts.models import Membership, Organization
from accounts.roles import Action, Role, may
from conversations import frames, promises, selectors
from conversations.capacity import load_by_queue
from conversations.pages import Chip, clock_text
from insights import reads
from queues import eligibility, sla
from queues.models import AgentProfile, AgentSkill, Queue

Presence = AgentProfile.Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a viewer looks at and with which rights. Viewers with an equal look share one snapshot."""

    page: str  # board or wall
    organization: Organization
    role: str
    language: str
    department: str = ""  # slug; empty: all of them
    served: frozenset[UUID] | None = None  # the queues an agent serves; None: every queue

    @classmethod
    def of(cls, member: Membership, page: str, department: str, language: str) -> Look:
        served = None
        if member.role == Role.AGENT:
            served = frozenset(selectors.queues_served_by(member))
        return cls(
            page=page,
            organization=member.organization,
            role=member.role,
            language=language,
            department=department,
            served=served,
        )

    def may(self, action: Action) -> bool:
        return may(self.role, action)

    def serves(self, queue_id: UUID) -> bool:
        return self.served is None or queue_id in self.served


@dataclass(frozen=True, slots=True)
class Person:
    """An agent and the places they have taken."""

    profile: AgentProfile
    facts: eligibility.Agent

    @property
    def is_here(self) -> bool:
        return self.profile.presence in (Presence.ONLINE, Presence.BUSY)


@dataclass(frozen=True, slots=True)
class Line:
    """A queue, who waits in it and who may take from it."""

    queue: Queue
    facts: eligibility.Line
    waiting: reads.Waiting
    team: Sequence[Person]
    kept: reads.Kept
    clock: sla.Clock | None  # the promise to whoever has waited longest

    @property
    def online(self) -> int:
        return sum(person.profile.presence == Presence.ONLINE for person in self.team)

    @property
    def has_promise(self) -> bool:
        return promises.policy_of(self.queue) is not None

    def longest(self, now: datetime) -> Chip | None:
        """The longest wait in it, counting on."""
        since = self.waiting.oldest
        if since is None:
            return None
        return Chip(
            self.strain(now), "", clock_text(now - since), since=since.isoformat(), label=_("longest")
        )

    def strain(self, now: datetime) -> str:
        """How the longest wait stands to the promise: ok, warn, bad."""
        if self.clock is None:
            return "ok"
        return "bad" if now >= self.clock.due_at else "warn" if now >= self.clock.warn_at else "ok"


class Floor:
    """Everything that both pages show, read once. Eight statements, whatever the size of the desk."""

    def __init__(
        self, look: Look, memory: reads.Memory, *, cards: Callable[[int], int] | None = None
    ) -> None:
        self.look = look
        self.cursor, self.now = frames.here_and_now()
        self.zone = ZoneInfo(look.organization.timezone)
        self.midnight = self.now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        queues = self._queues()
        self.waiting = reads.waiting([queue.pk for queue in queues], cards=cards(len(queues)) if cards else 0)
        self.queues = [q for q in queues if q.is_active or self.waiting[q.pk].count]
        ids = [queue.pk for queue in self.queues]
        self.stays = memory.recall(
            ("stays", self.midnight, *ids), lambda: reads.stays(look.organization.pk, ids, self.midnight)
        )
        self.staff = self._staff()

    def _queues(self) -> list[Queue]:
        """In the order of the pages. A board shows an agent the queues they serve, a wall shows all."""
        queues = Queue.objects.select_related("department", "calendar", "sla_policy__calendar")
        if self.look.department:
            queues = queues.filter(department__slug=self.look.department)
        found = queues.order_by("department__name", "-priority", "name", "id")
        return [queue for queue in found if self.look.page == "wall" or self.look.serves(queue.pk)]

    def _staff(self) -> list[Person]:
        skills = Prefetch("skills", AgentSkill.objects.select_related("skill"))
        profiles = AgentProfile.objects.filter(member__is_active=True)
        profiles = profiles.select_related("member__user", "break_reason").prefetch_related(skills)
        loads = load_by_queue()
        found = [_person(profile, loads.get(profile.member_id, {})) for profile in profiles]
        return [person for person in found if _takes_part(person)]

    @cached_property
    def lines(self) -> list[Line]:
        return [self._line(queue) for queue in self.queues]

    def _line(self, queue: Queue) -> Line:
        facts, waiting = selectors.line_of(queue, self.now), self.waiting[queue.pk]
        return Line(
            queue=queue,
            facts=facts,
            waiting=waiting,
            team=_team(facts, self.staff),
            kept=self.stays.today.get(queue.pk, reads.Kept()),
            clock=_wait_clock(queue, waiting.oldest),
        )

    @property
    def people(self) -> list[Person]:
        """Who stands on the page: everybody, or who serves one of the queues it shows. Present ones first."""
        narrow = bool(self.look.department) or (self.look.page == "board" and self.look.served is not None)
        found = self.staff
        if narrow:
            seen = {person.facts.id for line in self.lines for person in line.team}
            found = [person for person in self.staff if person.facts.id in seen]
        order = list(Presence.values)
        return sorted(found, key=lambda p: (order.index(p.profile.presence), p.profile.member.name))


def _person(profile: AgentProfile, load: Mapping[UUID | None, int]) -> Person:
    facts = eligibility.Agent(
        id=profile.member_id,
        capacity=profile.capacity,
        load=sum(load.values()),
        skills={skill.skill.slug: skill.level for skill in profile.skills.all()},
        load_by_queue=load,
    )
    return Person(profile, facts)


def _takes_part(person: Person) -> bool:
    """Agents always; owners and supervisors only while they are there or have something in hand."""
    profile = person.profile
    return profile.member.role == Role.AGENT or profile.presence != Presence.OFFLINE or person.facts.load > 0


def _team(line: eligibility.Line, staff: Sequence[Person]) -> list[Person]:
    if not line.allowed_agent_ids and not line.skills_required:
        return list(staff)
    return [person for person in staff if eligibility.serves(line, person.facts)]


def _wait_clock(queue: Queue, oldest: datetime | None) -> sla.Clock | None:
    policy = promises.policy_of(queue)
    if policy is None or oldest is None:
        return None
    clocks = sla.clocks(policy, sla.Facts(is_with_people=True, queued_at=oldest))
    return next((clock for clock in clocks if clock.kind == sla.Target.WAIT), None)
