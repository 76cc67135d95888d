"""The short form of `manage.py chaos`: a storm over the senders, then the judge."""

from __future__ import annotations

import pytest

from bench import chaos
from conversations.failpoints import POINTS

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_dying_and_sleeping_senders_lose_nothing_and_send_nothing_twice() -> None:
    outcome = chaos.sending(kills=6, stops=6)
    assert not outcome.problems, f"seed {outcome.seed}: {'; '.join(outcome.problems)[:3000]}"
    assert set(outcome.kills) | set(outcome.stops) >= set(POINTS)
    assert outcome.taken > 30
