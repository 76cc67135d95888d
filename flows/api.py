"""Flows: the draft people work on, what is wrong with it, published versions, and playing one through."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.problems import Problem
from accounts.resources import (
    Lister,
    Related,
    Resource,
    RowSerializer,
    TenantAPIView,
    etag_of,
    find,
    read,
    stale,
    wanted_revision,
)
from accounts.roles import Action
from flows import services
from flows.document import InvalidDocument, parse
from flows.models import Flow, FlowVersion
from flows.simulation import MAX_EVENTS, BadEvent

READ_AND_EDIT = {
    "GET": Action.READ_FLOWS,
    **dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Action.EDIT_FLOWS),
}


class FlowSerializer(RowSerializer):
    slug = serializers.SlugField(required=False, max_length=50)
    published_version = serializers.IntegerField(source="published.number", read_only=True, allow_null=True)

    class Meta:
        model = Flow
        fields = [
            "id", "name", "slug", "description", "is_active", "published_version", "revision", "created_at",
            "updated_at",
        ]  # fmt: skip
        read_only_fields = ["id", "revision", "created_at", "updated_at"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None and not attrs.get("slug"):
            attrs["slug"] = slugify(attrs["name"])[:50] or "flow"
        return super().validate(attrs)

    def create(self, validated_data: dict[str, Any]) -> Flow:
        is_active = validated_data.pop("is_active", True)
        flow = services.create_flow(self.context["request"].member.organization, **validated_data)
        if not is_active:
            flow.is_active = False
            flow.save(update_fields=["is_active"])
        return flow

    def update(self, instance: Flow, validated_data: dict[str, Any]) -> Flow:
        return super().update(instance, {**validated_data, "updated_at": timezone.now()})


class FlowFilter(django_filters.FilterSet):
    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains")
    is_active = django_filters.BooleanFilter()

    class Meta:
        model = Flow
        fields: list[str] = []


class Flows(Resource):
    """The conversations that the bot can have. One that was published is switched off, not deleted."""

    model, word = Flow, "flow"
    serializer_class = FlowSerializer
    filterset_class = FlowFilter
    required = READ_AND_EDIT

    def rows(self) -> Any:
        return Flow.objects.select_related("published").defer("draft", "published__document")


class DraftView(TenantAPIView):
    """The document that people work on; saved under If-Match, finished or not."""

    required = READ_AND_EDIT

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, pk: Any) -> Response:
        flow = find(Flow.objects.all(), pk)
        return Response(flow.draft, headers=etag_of(flow))

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def put(self, request: Request, pk: Any) -> Response:
        find(Flow.objects.only("id"), pk)
        if not request.data:
            raise ParseError(_("Send the document."))  # an empty body must not wipe a draft
        try:
            with transaction.atomic():
                flow = services.save_draft(pk, request.data, expected_revision=wanted_revision(request))
                _note(request, "flow.draft_saved", flow)
        except services.StaleDraft as error:
            raise stale(error.revision) from error
        except InvalidDocument as error:
            raise invalid(error) from error
        return Response(flow.draft, headers=etag_of(flow))


class ProblemInFlowSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    message = serializers.CharField()
    level = serializers.ChoiceField(choices=["error", "warning"])


class ReportSerializer(serializers.Serializer[Any]):
    errors = ProblemInFlowSerializer(many=True)
    warnings = ProblemInFlowSerializer(many=True)


class ValidateView(TenantAPIView):
    """What is wrong with the draft: errors stop publishing, warnings do not."""

    required = {"POST": Action.READ_FLOWS}
    once_per_key = False

    @extend_schema(request=None, responses=ReportSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        report = services.validate(find(Flow.objects.only("id"), pk).pk)
        return Response(
            {
                "errors": [services.wording(problem) for problem in report.errors],
                "warnings": [services.wording(problem) for problem in report.warnings],
            }
        )


class VersionSerializer(serializers.ModelSerializer):
    author = Related(read_only=True)

    class Meta:
        model = FlowVersion
        fields = ["id", "number", "note", "author", "created_at"]
        read_only_fields = fields


class PublishSerializer(serializers.Serializer[Any]):
    note = serializers.CharField(max_length=300, allow_blank=True, default="")


class PublishView(TenantAPIView):
    """Make the draft what new runs use; runs under way keep their version."""

    required = {"POST": Action.PUBLISH_FLOWS}

    @extend_schema(request=PublishSerializer, responses={201: VersionSerializer})
    def post(self, request: Request, pk: Any) -> Response:
        note = read(PublishSerializer, request)["note"]
        find(Flow.objects.only("id"), pk)
        revision = wanted_revision(request, needed=False)
        try:
            version = services.publish(pk, author=request.member, note=note, expected_revision=revision)
        except services.StaleDraft as error:
            raise stale(error.revision) from error
        except InvalidDocument as error:
            raise invalid(error) from error
        return Response(VersionSerializer(version).data, status=201)


class Versions(Lister):
    """What was published, the newest first."""

    serializer_class = VersionSerializer
    required = {"GET": Action.READ_FLOWS}
    ordering = "-number"

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return FlowVersion._base_manager.none()
        flow = find(Flow.objects.only("id"), self.kwargs["pk"])
        return FlowVersion.objects.filter(flow=flow).select_related("author__user").defer("document")


class RestoreView(TenantAPIView):
    """Bring an earlier version back as the draft; what is published stays."""

    required = {"POST": Action.EDIT_FLOWS}

    @extend_schema(request=None, responses=FlowSerializer)
    def post(self, request: Request, pk: Any, number: int) -> Response:
        find(Flow.objects.only("id"), pk)
        revision = wanted_revision(request, needed=False)
        try:
            flow = services.restore(pk, number, author=request.member, expected_revision=revision)
        except services.StaleDraft as error:
            raise stale(error.revision) from error
        except FlowVersion.DoesNotExist as error:
            raise NotFound from error
        shown = FlowSerializer(flow, context={"request": request}).data
        return Response(shown, headers=etag_of(flow))


class SimulateSerializer(serializers.Serializer[Any]):
    events = serializers.ListField(child=serializers.DictField(), max_length=MAX_EVENTS)
    now = serializers.DateTimeField(required=False)
    seed = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0)


class SimulateView(TenantAPIView):
    """Play a conversation against the draft; nobody is written to."""

    required = {"POST": Action.READ_FLOWS}
    once_per_key = False

    @extend_schema(request=SimulateSerializer, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, pk: Any) -> Response:
        given = read(SimulateSerializer, request)
        flow = find(Flow.objects.all(), pk)
        try:
            document = parse(flow.draft)
            now = given.get("now") or timezone.now()
            return Response(services.simulate(document, given["events"], now=now, seed=given["seed"]))
        except InvalidDocument as error:
            raise invalid(error) from error
        except BadEvent as error:
            raise Problem(422, "bad_event", str(error)) from error


def invalid(error: InvalidDocument) -> Problem:
    """422 with every problem, by its place in the document."""
    problems = [services.wording(problem) for problem in error.problems]
    errors: dict[str, list[str]] = {}
    for found in problems:
        errors.setdefault(found["path"] or "document", []).append(found["message"])
    return Problem(422, "invalid_document", _("The flow has errors."), errors=errors, problems=problems)


def _note(request: Request, word: str, flow: Flow) -> None:
    audit.record(word, organization=request.member.organization, actor=request.member, target=flow)
