"""Expected waits: the 80th percentile, never less, and nothing at all where history is thin."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues import waiting
from queues.waiting import Wait, expected, friendly, percentile

SECONDS = st.floats(0, 10**6)
WAITS = st.lists(st.builds(Wait, st.integers(0, 40), SECONDS, st.booleans()), max_size=120)


def served(*seconds: float, ahead: int = 0) -> list[Wait]:
    return [Wait(ahead, s, True) for s in seconds]


def nearest_rank(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(0.8 * len(seconds)) - 1]


@pytest.mark.parametrize(
    "ahead, first, number", [(0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 2, 2), (4, 4, 3), (7, 4, 3), (8, 8, 4)]
)
def test_places_in_line_are_put_together(ahead: int, first: int, number: int) -> None:
    assert (waiting.lowest(ahead), waiting.bucket(ahead)) == (first, number)


@pytest.mark.parametrize(
    "seconds, minutes", [(0, 1), (60, 1), (61, 2), (181, 5), (3601, 90), (86_400, 1440), (86_401, 2880)]
)
def test_times_are_rounded_up_to_what_people_say(seconds: float, minutes: int) -> None:
    assert friendly(seconds) == timedelta(minutes=minutes)


def test_the_golden_case_four_in_five() -> None:
    assert expected(served(*(60 * n for n in range(1, 21))), 0) == timedelta(minutes=20)  # 16, rounded up


def test_fewer_than_twenty_say_nothing() -> None:
    assert expected(served(*[60.0] * 19), 0) is None


def test_too_few_are_joined_by_those_with_more_ahead_never_with_fewer() -> None:
    few, more = served(*[60.0] * 5, ahead=2), served(*[600.0] * 15, ahead=9)

    assert expected(few + more, 2) == timedelta(minutes=10)
    assert expected(served(*[60.0] * 50, ahead=1) + few, 2) is None


def test_who_gave_up_would_have_waited_longer() -> None:
    gave_up = [Wait(0, 30, False)] * 10

    assert percentile(served(*[10.0] * 5, *[100.0] * 5) + gave_up) == 100


def test_a_queue_that_serves_nobody_promises_nothing() -> None:
    assert expected([Wait(0, 60, False)] * 50 + served(10), 0) is None


@given(st.lists(SECONDS, min_size=1, max_size=60))
def test_without_unserved_waits_it_is_the_nearest_rank(seconds: list[float]) -> None:
    assert percentile(served(*seconds)) == nearest_rank(seconds)


@given(WAITS)
def test_no_promise_is_shorter_than_what_was_seen(waits: list[Wait]) -> None:
    found = percentile(waits)

    if found is not None:
        assert found >= nearest_rank([w.seconds for w in waits])
        assert found >= nearest_rank([w.seconds for w in waits if w.served])


@given(WAITS, st.integers(0, 40))
def test_the_answer_is_a_friendly_step_and_needs_twenty_waits(waits: list[Wait], ahead: int) -> None:
    found = expected(waits, ahead)

    alike = [w for w in waits if waiting.bucket(w.ahead) >= waiting.bucket(ahead)]
    if len(alike) < waiting.FEWEST:
        assert found is None
    if found is not None:
        minutes = found.total_seconds() / 60
        assert minutes in waiting.STEPS or minutes % waiting.DAY == 0


@given(WAITS, SECONDS)
def test_another_long_wait_never_shortens_the_promise(waits: list[Wait], seconds: float) -> None:
    before = percentile(waits)
    longest = max([w.seconds for w in waits], default=0) + seconds

    after = percentile([*waits, Wait(0, longest, False)])
    assert after is None or (before is not None and after >= before)
