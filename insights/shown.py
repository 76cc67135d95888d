"""Figures as people read them."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils.formats import number_format

from insights.reads import MOST


def count_text(n: int) -> str:
    """1234, or 9999+ where nobody counted further."""
    return f"{MOST}+" if n > MOST else str(n)


def inbox_of(only: str, tab: str = "all") -> str:
    """Where the conversations are that a figure counts."""
    return f"{reverse('inbox')}?tab={tab}&only={only}"


def percent_text(value: float | None, places: int = 1) -> str:
    return "–" if value is None else f"{number_format(value, places)} %"


def short_text(span: timedelta) -> str:
    """2m, 1h 05m, 3d: how long a presence lasts. The page counts on in the same form."""
    minutes = max(0, int(span.total_seconds()) // 60)
    if minutes >= 48 * 60:
        return f"{minutes // 1440}d"
    return f"{minutes // 60}h {minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m"


def span_text(span: timedelta | None) -> str:
    """45s, 2m 41s, 1h 05m."""
    if span is None:
        return "–"
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        minutes, rest = divmod(seconds, 60)
        return f"{minutes}m {rest:02d}s" if rest else f"{minutes}m"
    return f"{seconds // 3600}h {seconds // 60 % 60:02d}m"
