"""Opening hours and special days as people write them: a line per day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.admin_base import RevisedForm
from queues import ics, public_holidays
from queues.hours import WEEKDAYS
from queues.models.calendar import translated

DAY_NAMES = (
    gettext_lazy("Monday"),
    gettext_lazy("Tuesday"),
    gettext_lazy("Wednesday"),
    gettext_lazy("Thursday"),
    gettext_lazy("Friday"),
    gettext_lazy("Saturday"),
    gettext_lazy("Sunday"),
)
CLOCK = r"(\d{1,2})(?:[:h](\d\d)|h)"
SPAN = re.compile(rf"{CLOCK}\s*[-–]\s*{CLOCK}", re.IGNORECASE)
SPANS = re.compile(rf"{SPAN.pattern}(?:\s*,\s*{SPAN.pattern})*(?=\s|$)", re.IGNORECASE)
DATES = re.compile(r"(\d{4}-\d\d-\d\d)(?:\s*\.\.\s*(\d{4}-\d\d-\d\d))?(?=\s|$)")
OTHER = "other"

Entry = dict[str, Any]


class Mistyped(ValueError):
    """A line that is no hours, or no special day."""


def read_spans(text: str) -> list[dict[str, str]]:
    """ "9h-12h, 13:00-18:00" as a calendar keeps it. Raises Mistyped."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip()]
    found = [SPAN.fullmatch(piece) for piece in pieces]
    if None in found:
        raise Mistyped
    return [
        {"start": _clock(match[1], match[2]), "end": _clock(match[3], match[4])} for match in found if match
    ]


def _clock(hour: str, minute: str | None) -> str:
    if int(hour) > 23 or int(minute or 0) > 59:
        raise Mistyped
    return f"{int(hour):02}:{int(minute or 0):02}"


def spans_text(spans: list[dict[str, str]]) -> str:
    return ", ".join(f"{span['start']}-{span['end']}" for span in spans)


def read_special(line: str) -> Entry:
    """ "2026-12-24 09:00-13:00 Christmas Eve" as a calendar keeps it. Raises Mistyped."""
    dates = DATES.match(line)
    if dates is None:
        raise Mistyped
    try:
        first, last = (date.fromisoformat(text).isoformat() for text in (dates[1], dates[2] or dates[1]))
    except ValueError as error:
        raise Mistyped from error
    rest, spans = line[dates.end() :].strip(), []
    if match := SPANS.match(rest):
        spans, rest = read_spans(match[0]), rest[match.end() :]
    else:
        rest = re.sub(rf"(closed|{re.escape(_('closed'))})(?=\s|$)", "", rest, count=1, flags=re.IGNORECASE)
    name = rest.strip()
    if len(name) > ics.MAX_NAME:
        raise Mistyped
    return {"from": first, "to": last, "name": name, "intervals": spans}


def special_text(entry: Mapping[str, Any]) -> str:
    last = entry.get("to") or entry["from"]
    dates = entry["from"] if last == entry["from"] else f"{entry['from']}..{last}"
    return f"{dates} {spans_text(entry.get('intervals', [])) or _('closed')} {entry.get('name', '')}".strip()


def choices_of_holidays() -> list[tuple[str, Any]]:
    states = [(code, f"Brasil: {name}") for code, name in public_holidays.states_of_brazil()]
    return [
        ("", gettext_lazy("none")),
        (public_holidays.BRAZIL, gettext_lazy("Brazil, national")),
        *states,
        (OTHER, gettext_lazy("another country")),
    ]


class CalendarForm(RevisedForm):
    """Opening hours as people write them: a line per day."""

    holidays_of = forms.ChoiceField(
        label=gettext_lazy("Public holidays of"),
        required=False,
        choices=choices_of_holidays,
        widget=UnfoldAdminSelectWidget,
    )
    other_holidays = forms.CharField(
        label=gettext_lazy("Another country"),
        required=False,
        max_length=10,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "PT, US-CA"}),
        help_text=gettext_lazy("Its code, with a state if it has holidays of its own."),
    )
    dates = forms.CharField(
        label=gettext_lazy("Closed dates"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=gettext_lazy("One per line, as 2026-12-25."),
    )
    special = forms.CharField(
        label=gettext_lazy("Special days"),
        required=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={
                "rows": 6,
                "placeholder": "2026-12-24 09:00-13:00 Natal\n2026-12-28..2026-12-31 closed Recesso",
            }
        ),
        help_text=gettext_lazy(
            "One per line: a date or two with .. between them, the hours or “closed”, a name."
        ),
    )
    stored_in = {
        **dict.fromkeys(WEEKDAYS, "intervals"),
        "dates": "closed_dates",
        "special": "exceptions",
        **dict.fromkeys(("holidays_of", "other_holidays"), "holiday_calendar"),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["dates"] = "\n".join(self.instance.closed_dates)
        self.initial["special"] = "\n".join(map(special_text, self.instance.exceptions))
        code = self.instance.holiday_calendar
        listed = code in dict(choices_of_holidays())
        self.initial["holidays_of"] = code if listed else OTHER
        self.initial["other_holidays"] = "" if listed else code
        for day in WEEKDAYS:
            found = [one for one in self.instance.intervals if one.get("weekday") == day]
            self.initial[day] = spans_text(found)

    def clean_dates(self) -> str:
        try:
            found = {date.fromisoformat(line).isoformat() for line in lines_of(self.cleaned_data["dates"])}
        except ValueError as error:
            raise ValidationError(_("One date per line, as 2026-12-25.")) from error
        self.instance.closed_dates = sorted(found)
        return self.cleaned_data["dates"]

    def clean_special(self) -> str:
        found = []
        for line in lines_of(self.cleaned_data["special"]):
            try:
                found.append(read_special(line))
            except Mistyped as error:
                text = _("“%(line)s” is not a date, hours or “closed”, and a name of up to 120 characters.")
                raise ValidationError(text, params={"line": line[:80]}) from error
        self.instance.exceptions = sorted(found, key=lambda entry: entry["from"])
        return self.cleaned_data["special"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self.instance.intervals = [
            {"weekday": day, **span} for day in WEEKDAYS for span in self._spans_of(day, data)
        ]
        self._take_holidays(data)
        return data

    def _spans_of(self, day: str, data: Mapping[str, Any]) -> list[dict[str, str]]:
        try:
            return read_spans(data.get(day, ""))
        except Mistyped:
            self.add_error(day, _("Write hours as 09:00-18:00, between 00:00 and 23:59."))
            return []

    def _take_holidays(self, data: Mapping[str, Any]) -> None:
        chosen = data.get("holidays_of", "")
        code = data.get("other_holidays", "").strip() if chosen == OTHER else chosen
        try:
            public_holidays.check(code)
        except public_holidays.UnknownHolidays as error:
            self.add_error("other_holidays", translated(error))
        else:
            self.instance.holiday_calendar = code


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def day_field(name: Any) -> forms.CharField:
    return forms.CharField(
        label=name,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "09:00-12:00, 13:00-18:00"}),
    )


WeekForm = type(
    "WeekForm",
    (CalendarForm,),
    {day: day_field(name) for day, name in zip(WEEKDAYS, DAY_NAMES, strict=True)},
)


class FileForm(forms.Form):
    """The .ics file whose days are taken."""

    file = forms.FileField(
        label=gettext_lazy("File"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".ics,text/calendar"}),
        help_text=gettext_lazy("Whole days become special days on which the calendar is closed."),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > ics.MAX_BYTES:
            raise ValidationError(_("The file is larger than 1 MB."))
        return file
