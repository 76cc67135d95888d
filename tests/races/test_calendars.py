"""Two people take files into one calendar at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from accounts.models import Membership
from queues import calendars
from queues.ics import DayOff
from queues.models import Calendar, RoutingCall

pytestmark = pytest.mark.django_db(transaction=True)


def test_no_day_is_lost_or_doubled(sofia: Membership, race: Callable[..., list[Any]]) -> None:
    calendar = Calendar.objects.create(organization=sofia.organization, name="Semana")
    first = date(2027, 1, 1)

    def take(index: int) -> int:
        """Each brings one day of its own and one that all bring."""
        own = first + timedelta(days=index + 1)
        days = [DayOff(day, day, "Recesso") for day in (first, own)]
        return len(calendars.add_days_off(calendar.pk, days, actor=sofia).days)

    results = race(8, take)

    assert sorted(results) == [1] * 7 + [2]
    dates = [one["from"] for one in Calendar.objects.get().exceptions]
    assert dates == [(first + timedelta(days=n)).isoformat() for n in range(9)]
    assert RoutingCall.objects.count() == 8
