"""Messages to be sent later: at a time, or when the window opens again."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.problems import ProblemSerializer
from accounts.resources import Related, TenantAPIView, find, read
from accounts.roles import Action
from conversations import attaching, laters
from conversations.api.files import FileShape, NamedFile
from conversations.api.refusals import not_yours, refusals
from conversations.api.talking import LONGEST_TEXT, SENT_BY, filled
from conversations.models import Later
from conversations.selectors import visible_to


class LaterShape(serializers.ModelSerializer):
    """A planned message; `send_at` is null when it waits for the window, `reason` says why it was refused."""

    author = Related(read_only=True)
    template = serializers.JSONField(allow_null=True)
    media = serializers.SerializerMethodField()
    message = serializers.UUIDField(source="message_id", allow_null=True)

    class Meta:
        model = Later
        fields = [
            "id", "author", "text", "media", "template", "send_at", "expires_at", "state", "reason",
            "message", "client_id", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(FileShape(many=True))
    def get_media(self, later: Later) -> Any:
        return FileShape(laters.files_of(later), many=True).data


class LaterSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True, default="")
    media = serializers.ListField(child=NamedFile(), required=False, max_length=attaching.MOST)
    template = serializers.DictField(required=False, allow_null=True)
    send_at = serializers.DateTimeField(allow_null=True)
    client_id = serializers.CharField(max_length=64, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs["text"].strip() or attrs.get("media") or attrs.get("template")):
            raise serializers.ValidationError({"text": [_("There is no text to send.")]})
        return attrs


class NewTimeSerializer(serializers.Serializer[Any]):
    send_at = serializers.DateTimeField(allow_null=True)


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
    """One planned message: moved to another time, or taken back before it goes."""

    required = {"PATCH": Action.ANSWER, "DELETE": Action.ANSWER}

    @extend_schema(
        request=NewTimeSerializer,
        responses={200: LaterShape, 409: ProblemSerializer, 422: OpenApiResponse(ProblemSerializer)},
    )
    def patch(self, request: Request, pk: Any, later: Any) -> Response:
        conversation = find(visible_to(request.member).only("id"), pk)
        row = find(Later.objects.filter(conversation=conversation).only("id"), later)
        given = read(NewTimeSerializer, request)
        with refusals():
            moved = laters.change(row.pk, agent=request.member, **given)
        return Response(LaterShape(moved).data)

    @extend_schema(responses={204: None, 409: ProblemSerializer})
    def delete(self, request: Request, pk: Any, later: Any) -> Response:
        conversation = find(visible_to(request.member).only("id", "assigned_agent_id"), pk)
        row = find(Later.objects.filter(conversation=conversation).only("id"), later)
        if conversation.assigned_agent_id != request.member.pk and not request.member.may(Action.ASSIGN):
            raise not_yours()
        with refusals():
            laters.cancel(row.pk, actor=request.member)
        return Response(status=204)
