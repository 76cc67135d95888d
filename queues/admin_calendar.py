"""The admin page of calendars: hours a line per day, special days, and a box to test a moment."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from unfold.decorators import action, display

from accounts.admin_base import RevisedAdmin, told
from accounts.roles import Action
from queues import calendars, ics, public_holidays, services
from queues.admin_calendar_forms import DAY_NAMES, FileForm, WeekForm
from queues.hours import WEEKDAYS
from queues.models import Calendar
from queues.models.calendar import translated

PREVIEW_LIVES = 3600
SHOWN_SKIPPED = 100


@admin.register(Calendar)
class CalendarAdmin(RevisedAdmin):
    view_action = Action.READ_QUEUES
    change_action = Action.EDIT_QUEUES
    addable = deletable = True
    form = WeekForm
    list_display = ("name", "timezone", "open_days", "holiday_calendar")
    search_fields = ("name",)
    ordering = ("name", "id")
    actions_detail = ("import_days",)
    change_form_outer_before_template = "admin/queues/moment.html"
    change_form_outer_after_template = "admin/queues/holidays.html"
    fieldsets = (
        (None, {"fields": ("name", "timezone")}),
        (
            gettext_lazy("Opening hours"),
            {
                "fields": WEEKDAYS,
                "description": gettext_lazy(
                    "Several a day are parted by commas. An end before its start passes midnight and belongs"
                    " to the day it began. No hours at all: always open."
                ),
            },
        ),
        (
            gettext_lazy("Days off and special days"),
            {
                "fields": ("holidays_of", "other_holidays", "dates", "special"),
                "description": gettext_lazy(
                    "A special day wins over a closed date, a public holiday and the weekly hours."
                ),
            },
        ),
    )
    view_fields = ("name", "timezone", "intervals", "closed_dates", "holiday_calendar", "exceptions")

    def get_fieldsets(self, request: HttpRequest, obj: Calendar | None = None) -> Any:
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return [(None, {"fields": self.view_fields})]

    def save_model(self, request: HttpRequest, obj: Calendar, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and form.changed_data:
            services.call_router(obj.organization_id, "hours")

    @display(description=gettext_lazy("Open on"))
    def open_days(self, calendar: Calendar) -> str:
        days = {one.get("weekday") for one in calendar.intervals}
        named = zip(WEEKDAYS, DAY_NAMES, strict=True)
        return ", ".join(str(name) for day, name in named if day in days) or _("always")

    # ------------------------------------------------------------------ test this moment
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """With the moment that is tested above the form and the holidays of its year below."""
        if (shown := context.get("original")) is not None:
            context |= tested(Calendar.objects.get(pk=shown.pk), request.GET.get("at", ""))
        return super().render_change_form(request, context, *args, **kwargs)

    # ------------------------------------------------------------------ days off out of a file
    @action(
        description=gettext_lazy("Import an .ics file"),
        permissions=["change"],
        url_path="import",
        icon="upload_file",
    )
    def import_days(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A file is read and shown first; what was shown comes back signed and is taken as it is."""
        calendar = self.get_object(request, object_id)
        if calendar is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if request.method == "POST" and "shown" in request.POST:
            return self._take(request, calendar)
        form = FileForm(request.POST, request.FILES) if request.method == "POST" else FileForm()
        found = preview(calendar, form) if form.is_valid() else {}
        return TemplateResponse(
            request,
            "admin/queues/import.html",
            {
                **self.admin_site.each_context(request),
                "title": _("Import days off into %s") % calendar,
                "opts": self.opts,
                "original": calendar,
                "form": form,
                **found,
            },
        )

    def _take(self, request: HttpRequest, calendar: Calendar) -> HttpResponse:
        """What was shown, into the calendar."""
        here = reverse("admin:queues_calendar_change", args=[calendar.pk])
        try:
            shown = signing.loads(request.POST["shown"], salt=salt(calendar), max_age=PREVIEW_LIVES)
            days = [ics.DayOff.of(entry) for entry in shown]
            added = calendars.add_days_off(calendar.pk, days, actor=request.member)
        except signing.BadSignature:
            messages.error(request, _("This preview is too old. Choose the file again."))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            told(request, _("Special days that were added: %(n)s.") % {"n": len(added.days)})
        return redirect(here)


def salt(calendar: Calendar) -> str:
    """A preview is good for the calendar it was made for."""
    return f"queues.calendar.import.{calendar.pk}"


def preview(calendar: Calendar, form: FileForm) -> dict[str, Any]:
    """What a file would do; an unreadable one is an error of the form."""
    today = timezone.localdate(timezone=calendar.hours().zone)
    try:
        found = ics.read(form.cleaned_data["file"].read(), today=today)
    except ics.UnreadableFile as error:
        form.add_error("file", translated(error))
        return {}
    added = calendars.sort_out(calendar, found.days)
    skipped = calendars.passed_over(added, found)
    return {
        "days": added.days,
        "dates": sum(day.days for day in added.days),
        "skipped": skipped[:SHOWN_SKIPPED],
        "more_skipped": max(0, len(skipped) - SHOWN_SKIPPED),
        "shown": signing.dumps([day.entry() for day in added.days], salt=salt(calendar), compress=True),
        "previewed": True,
    }


def tested(calendar: Calendar, at: str) -> dict[str, Any]:
    """What the box above the form shows: open or closed, why, what comes next; the holidays of that year."""
    hours, language = calendar.hours(), get_language() or ""
    try:
        moment, wrong = calendars.moment(at, hours.zone), False
    except ValueError:
        moment, wrong = timezone.now(), True
    why = hours.explain(moment, language)
    following = why.next_change if why.is_open else why.next_open
    return {
        "tested": why,
        "tested_wrong": wrong,
        "tested_input": f"{why.local:%Y-%m-%dT%H:%M}",
        "tested_local": why.local.replace(tzinfo=None),
        "tested_reason": calendars.reason(why),
        "tested_next": following and following.astimezone(hours.zone).replace(tzinfo=None),
        "holidays": public_holidays.of(hours.holidays, why.local.year, language).items(),
        "holidays_year": str(why.local.year),
    }
