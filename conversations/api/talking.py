"""What is said in a conversation: messages to the contact, notes between colleagues."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.problems import ProblemSerializer
from accounts.resources import find, read
from accounts.roles import Action, Role
from conversations import attaching, handoff, outbox, templates
from conversations.api.files import NamedFile
from conversations.api.reading import OfConversation
from conversations.api.refusals import not_yours, refusals, unfit
from conversations.api.shapes import MessageShape, NoteShape, messages_of
from conversations.models import Conversation, Message, Note
from conversations.moves import writing
from conversations.selectors import visible_to

LONGEST_TEXT = 10_000
SENT_BY = ("organization", "channel", "contact", "identity")


class ReplySerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT, trim_whitespace=False, allow_blank=True, default="")
    media = serializers.ListField(child=NamedFile(), required=False, max_length=attaching.MOST)
    template = serializers.DictField(required=False, allow_null=True)
    reply_to = serializers.UUIDField(required=False, allow_null=True)
    client_id = serializers.CharField(max_length=64, allow_blank=True, default="")
    last_seen_seq = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=2**31 - 1
    )
    force = serializers.BooleanField(default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (attrs["text"].strip() or attrs.get("media") or attrs.get("template")):
            raise serializers.ValidationError({"text": [_("There is no text to send.")]})
        return attrs


def filled(conversation: Conversation, given: dict[str, Any]) -> dict[str, Any]:
    """A template's words take the place of the text. Raises 422 with the fields that are wrong."""
    if not given.get("template"):
        return {**given, "template": None}
    try:
        found = templates.fill(conversation, given["template"])
    except templates.Unfit as error:
        raise unfit(error) from error
    return {**given, "text": found.text, "template": found.stored}


class Messages(OfConversation):
    """Everything that was said, oldest first; POST answers the contact."""

    serializer_class = MessageShape
    rows = Message
    required = {"GET": Action.READ_CONVERSATIONS, "POST": Action.ANSWER}

    def of(self, rows: Any) -> Any:
        return messages_of(rows)

    @extend_schema(
        request=ReplySerializer,
        responses={
            201: MessageShape,
            409: OpenApiResponse(ProblemSerializer, description="stale_view (with `missed`) or not_yours"),
            422: OpenApiResponse(ProblemSerializer, description="window_closed (with `templates`) ..."),
        },
    )
    def post(self, request: Request, pk: Any) -> Response:
        conversation = find(visible_to(request.member).select_related(*SENT_BY), pk)
        given = filled(conversation, read(ReplySerializer, request))
        if (quoted := given.get("reply_to")) is not None:
            find(Message.objects.filter(conversation_id=conversation.pk).only("id"), quoted)
        with refusals(conversation):
            message, new = outbox.reply(conversation.pk, agent=request.member, **given)
        shown = messages_of(Message.objects).get(pk=message.pk)
        return Response(MessageShape(shown).data, status=201 if new else 200)


class NoteSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=LONGEST_TEXT)


class Notes(OfConversation):
    """What colleagues wrote to each other; the contact never sees it."""

    serializer_class = NoteShape
    rows = Note
    required = {"GET": Action.READ_CONVERSATIONS, "POST": Action.WRITE_NOTES}

    def of(self, rows: Any) -> Any:
        return rows.select_related("author__user")

    @extend_schema(request=NoteSerializer, responses={201: NoteShape})
    def post(self, request: Request, pk: Any) -> Response:
        text = read(NoteSerializer, request)["text"]
        conversation = find(visible_to(request.member).only("id", "state", "assigned_agent_id"), pk)
        if request.member.role == Role.AGENT and conversation.assigned_agent_id != request.member.pk:
            raise not_yours()
        with writing(conversation.pk, actor=request.member, cause="note") as locked:
            handoff.add_note(locked, request.member, text)
            seq = locked.seq
        note = Note.objects.select_related("author__user").get(conversation_id=conversation.pk, seq=seq)
        return Response(NoteShape(note).data, status=201)
