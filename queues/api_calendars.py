"""Calendars: their hours, why a moment is open or closed, days off out of a file."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import IO, Any

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.problems import Problem
from accounts.resources import Resource, RowSerializer, TenantAPIView, Whole, find
from accounts.roles import Action
from queues import calendars, ics, services
from queues.api import SEE_AND_EDIT_QUEUES
from queues.hours import WEEKDAYS
from queues.models import Calendar
from queues.models.calendar import translated

CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


class SpanSerializer(Whole, serializers.Serializer[Any]):
    start = serializers.RegexField(CLOCK)
    end = serializers.RegexField(CLOCK)


class IntervalSerializer(SpanSerializer):
    weekday = serializers.ChoiceField(choices=WEEKDAYS)


class SpecialDaySerializer(serializers.Serializer[Any]):
    """Hours of their own for one date or several in a row; no interval: closed all day."""

    to = serializers.DateField(required=False)
    name = serializers.CharField(max_length=120, allow_blank=True, required=False)
    intervals = SpanSerializer(many=True, required=False)

    def get_fields(self) -> dict[str, serializers.Field]:
        """`from` is a word of Python: it cannot be written as an attribute."""
        return {"from": serializers.DateField(), **super().get_fields()}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        given = super().to_internal_value(data)
        first: date | None = given.get("from")
        if first is None:
            raise ValidationError({"from": [_("This field is required.")]})
        return {
            "from": first.isoformat(),
            "to": given.get("to", first).isoformat(),
            "name": given.get("name", ""),
            "intervals": [dict(span) for span in given.get("intervals", [])],
        }

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {"to": instance["from"], "name": "", "intervals": [], **instance}


class CalendarSerializer(RowSerializer):
    intervals = IntervalSerializer(many=True, required=False)
    closed_dates = serializers.ListField(child=serializers.DateField(), required=False, max_length=1000)
    exceptions = SpecialDaySerializer(many=True, required=False)

    class Meta:
        model = Calendar
        fields = [
            "id", "name", "timezone", "intervals", "closed_dates", "holiday_calendar", "exceptions",
            "revision",
        ]  # fmt: skip
        read_only_fields = ["id", "revision"]

    def validate_closed_dates(self, days: list[Any]) -> list[str]:
        return sorted({day.isoformat() for day in days})

    def validate_intervals(self, intervals: list[dict[str, str]]) -> list[dict[str, str]]:
        return [dict(interval) for interval in intervals]

    def validate_exceptions(self, exceptions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted((dict(one) for one in exceptions), key=lambda one: one["from"])


class Calendars(Resource):
    model, word = Calendar, "calendar"
    serializer_class = CalendarSerializer
    required = SEE_AND_EDIT_QUEUES

    def note(self, what: str, row: Any, changed: Collection[str] = ()) -> None:
        """Other hours may let somebody take what waits."""
        super().note(what, row, changed)
        if what == "updated":
            services.call_router(row.organization_id, "hours")


# ---------------------------------------------------------------- a moment
class ExplanationSerializer(serializers.Serializer[Any]):
    """`rule`: always, interval, past_midnight, special_day, holiday, closed_date or outside_hours."""

    open = serializers.BooleanField(source="is_open")
    rule = serializers.CharField()
    name = serializers.CharField()
    next_change = serializers.DateTimeField(allow_null=True)
    next_open = serializers.DateTimeField(allow_null=True)
    local = serializers.DateTimeField(default_timezone=None)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {**super().to_representation(instance), "local": instance.local.isoformat()}


class ExplainView(TenantAPIView):
    """Whether a calendar is open at a moment, what decided it and what comes next."""

    required = {"GET": Action.READ_QUEUES}

    @extend_schema(
        parameters=[OpenApiParameter("at", OpenApiTypes.DATETIME, description="Without it: now.")],
        responses=ExplanationSerializer,
    )
    def get(self, request: Request, pk: Any) -> Response:
        hours = find(Calendar.objects, pk).hours()
        try:
            at = calendars.moment(request.query_params.get("at", ""), hours.zone)
        except ValueError as error:
            text = _("Write it as 2026-12-24T10:00, with an offset or without, between 1970 and 2099.")
            raise ValidationError({"at": [text]}) from error
        return Response(ExplanationSerializer(hours.explain(at, get_language() or "")).data)


# ---------------------------------------------------------------- a file
class IcsParser(BaseParser):
    """The body as it is, read no further than one byte beyond what is taken."""

    media_type = "text/calendar"

    def parse(self, stream: IO[bytes], media_type: Any = None, parser_context: Any = None) -> Any:
        return stream.read(ics.MAX_BYTES + 1)


class DayOffSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, serializers.Field]:
        fields = {"from": serializers.DateField(source="first"), "to": serializers.DateField(source="last")}
        return {**fields, "name": serializers.CharField()}


class SkippedSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    at = serializers.CharField()
    reason = serializers.CharField()


class ImportedSerializer(serializers.Serializer[Any]):
    added = DayOffSerializer(many=True)
    skipped = SkippedSerializer(many=True)


class FileSerializer(serializers.Serializer[Any]):
    file = serializers.FileField()


class ImportView(TenantAPIView):
    """Days off out of an .ics file, as the body or as the form field `file`. All of them or none."""

    required = {"POST": Action.EDIT_QUEUES}
    once_per_key = False  # the same file a second time adds nothing
    parser_classes = (IcsParser, MultiPartParser)

    @extend_schema(
        request={"text/calendar": OpenApiTypes.BINARY, "multipart/form-data": FileSerializer},
        responses=ImportedSerializer,
    )
    def post(self, request: Request, pk: Any) -> Response:
        calendar = find(Calendar.objects, pk)
        try:
            found = ics.read(file_of(request), today=timezone.localdate(timezone=calendar.hours().zone))
        except ics.UnreadableFile as error:
            raise ValidationError({"file": [translated(error)]}) from error
        added = calendars.add_days_off(calendar.pk, found.days, actor=request.member)
        skipped = calendars.passed_over(added, found)
        return Response(ImportedSerializer({"added": added.days, "skipped": skipped}).data)


def file_of(request: Request) -> bytes:
    """The bytes of the file, at most one more than is taken."""
    if isinstance(request.data, bytes):
        return request.data
    file = request.data.get("file")
    if not hasattr(file, "read"):
        raise ValidationError({"file": [_("Send the file as the form field “file”.")]})
    if file.size > ics.MAX_BYTES:
        raise Problem(413, "too_large", _("The file is larger than 1 MB."))
    return file.read()
