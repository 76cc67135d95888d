"""A short day at a desk where everything happens at once; the long one is `manage.py bench soak`."""

from __future__ import annotations

import pytest

from bench import soak

pytestmark = [pytest.mark.race, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

# What a day has to bring, so that it proves something: lines of the ledger by type.
ACTS = {
    "enqueue", "claim", "assign", "requeue", "hand_on", "close", "offered", "held", "snoozed", "overflow",
}  # fmt: skip


def test_after_a_day_of_everything_at_once_nothing_is_left_over() -> None:
    """Each conversation is closed once and with a reason, no promise was broken on the way."""
    outcome = soak.soak(conversations=150, agents=12, seconds=240)
    assert not outcome.problems, f"seed {outcome.seed}: {'; '.join(outcome.problems)[:3000]}"
    assert outcome.closed >= 150
    assert set(outcome.acts) >= ACTS, f"seed {outcome.seed}: {outcome.acts}"
