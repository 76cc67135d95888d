"""The short forms of `manage.py chaos`: a fire, then the judge."""

from __future__ import annotations

import pytest

from bench.chaos import redis, sending
from conversations.failpoints import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_dying_and_sleeping_senders_lose_nothing_and_send_nothing_twice() -> None:
    outcome = sending.storm(kills=6, stops=6)
    assert not outcome.problems, f"seed {outcome.seed}: {'; '.join(outcome.problems)[:3000]}"
    assert set(outcome.kills) | set(outcome.stops) >= set(POINTS)
    assert outcome.taken > 30


def test_with_redis_killed_silent_emptied_and_paused_the_desk_works_on() -> None:
    outcome = redis.redis_away(seconds=3)
    assert not outcome.problems, "; ".join(outcome.problems)[:3000]
    assert [one.name for one in outcome.stretches] == ["there", "killed", "silent", "emptied", "paused"]
    assert outcome.fullest <= redis.RATE
    assert outcome.missed > 0, "no webhook was lost on the way"
