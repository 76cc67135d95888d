"""Files to send along: uploaded by API, then named in `media` of a message."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.problems import Problem, ProblemSerializer
from accounts.resources import TenantAPIView, find, read
from accounts.roles import Action
from channels_hub.models import MediaFile
from channels_hub.uploads import NotTaken
from conversations import attaching
from conversations.api.refusals import not_yours
from conversations.selectors import files_visible_to, visible_to


class UploadSerializer(serializers.Serializer[Any]):
    conversation_id = serializers.UUIDField()
    file = serializers.FileField(max_length=None, allow_empty_file=True)
    voice = serializers.BooleanField(default=False)


class FileShape(serializers.ModelSerializer):
    """A file: `pending` while a voice note is converted, `unavailable` (with `reason`) when it cannot be."""

    class Meta:
        model = MediaFile
        fields = ["id", "kind", "mime", "filename", "size", "state", "reason"]
        read_only_fields = fields


class UploadView(TenantAPIView):
    """Keep a file for the caller's next message in a conversation they have."""

    required = {"POST": Action.ANSWER}
    once_per_key = False  # a file that no message takes is dropped
    parser_classes = (MultiPartParser,)

    @extend_schema(
        request={"multipart/form-data": UploadSerializer},
        responses={201: FileShape, 422: OpenApiResponse(ProblemSerializer, description="too_big ...")},
    )
    def post(self, request: Request) -> Response:
        given = read(UploadSerializer, request)
        rows = visible_to(request.member).select_related("channel")
        conversation = find(rows, given["conversation_id"])
        if conversation.assigned_agent_id != request.member.pk:
            raise not_yours()
        try:
            file = attaching.receive(conversation, request.member, given["file"], voice=given["voice"])
        except NotTaken as error:
            raise Problem(422, error.code, str(error)) from error
        return Response(FileShape(file).data, status=201)


class FileView(TenantAPIView):
    """How a file stands that the caller may see."""

    required = {"GET": Action.READ_CONVERSATIONS}

    @extend_schema(responses=FileShape)
    def get(self, request: Request, pk: Any) -> Response:
        return Response(FileShape(find(files_visible_to(request.member), pk)).data)


@extend_schema_field(OpenApiTypes.UUID)
class NamedFile(serializers.Field):
    """A file by its id, or as {"id"}."""

    def to_internal_value(self, data: Any) -> Any:
        pk = data.get("id") if isinstance(data, dict) else data
        try:
            return serializers.UUIDField().to_internal_value(pk)
        except serializers.ValidationError as error:
            raise Problem(422, "media_unknown", _("There is no such file.")) from error

    def to_representation(self, value: Any) -> str:
        return str(value)
