"""Where a conversation goes: the rules in their order, against a plain model, and case by case."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queues import overflow
from queues.overflow import CLOSED, FULL, NOBODY, WAITED, Facts, Hop, Line, Placement, Rule, settle

A, B, C, D, E = (UUID(int=n) for n in range(1, 6))
ALL = (A, B, C, D, E)
MINUTE = timedelta(minutes=1)


def lines(*rules: tuple[UUID, str, UUID], **limits: int) -> dict[UUID, Line]:
    """The five queues with these rules; `a=1` gives queue A one place."""
    own = {q: tuple(Rule(when, to) for source, when, to in rules if source == q) for q in ALL}
    return {q: Line(q, limits.get(name), own[q]) for q, name in zip(ALL, "abcde", strict=True)}


def where(found: Placement) -> tuple[UUID, str]:
    return found.queue_id, "".join("ABCDE"[ALL.index(h.source)] for h in found.hops)


def test_a_queue_with_room_keeps_it() -> None:
    assert settle(A, lines((A, FULL, B), a=2), {A: Facts(waiting=1)}) == Placement(A)


def test_a_full_queue_passes_it_on_and_says_why() -> None:
    found = settle(A, lines((A, FULL, B), a=1), {A: Facts(waiting=1)})
    assert found == Placement(B, (Hop(A, B, FULL),))


def test_the_first_rule_that_holds_and_leads_somewhere_wins() -> None:
    given_ = lines((A, CLOSED, B), (A, FULL, C), (A, FULL, D), a=1, c=1)
    assert where(settle(A, given_, {A: Facts(waiting=1), C: Facts(waiting=1)})) == (D, "A")
    assert where(settle(A, given_, {A: Facts(waiting=1, is_open=False)})) == (B, "A")


def test_a_full_target_passes_it_on_along_its_own_rules() -> None:
    full = {A: Facts(waiting=1), B: Facts(waiting=1)}
    assert where(settle(A, lines((A, FULL, B), (B, FULL, C), a=1, b=1), full)) == (C, "AB")


def test_a_closed_target_takes_nothing_unless_its_rules_lead_on() -> None:
    facts = {A: Facts(waiting=1), B: Facts(is_open=False)}
    assert settle(A, lines((A, FULL, B), a=1), facts) == Placement(A, full=True)
    assert where(settle(A, lines((A, FULL, B), (B, CLOSED, C), a=1), facts)) == (C, "AB")


def test_an_inactive_queue_is_as_good_as_full() -> None:
    off = {**lines((A, FULL, B)), A: Line(A, None, (Rule(FULL, B),), is_active=False)}
    assert where(settle(A, off, {})) == (B, "A")


def test_without_an_agent_it_goes_on_but_stays_when_nobody_else_takes_it() -> None:
    rules = lines((A, NOBODY, B), b=1)
    assert where(settle(A, rules, {A: Facts(has_agent=False)})) == (B, "A")
    full = {A: Facts(has_agent=False), B: Facts(waiting=1)}
    assert settle(A, rules, full) == Placement(A)


def test_nothing_takes_it_so_it_stays_where_it_was_asked_for() -> None:
    full = {q: Facts(waiting=1) for q in ALL}
    found = settle(A, lines((A, FULL, B), (B, FULL, C), a=1, b=1, c=1), full)
    assert found == Placement(A, full=True)


def test_a_closed_queue_that_keeps_it_says_so() -> None:
    assert settle(A, lines(), {A: Facts(is_open=False)}) == Placement(A, closed=True)


def test_a_circle_ends() -> None:
    full = {q: Facts(waiting=1) for q in ALL}
    rules = lines((A, FULL, B), (B, FULL, C), (C, FULL, A), a=1, b=1, c=1)
    assert settle(A, rules, full) == Placement(A, full=True)
    assert list(overflow.reachable(A, rules)) == [A, B, C]


def test_the_waiting_rule_holds_from_its_minute_on_and_only_for_who_waits() -> None:
    rules = {**lines(), A: Line(A, 1, (Rule(FULL, C), Rule(WAITED, B, 5 * MINUTE)))}
    full = {A: Facts(waiting=1)}
    assert where(settle(A, rules, full)) == (C, "A")
    assert where(settle(A, rules, full, waited=4 * MINUTE)) == (A, "")
    assert where(settle(A, rules, full, waited=5 * MINUTE)) == (B, "A")


def test_the_plain_rule_comes_last_and_stands_for_closed_only_when_told() -> None:
    own = [Rule(FULL, B)]
    assert overflow.rules_of(own, C, also_closed=False) == (Rule(FULL, B), Rule(FULL, C))
    assert overflow.rules_of(own, C, also_closed=True)[-1] == Rule(CLOSED, C)
    assert overflow.rules_of(own, None, also_closed=True) == (Rule(FULL, B),)


@pytest.mark.parametrize(
    "edges, found",
    [({B: [C], C: [A]}, [B, C, A]), ({B: [C], C: [B]}, []), ({B: [A, C], C: [A]}, [B, A]), ({}, [])],
)
def test_the_shortest_way_back_is_found(edges: dict[UUID, list[UUID]], found: list[UUID]) -> None:
    assert list(overflow.way(B, A, edges)) == found


# ---------------------------------------------------------------- against a plain model
desk_rules = st.lists(
    st.tuples(st.sampled_from(ALL), st.sampled_from([FULL, CLOSED, NOBODY]), st.sampled_from(ALL)), max_size=9
)
stands = st.fixed_dictionaries(
    {q: st.builds(Facts, st.integers(0, 2), st.booleans(), st.booleans()) for q in ALL}
)
places = st.fixed_dictionaries({name: st.integers(1, 3) for name in "abcde"})


def applies(when: str, line: Line, fact: Facts) -> bool:
    full = line.limit is not None and fact.waiting >= line.limit
    return {FULL: full, CLOSED: not fact.is_open, NOBODY: not fact.has_agent}[when]


def reached(start: UUID, desk: dict[UUID, Line], facts: dict[UUID, Facts]) -> set[UUID]:
    """Every queue that some chain of rules that hold leads to, the start left out: a plain flood."""
    seen, edge = {start}, [start]
    while edge:
        line = desk[edge.pop()]
        new = {r.to for r in line.rules if applies(r.when, line, facts[line.id])} - seen
        seen |= new
        edge += new
    return seen - {start}


@settings(max_examples=400, deadline=None)
@given(rules=desk_rules, facts=stands, limits=places)
def test_it_moves_exactly_when_some_reachable_queue_takes_it(
    rules: list[tuple[UUID, str, UUID]], facts: dict[UUID, Facts], limits: dict[str, int]
) -> None:
    desk = lines(*rules, **limits)
    takers = {q for q in reached(A, desk, facts) if facts[q].is_open and facts[q].waiting < desk[q].limit}
    found = settle(A, desk, facts)

    assert (found.queue_id in takers) if takers else (found.queue_id == A)
    assert len({h.target for h in found.hops} | {A}) == len(found.hops) + 1  # no queue twice
    assert [h.source for h in found.hops[1:]] == [h.target for h in found.hops[:-1]]
    assert all(applies(h.when, desk[h.source], facts[h.source]) for h in found.hops)
    assert {found.queue_id, *(h.source for h in found.hops)} <= set(overflow.reachable(A, desk))


@settings(max_examples=200, deadline=None)
@given(rules=desk_rules, facts=stands, limits=places)
def test_an_earlier_rule_is_passed_over_only_when_it_leads_nowhere(
    rules: list[tuple[UUID, str, UUID]], facts: dict[UUID, Facts], limits: dict[str, int]
) -> None:
    desk = lines(*rules, **limits)
    found = settle(A, desk, facts)
    if not found.hops:
        return
    taken = next(i for i, r in enumerate(desk[A].rules) if Hop(A, r.to, r.when) == found.hops[0])
    for rule in desk[A].rules[:taken]:
        only = {**desk, A: Line(A, desk[A].limit, (rule,))}
        assert settle(A, only, facts).hops == ()
