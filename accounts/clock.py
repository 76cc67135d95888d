"""The one clock of the desk, inside a statement."""

from __future__ import annotations

from django.db.models import DateTimeField, Func


class ClockNow(Func):
    """The database's clock, not the beginning of its transaction."""

    function, template, output_field = "clock_timestamp", "%(function)s()", DateTimeField()
