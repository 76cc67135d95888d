"""When silence changes a presence: the table written out, and what holds for every story."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queues.presence import Change, Facts, Patience, Why, judge

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PATIENCE = Patience(
    gone_after=timedelta(minutes=2), away_after=timedelta(minutes=15), return_after=timedelta(minutes=10)
)


def ago(minutes: float | None) -> datetime | None:
    return None if minutes is None else NOW - timedelta(minutes=minutes)


GONE, IDLE = Change("away", True, Why.GONE), Change("away", True, Why.IDLE)
VANISHED = Change("offline", True, Why.VANISHED)

# presence, set by the desk, minutes since it is so, since seen, since input -> what the desk does
TABLE = [
    ("online", False, 60, 0, 1, None),
    ("online", False, 60, 1.9, 1.9, None),
    ("online", False, 60, 2, 2, GONE),
    ("busy", False, 60, 3, 3, GONE),
    ("online", False, 1, 600, 600, None),  # chosen a minute ago: that was a sign of life
    ("online", False, 1, None, None, None),  # an API client without a page
    ("online", False, 2, None, None, GONE),
    ("online", False, 60, 0, 14.9, None),
    ("online", False, 60, 0, 15, IDLE),
    ("busy", False, 60, 0, 16, IDLE),
    ("online", False, 14, 0, None, None),
    ("online", False, 15, 0, None, IDLE),
    ("away", True, 5, 0, 4, Change("online", False, Why.BACK)),
    ("away", True, 5, 0, 6, None),  # the page is open again, but nobody touched it
    ("away", True, 5, 3, 4, None),  # came back and went again
    ("away", True, 7, 9.9, 9.9, None),
    ("away", True, 8, 10, 10, VANISHED),
    ("away", True, 300, 0, 320, None),  # the page stays open: idle, not vanished
    ("away", True, 7, None, None, None),
    ("away", True, 8, None, None, VANISHED),
    ("away", False, 600, 600, 600, None),  # a break is theirs to end
    ("away", False, 60, 0, 0, None),
    ("offline", False, 600, 600, 600, None),
    ("offline", False, 60, 0, 0, None),
    ("offline", True, 60, 0, 0, None),  # back for a look: they say themselves when they work again
]


@pytest.mark.parametrize("presence, automatic, since, seen, touched, expected", TABLE)
def test_what_the_desk_does(presence, automatic, since, seen, touched, expected) -> None:
    facts = Facts(presence, automatic, ago(since), ago(seen), ago(touched))

    assert judge(facts, PATIENCE, NOW) == expected


def test_who_comes_back_is_what_they_were_before() -> None:
    facts = Facts("away", True, ago(5), ago(0), ago(1), before="busy")

    assert judge(facts, PATIENCE, NOW) == Change("busy", False, Why.BACK)


@pytest.mark.parametrize("presence", ["online", "busy", "away"])
def test_who_works_here_no_more_is_offline(presence: str) -> None:
    facts = Facts(presence, False, ago(0), ago(0), ago(0), works_here=False)

    assert judge(facts, PATIENCE, NOW) == Change("offline", True, Why.RETIRED)


moments = st.one_of(st.none(), st.integers(0, 100_000).map(lambda s: NOW - timedelta(seconds=s)))
patience = st.builds(
    Patience, *[st.integers(1, 60).map(lambda minutes: timedelta(minutes=minutes)) for _ in range(3)]
)
facts = st.builds(
    Facts,
    presence=st.sampled_from(["online", "busy", "away", "offline"]),
    is_automatic=st.booleans(),
    since=moments.filter(bool),
    seen_at=moments,
    input_at=moments,
    before=st.sampled_from(["online", "busy"]),
)


def after(known: Facts, change: Change) -> Facts:
    return Facts(change.presence, change.is_automatic, NOW, known.seen_at, known.input_at, known.presence)


@given(facts, patience)
def test_what_a_person_chose_stays(known: Facts, patience: Patience) -> None:
    if known.presence in ("away", "offline") and not known.is_automatic:
        assert judge(known, patience, NOW) is None


@given(facts, patience)
def test_one_look_settles_it(known: Facts, patience: Patience) -> None:
    """Two sweeps after each other find nothing more to do; nothing goes back and forth."""
    change = judge(known, patience, NOW)
    if change:
        again = judge(after(known, change), patience, NOW)
        assert again is None or (change.presence, again.presence) == ("away", "offline")


@given(facts, patience, st.integers(0, 5000))
def test_silence_never_brings_anybody_back(known: Facts, patience: Patience, seconds: int) -> None:
    first = judge(known, patience, NOW)
    later = judge(known, patience, NOW + timedelta(seconds=seconds))
    if first is None or first.why != Why.BACK:
        assert later is None or later.why != Why.BACK


@given(facts, patience)
def test_somebody_at_the_keyboard_is_never_sent_away(known: Facts, patience: Patience) -> None:
    here = Facts(known.presence, known.is_automatic, known.since, NOW, NOW, known.before)
    change = judge(here, patience, NOW)

    assert change is None or change.why == Why.BACK
