"""A short day at a desk where everything happens at once; the long one is `manage.py bench soak`."""

from __future__ import annotations

import os

import pytest

from bench import soak

pytestmark = [
    pytest.mark.race,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        not os.environ.get("PYTAKE_FULL"), reason="depends on how busy the machine is: set PYTAKE_FULL=1"
    ),
]


def test_after_a_day_of_everything_at_once_nothing_is_left_over() -> None:
    """Each conversation is closed once and with a reason, no promise was broken on the way."""
    outcome = soak.soak(conversations=50, agents=8, seconds=240)
    assert not outcome.problems, f"seed {outcome.seed}: {'; '.join(outcome.problems)[:3000]}"
    assert outcome.closed >= 50
    assert {"enqueue", "claim", "close"} <= set(outcome.acts)
