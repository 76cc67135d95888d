"""The router's decision against rules written down again in plain Python, and its promises about records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from queues import routing
from queues.eligibility import Agent, Line, Preference
from queues.routing import Candidate, Case

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
QUEUE = UUID(int=99)


def agent(number: int, **more: object) -> Candidate:
    facts = {"capacity": 3, "load": 0, "skills": {}, "load_by_queue": {}} | {
        key: more.pop(key) for key in ("capacity", "load", "skills", "load_by_queue") if key in more
    }
    defaults = {"presence": "online", "available_since": NOON - timedelta(hours=1)}
    return Candidate(Agent(UUID(int=number), **facts), **(defaults | more))


def line(mode: str = "load_balance", **more: object) -> Line:
    return Line(QUEUE, is_active=True, is_open=True, mode=mode, **more)


def case(waited: int = 0, **more: object) -> Case:
    return Case(UUID(int=1000), NOON - timedelta(seconds=waited), **more)


def chosen(*agents: Candidate, on: Line | None = None, of: Case | None = None) -> int | None:
    decision = routing.decide(of or case(), agents, on or line(), NOON)
    return decision.chosen.int if decision.chosen else None


# ---------------------------------------------------------------- the modes
def test_load_balance_takes_the_smallest_share_of_capacity_not_the_smallest_number() -> None:
    assert chosen(agent(1, capacity=2, load=1), agent(2, capacity=10, load=3)) == 2


def test_equal_shares_go_to_whoever_has_been_idle_longest() -> None:
    early, late = NOON - timedelta(minutes=30), NOON - timedelta(minutes=5)
    assert chosen(agent(1, last_assigned_at=late), agent(2, last_assigned_at=early)) == 2


def test_coming_back_from_a_break_is_no_way_to_the_front_of_the_idle() -> None:
    """Idle counts from the later of the last assignment and becoming available."""
    returned = agent(
        1, last_assigned_at=NOON - timedelta(hours=3), available_since=NOON - timedelta(minutes=1)
    )
    assert chosen(returned, agent(2, last_assigned_at=NOON - timedelta(minutes=20))) == 2


def test_round_robin_gives_to_whoever_had_one_longest_ago_whatever_the_load() -> None:
    busy = agent(1, load=2, last_assigned_at=NOON - timedelta(minutes=9))
    assert chosen(busy, agent(2, last_assigned_at=NOON - timedelta(minutes=3)), on=line("round_robin")) == 1


def test_manual_chooses_nobody() -> None:
    assert chosen(agent(1), on=line("manual")) is None


def test_required_skills_need_their_level() -> None:
    wanted = line("skills_based", skills_required={"english": 3})
    assert chosen(agent(1, skills={"english": 2}), on=wanted) is None
    assert chosen(agent(1, skills={"english": 2}), agent(2, skills={"english": 3}), on=wanted) == 2


def test_a_preferred_skill_is_demanded_and_relaxes_after_its_time() -> None:
    wanted = line("skills_based", preferred=(Preference("vip", 2, timedelta(seconds=60)),))
    assert chosen(agent(1), on=wanted, of=case(waited=59)) is None
    assert chosen(agent(1), on=wanted, of=case(waited=60)) == 1


def test_a_relaxed_preference_still_orders() -> None:
    wanted = line("skills_based", preferred=(Preference("vip", 3, timedelta(0)),))
    assert chosen(agent(1), agent(2, skills={"vip": 2}, load=2), on=wanted) == 2


def test_the_time_to_look_again_is_the_next_relaxation() -> None:
    wanted = line("skills_based", preferred=(Preference("vip", 1, timedelta(seconds=90)),))
    decision = routing.decide(case(waited=30), [agent(1)], wanted, NOON)
    assert decision.look_again == NOON + timedelta(seconds=60)


# ---------------------------------------------------------------- for and against
def test_who_knows_the_customer_goes_first_but_only_when_available() -> None:
    known = case(known_to=UUID(int=2))
    assert chosen(agent(1), agent(2, load=2), of=known) == 2
    assert chosen(agent(1), agent(2, presence="away"), of=known) == 1
    assert chosen(agent(1), agent(2, load=3), of=known) == 1


def test_who_declined_is_not_asked_again_so_soon() -> None:
    declined = case(refused={UUID(int=1): NOON - timedelta(minutes=2)})
    assert chosen(agent(1), agent(2, load=2), of=declined) == 2
    forgotten = case(refused={UUID(int=1): NOON - routing.REFUSAL_LASTS})
    assert chosen(agent(1), agent(2, load=2), of=forgotten) == 1


def test_only_those_who_are_online_are_given_anything() -> None:
    for presence in ("busy", "away", "offline"):
        assert chosen(agent(1, presence=presence)) is None


def test_the_queues_own_limit_per_agent_counts_only_that_queue() -> None:
    limited = line(per_agent=1)
    assert chosen(agent(1, load=1, load_by_queue={QUEUE: 1}), on=limited) is None
    assert chosen(agent(1, load=1, load_by_queue={UUID(int=5): 1}), on=limited) == 1


# ---------------------------------------------------------------- the record (X02)
agents_of_all_kinds = st.lists(
    st.builds(
        agent,
        st.integers(1, 9),
        capacity=st.integers(0, 4),
        load=st.integers(0, 4),
        presence=st.sampled_from(["online", "online", "busy", "away", "offline"]),
        skills=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 5)),
        last_assigned_at=st.none() | st.integers(0, 5).map(lambda n: NOON - timedelta(minutes=n)),
    ),
    max_size=6,
    unique_by=lambda one: one.agent.id,
)
lines = st.builds(
    line,
    st.sampled_from(["round_robin", "load_balance", "skills_based"]),
    skills_required=st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 3), max_size=1),
    allowed_agent_ids=st.frozensets(st.integers(1, 9).map(lambda n: UUID(int=n)), max_size=3),
    preferred=st.lists(
        st.builds(Preference, st.sampled_from(["a", "b"]), st.integers(1, 5), st.just(timedelta(seconds=30))),
        max_size=2,
    ).map(tuple),
)
cases = st.builds(case, st.integers(0, 60), known_to=st.none() | st.integers(1, 9).map(lambda n: UUID(int=n)))


@settings(max_examples=300, deadline=None)
@given(cases, agents_of_all_kinds, lines)
def test_the_choice_is_the_smallest_of_the_recorded_keys_and_nobody_names_a_filter_for_each(
    of: Case, agents: list[Candidate], on: Line
) -> None:
    decision = routing.decide(of, agents, on, NOON)
    fitting = [one for one in decision.candidates if one.keys]
    assert {one.agent_id for one in decision.candidates} == {one.agent.id for one in agents}
    if fitting:
        assert decision.chosen == min(fitting, key=lambda one: one.keys).agent_id
        assert routing.unblockers(decision) == ()
    else:
        assert decision.chosen is None
        assert all(one.failed for one in decision.candidates)
        assert routing.unblockers(decision)


def expected(of: Case, agents: list[Candidate], on: Line) -> UUID | None:
    """The rules of the issue again, in plain Python: filter, then sort by what the mode says."""
    waited = (NOON - of.queued_at).total_seconds()
    free = []
    for one in agents:
        skills, me = one.agent.skills, one.agent
        needed = dict(on.skills_required)
        for wish in on.preferred:
            if waited < wish.relax_after.total_seconds():
                needed[wish.skill] = max(needed.get(wish.skill, 0), wish.level)
        may = not on.allowed_agent_ids or me.id in on.allowed_agent_ids
        has = all(skills.get(skill, 0) >= level for skill, level in needed.items())
        if may and has and one.presence == "online" and me.load < me.capacity:
            free.append(one)
    for one in free:
        if one.agent.id == of.known_to:
            return one.agent.id
    last = {one.agent.id: one.last_assigned_at for one in free}
    idle = {
        pk: max(at, NOON - timedelta(hours=1)) if at else NOON - timedelta(hours=1) for pk, at in last.items()
    }
    ways = {
        "round_robin": lambda one: (last[one.agent.id] is not None, last[one.agent.id] or NOON),
        "load_balance": lambda one: (one.agent.load / one.agent.capacity, idle[one.agent.id]),
        "skills_based": lambda one: (
            sum(max(0, w.level - one.agent.skills.get(w.skill, 0)) for w in on.preferred),
            one.agent.load / one.agent.capacity,
            idle[one.agent.id],
        ),
    }
    free.sort(key=lambda one: (*ways[on.mode](one), str(one.agent.id)))
    return free[0].agent.id if free else None


@settings(max_examples=300, deadline=None)
@given(cases, agents_of_all_kinds, lines)
def test_the_decision_is_what_the_rules_say(of: Case, agents: list[Candidate], on: Line) -> None:
    assert routing.decide(of, agents, on, NOON).chosen == expected(of, agents, on)


def test_what_would_unblock_it_names_the_nearest() -> None:
    """One agent lacks a place, another lacks a place and a skill: a place of the first would do."""
    wanted = line("skills_based", skills_required={"vip": 1})
    near = agent(1, skills={"vip": 1}, load=3)
    decision = routing.decide(case(), [near, agent(2, load=3)], wanted, NOON)
    (only,) = routing.unblockers(decision)
    assert (only.filter, only.agent_ids, only.detail) == ("agent_capacity", (UUID(int=1),), "3 of 3")


def test_a_closed_queue_is_what_stands_in_the_way_of_everybody() -> None:
    closed = Line(QUEUE, is_active=True, is_open=False, mode="load_balance")
    first, *_rest = routing.unblockers(routing.decide(case(), [agent(1), agent(2)], closed, NOON))
    assert (first.filter, first.agent_ids) == ("business_hours", ())


def test_without_agents_that_is_what_is_missing() -> None:
    (only,) = routing.unblockers(routing.decide(case(), [], line(), NOON))
    assert only.filter == "no_agents"


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(10, 60))
def test_round_robin_is_fair_over_any_number_of_rounds(people: int, rounds: int) -> None:
    """Who is always free gets the same number, give or take one, wherever the run begins."""
    last: dict[int, datetime | None] = dict.fromkeys(range(1, people + 1))
    got = dict.fromkeys(last, 0)
    for turn in range(rounds):
        agents = [agent(n, capacity=99, last_assigned_at=at) for n, at in last.items()]
        winner = routing.decide(case(), agents, line("round_robin"), NOON).chosen.int
        got[winner] += 1
        last[winner] = NOON + timedelta(seconds=turn)
    assert max(got.values()) - min(got.values()) <= 1
