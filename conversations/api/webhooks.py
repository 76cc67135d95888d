"""Our own webhooks by API: who is told of what, with which secret, and every time somebody was told."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.problems import Problem, ProblemSerializer
from accounts.resources import Lister, Resource, RowSerializer, TenantAPIView, check_revision, find
from accounts.roles import Action
from conversations import hook_calls, hooks
from conversations.models import HookEvent, WebhookAttempt, WebhookEndpoint, WebhookMessage
from conversations.moves import database_now


class WebhookSerializer(RowSerializer):
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=HookEvent.values), required=False, max_length=20
    )

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "url", "description", "events", "is_active", "failing_since", "disabled_because",
            "revision", "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "failing_since", "disabled_because", "revision", "created_at"]

    def validate_events(self, events: list[str]) -> list[str]:
        return sorted(set(events))

    def update(self, instance: WebhookEndpoint, validated_data: dict[str, Any]) -> WebhookEndpoint:
        renewed = hooks.is_renewed(instance, validated_data)
        row = super().update(instance, validated_data)
        if renewed:
            hooks.forgive(row.pk)
        return row


class NewWebhookSerializer(WebhookSerializer):
    """The answer to making one: the secret is shown this once."""

    secret = serializers.CharField(read_only=True)

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]

    def create(self, validated_data: dict[str, Any]) -> WebhookEndpoint:
        row = super().create({**validated_data, "secrets": {"current": hooks.new_secret()}})
        row.secret = row.keys()["current"]
        return row


class Webhooks(Resource):
    """Addresses of the customer's own systems that are told of what happens at the desk."""

    model, word = WebhookEndpoint, "webhook"
    serializer_class = WebhookSerializer
    seals_answer = True
    required = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), Action.EDIT_WEBHOOKS)

    @extend_schema(request=WebhookSerializer, responses={201: NewWebhookSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        context = self.get_serializer_context()
        serializer = NewWebhookSerializer(data=request.data, context=context)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            made = serializer.create(serializer.validated_data)
            self.note("created", made, serializer.validated_data)
        row = self.again(made.pk)
        row.secret = made.secret
        answer = NewWebhookSerializer(row, context=context).data
        return Response(answer, status=201, headers={"ETag": f'"{row.revision}"'})


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField()


class RotateView(TenantAPIView):
    """A new secret, shown this once. The old one signs beside it for 24 hours."""

    required = {"POST": Action.EDIT_WEBHOOKS}
    seals_answer = True

    @extend_schema(request=None, responses=SecretSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        with transaction.atomic():
            endpoint = find(WebhookEndpoint.objects.select_for_update(of=("self",)), pk)
            if "If-Match" in request.headers:
                check_revision(request, endpoint)
            secret = hooks.rotate(endpoint, database_now())
            _note(request, "webhook.secret_rotated", endpoint)
        return Response({"secret": secret}, headers={"ETag": f'"{endpoint.revision}"'})


class AttemptSerializer(serializers.ModelSerializer[WebhookAttempt]):
    """`milliseconds` is null while the call is under way, or when the worker died with it."""

    class Meta:
        model = WebhookAttempt
        fields = ["number", "at", "milliseconds", "status", "answer", "error"]
        read_only_fields = fields


class WebhookMessageSerializer(serializers.ModelSerializer[WebhookMessage]):
    attempts = AttemptSerializer(many=True, source="calls", read_only=True)
    next_attempt_at = serializers.SerializerMethodField()

    class Meta:
        model = WebhookMessage
        fields = [
            "id", "type", "data", "occurred_at", "state", "next_attempt_at", "settled_at", "attempts",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, message: WebhookMessage) -> Any:
        return message.next_at if message.state == WebhookMessage.State.PENDING else None


class TestView(TenantAPIView):
    """Tell the endpoint a `webhook.test`, once and now; the answer says how it went."""

    required = {"POST": Action.EDIT_WEBHOOKS}
    once_per_key = False  # it calls out, so no transaction may be open around it

    @extend_schema(request=None, responses=WebhookMessageSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        endpoint = find(WebhookEndpoint.objects.select_related("organization"), pk)
        message = hook_calls.test(endpoint)
        _note(request, "webhook.tested", endpoint)
        return Response(WebhookMessageSerializer(message).data)


class ToldFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=WebhookMessage.State.choices)
    type = filters.CharFilter()

    class Meta:
        model = WebhookMessage
        fields: list[str] = []


class WebhookMessages(Lister):
    """What an endpoint was told or is still to be told, newest first, with every try."""

    required = {"GET": Action.EDIT_WEBHOOKS}
    serializer_class = WebhookMessageSerializer
    filterset_class = ToldFilter
    queryset = WebhookMessage._base_manager.none()

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.queryset
        endpoint = find(WebhookEndpoint.objects.only("id"), self.kwargs["pk"])
        return WebhookMessage.objects.filter(endpoint=endpoint).prefetch_related("calls")


class ResendView(TenantAPIView):
    """Tell it again, under the same id."""

    required = {"POST": Action.EDIT_WEBHOOKS}

    @extend_schema(request=None, responses={200: WebhookMessageSerializer, 409: ProblemSerializer})
    def post(self, request: Request, pk: Any, message: Any) -> Response:
        rows = WebhookMessage.objects.filter(endpoint_id=pk).prefetch_related("calls")
        row = find(rows, message)
        if not hooks.resend(row.pk, database_now()):
            raise Problem(409, "conflict", _("It is still being tried."))
        _note(request, "webhook.resent", row)
        return Response(WebhookMessageSerializer(rows.get(pk=row.pk)).data)


def _note(request: Request, action: str, target: WebhookEndpoint | WebhookMessage) -> None:
    member = request.member
    audit.record(action, organization=member.organization, actor=member, target=target)
