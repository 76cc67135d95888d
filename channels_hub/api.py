"""Channels: their settings, whether they work, and a test of their credentials."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.resources import Resource, RowSerializer, TenantAPIView, find
from accounts.roles import Action
from channels_hub import http, registry
from channels_hub.contract import Outcome
from channels_hub.models import ChannelAccount

READ_AND_EDIT = {
    "GET": Action.READ_CHANNELS,
    **dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Action.EDIT_CHANNELS),
}
LONGEST_SECRET = 8192


class HealthSerializer(serializers.Serializer[Any]):
    """How a channel is doing, as its last call or test told."""

    health = serializers.ChoiceField(choices=ChannelAccount.Health.values)
    detail = serializers.CharField(source="health_detail")
    at = serializers.DateTimeField(source="health_at", allow_null=True)
    last_inbound_at = serializers.DateTimeField(allow_null=True)


class ChannelSerializer(RowSerializer):
    kind = serializers.ChoiceField(choices=registry.kinds())
    config = serializers.DictField(required=False)
    secrets = serializers.DictField(
        child=serializers.CharField(
            max_length=LONGEST_SECRET, allow_blank=True, allow_null=True, trim_whitespace=False
        ),
        required=False,
        write_only=True,
        help_text="Written, never read. Names that are not given keep their value; null removes one.",
    )
    has_secrets = serializers.ListField(child=serializers.CharField(), read_only=True)
    webhook_url = serializers.CharField(read_only=True)

    class Meta:
        model = ChannelAccount
        fields = [
            "id", "kind", "name", "address", "config", "secrets", "has_secrets", "is_active", "webhook_url",
            "health", "health_detail", "health_at", "revision", "created_at",
        ]  # fmt: skip
        read_only_fields = ["id", "health", "health_detail", "health_at", "revision", "created_at"]

    def validate_kind(self, kind: str) -> str:
        if self.instance is not None and kind != self.instance.kind:
            raise ValidationError(_("The kind of a channel stays as it is."))
        return kind

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "secrets" in attrs:
            before = self.instance.secrets if self.instance is not None else {}
            merged = {**(before or {}), **attrs["secrets"]}
            attrs["secrets"] = {name: value for name, value in merged.items() if value}
        self._refuse_incomplete(attrs)
        return super().validate(attrs)

    def _refuse_incomplete(self, attrs: dict[str, Any]) -> None:
        """A channel that cannot work is not saved as active."""
        kept = self.instance
        adapter = registry.adapter_class(kept.kind if kept else attrs["kind"])
        given = {name: attrs.get(name, getattr(kept, name, {})) or {} for name in ("config", "secrets")}
        missing = {
            name: [_("Missing: %s.") % ", ".join(lacking)]
            for name, wanted in (("config", adapter.required_config), ("secrets", adapter.required_secrets))
            if (lacking := [key for key in wanted if not given[name].get(key)])
        }
        if missing:
            raise ValidationError(missing)
        if base := given["config"].get("api_base"):
            self._refuse_bad_base(base)

    def _refuse_bad_base(self, base: Any) -> None:
        try:
            http.check_url(base if isinstance(base, str) else "")
        except http.NotSent as error:
            raise ValidationError({"config": [f"api_base: {error}"]}) from error


class ChannelFilter(django_filters.FilterSet):
    kind = django_filters.CharFilter()
    is_active = django_filters.BooleanFilter()

    class Meta:
        model = ChannelAccount
        fields: list[str] = []


class Channels(Resource):
    """Senders on the platforms. Who receives what arrives is added by `conversations.api.channels`."""

    model, word = ChannelAccount, "channel"
    serializer_class: Any = ChannelSerializer
    filterset_class = ChannelFilter
    required = READ_AND_EDIT


class CheckSerializer(serializers.Serializer[Any]):
    """How a test of the credentials ended."""

    ok = serializers.BooleanField()
    outcome = serializers.ChoiceField(choices=[outcome.value for outcome in Outcome])
    code = serializers.CharField(allow_blank=True)
    detail = serializers.CharField(allow_blank=True)


class CheckView(TenantAPIView):
    """Ask the platform whether the credentials work; nothing is sent to anybody."""

    required = {"POST": Action.EDIT_CHANNELS}
    once_per_key = False  # it calls out, so no transaction may be open around it

    @extend_schema(request=None, responses=CheckSerializer)
    def post(self, request: Request, pk: Any) -> Response:
        channel = find(ChannelAccount.objects.all(), pk)
        client = http.Client()
        try:
            result = registry.adapter_for(channel).check(client, channel.secrets)
        finally:
            client.close()
        works = result.outcome is Outcome.ACCEPTED
        health = ChannelAccount.Health.OK if works else ChannelAccount.Health.ATTENTION
        with transaction.atomic():
            channel.mark(health, "" if works else f"{result.code} {result.detail}".strip())
            audit.record(
                "channel.tested",
                organization=request.member.organization,
                actor=request.member,
                target=channel,
                data={"outcome": result.outcome.value},
            )
        shown = {"ok": works, "outcome": result.outcome, "code": result.code, "detail": result.detail}
        return Response(CheckSerializer(shown).data)


class HealthView(TenantAPIView):
    required = {"GET": Action.READ_CHANNELS}

    @extend_schema(responses=HealthSerializer)
    def get(self, request: Request, pk: Any) -> Response:
        return Response(HealthSerializer(find(ChannelAccount.objects.all(), pk)).data)
