"""Stretches of time that figures and lists share: what one counts the other shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy

from accounts.ids import first_id_at

HOUR = timedelta(hours=1)
DAYS: Mapping[str, int] = {"24h": 1, "7d": 7, "30d": 30}
PERIODS: Mapping[str, Any] = {
    "24h": gettext_lazy("Last 24 hours"),
    "7d": gettext_lazy("Last 7 days"),
    "30d": gettext_lazy("Last 30 days"),
}
SPANS: Mapping[str, timedelta] = {"1h": HOUR, "24h": 24 * HOUR, "7d": 7 * 24 * HOUR}


def start_of(period: str, now: datetime, zone: ZoneInfo) -> datetime:
    """24 hours of the clock with the one that runs; of days, whole ones in the desk's zone with today."""
    local = now.astimezone(zone)
    if period == "24h":
        return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC) - 23 * HOUR
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return (midnight - timedelta(days=DAYS[period] - 1)).replace(tzinfo=zone)


def first_id(period: str, now: datetime, zone: ZoneInfo) -> UUID:
    """Rows of a period by their ids, which grow with time: no index of its own is needed."""
    return first_id_at(start_of(period, now, zone))
