"""Why a conversation is where it is, by REST: the same answer as in the inbox and in the admin."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import TenantAPIView, find
from accounts.roles import Action
from conversations import why
from conversations.moves import database_now
from conversations.selectors import visible_to


class SecondsField(serializers.IntegerField):
    """A length of time in whole seconds."""

    def to_representation(self, value: Any) -> int:
        return int(value.total_seconds())


class CheckShape(serializers.Serializer[Any]):
    filter = serializers.CharField()
    ok = serializers.BooleanField()
    text = serializers.CharField()


class CandidateAgent(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="agent_id")
    name = serializers.CharField()


class CandidateShape(serializers.Serializer[Any]):
    agent = CandidateAgent(source="*")
    chosen = serializers.BooleanField()
    fits = serializers.BooleanField()
    checks = CheckShape(many=True)
    keys = serializers.ListField(child=serializers.CharField())


class NextShape(serializers.Serializer[Any]):
    kind = serializers.CharField()
    what = serializers.CharField()
    at = serializers.DateTimeField()


class OwnerShape(serializers.Serializer[Any]):
    kind = serializers.CharField(source="owner")
    name = serializers.CharField(source="owner_name")


class WhyShape(serializers.Serializer[Any]):
    state = serializers.CharField()
    owner = OwnerShape(source="*")
    sentence = serializers.CharField()
    next = NextShape(allow_null=True)
    position = serializers.IntegerField(allow_null=True)
    waited_seconds = SecondsField(source="waited", allow_null=True)
    expected_wait_seconds = SecondsField(source="expected_wait", allow_null=True)
    mode = serializers.CharField()
    reason = serializers.CharField()
    decided_at = serializers.DateTimeField(allow_null=True)
    candidates = CandidateShape(many=True)
    unblock = serializers.ListField(child=serializers.CharField())


class WhyView(TenantAPIView):
    """Who has it and why, what it waits for, what would move it, and what happens next and when."""

    required = {"GET": Action.READ_CONVERSATIONS}

    @extend_schema(responses=WhyShape)
    def get(self, request: Request, pk: Any) -> Response:
        conversation = find(visible_to(request.member).select_related(*why.RELATED), pk)
        with timezone.override(ZoneInfo(request.member.organization.timezone)):
            return Response(WhyShape(why.of(conversation, database_now())).data)
