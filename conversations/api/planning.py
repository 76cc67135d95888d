"""Messages to be sent later: at a time, or when the window opens again."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.problems import ProblemSerializer
from accounts.resources import Related, TenantAPIView, find, read
from accounts.roles import Action
from conversations import laters
from conversations.api.refusals import not_yours, refusals
from conversations.api.talking import LONGEST_TEXT, SENT_BY, filled
from conversations.models import Later
from conversations.selectors import visible_to


class LaterShape(serializers.ModelSerializer):
    """A planned message; `send_at` is null when it waits for the window, `reason` says why it was refused."""

    author = Related(read_only=True)
    template = serializers.JSONField(allow_null=True)
    message = serializers.UUIDField(source="message_id", allow_null=True)

    class Meta:
        model = Later
        fields = [
            "id", "author", "text", "template", "send_at", "expires_at", "state", "reason", "message",
            "client_id", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class LaterSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT, required=False, trim_whitespace=False)
    template = serializers.DictField(required=False, allow_null=True)
    send_at = serializers.DateTimeField(allow_null=True)
    client_id = serializers.CharField(max_length=64, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs.get("text", "").strip() or attrs.get("template")):
            raise serializers.ValidationError({"text": [self.fields["text"].error_messages["required"]]})
        return attrs


class Laters(TenantAPIView):
    """What is planned in a conversation and what was refused; POST plans."""

    required = {"GET": Action.READ_CONVERSATIONS, "POST": Action.ANSWER}

    @extend_schema(responses=LaterShape(many=True))
    def get(self, request: Request, pk: Any) -> Response:
        conversation = find(visible_to(request.member).only("id"), pk)
        return Response(
            {
                "next": None,
                "previous": None,
                "results": LaterShape(laters.shown(conversation), many=True).data,
            }
        )

    @extend_schema(
        request=LaterSerializer,
        responses={201: LaterShape, 409: ProblemSerializer, 422: OpenApiResponse(ProblemSerializer)},
    )
    def post(self, request: Request, pk: Any) -> Response:
        conversation = find(visible_to(request.member).select_related(*SENT_BY), pk)
        given = filled(conversation, read(LaterSerializer, request))
        with refusals(conversation):
            later, new = laters.plan(conversation.pk, agent=request.member, **given)
        return Response(LaterShape(later).data, status=201 if new else 200)


class LaterView(TenantAPIView):
    """One planned message: taken back before it goes."""

    required = {"DELETE": Action.ANSWER}

    @extend_schema(responses={204: None, 409: ProblemSerializer})
    def delete(self, request: Request, pk: Any, later: Any) -> Response:
        conversation = find(visible_to(request.member).only("id", "assigned_agent_id"), pk)
        row = find(Later.objects.filter(conversation=conversation).only("id"), later)
        if conversation.assigned_agent_id != request.member.pk and not request.member.may(Action.ASSIGN):
            raise not_yours()
        with refusals():
            laters.cancel(row.pk, actor=request.member)
        return Response(status=204)
