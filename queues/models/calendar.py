"""When a team is at work."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from queues.hours import Hours, InvalidHours
from queues.sentences import Unreadable


class Calendar(TenantModel):
    """When a team is at work; what its columns mean together, and which of them wins, says queues.hours."""

    name = models.CharField(_("name"), max_length=80)
    timezone = models.CharField(_("time zone"), max_length=64, default="America/Sao_Paulo")
    # [{"weekday": "mon", "start": "09:00", "end": "18:00"}, ...]; an end before its start passes midnight
    intervals = models.JSONField(_("opening hours"), default=list)
    closed_dates = models.JSONField(_("closed dates"), default=list, blank=True)  # ["2026-12-25", ...]
    # "BR", "BR-SP": public holidays by country and state, computed without asking anybody; empty: none
    holiday_calendar = models.CharField(_("public holidays of"), max_length=10, blank=True)
    # [{"from": "2026-12-24", "to": "2026-12-24", "name": "Eve", "intervals": [{"start", "end"}, ...]}]
    # Hours of their own for single dates; no interval: closed all day.
    exceptions = models.JSONField(_("special days"), default=list, blank=True)
    revision = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        verbose_name = _("calendar")
        verbose_name_plural = _("calendars")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            self.hours()
        except InvalidHours as error:
            raise ValidationError(translated(error)) from error

    def hours(self) -> Hours:
        return Hours.parse(
            self.timezone, self.intervals, self.closed_dates, self.holiday_calendar, self.exceptions
        )


def translated(error: Unreadable) -> str:
    """The sentence of a refusal in the language of the request."""
    text = gettext(error.text)
    return text % error.params if error.params else text
