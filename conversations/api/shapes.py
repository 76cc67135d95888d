"""How conversations, messages and their history look from outside (`api.md`, part 3)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.resources import Related
from channels_hub.contract import WindowMode
from conversations.can_send import window_of
from conversations.models import Attachment, Conversation, Event, Message, Note, RoutingDecision, State
from conversations.moves import database_now

LEGACY = {State.QUEUED: "queued", State.CLOSED: "closed"}
SHOWN_WITH = ("contact", "channel", "flow", "queue", "assigned_agent__user")


class ChannelShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    name = serializers.CharField()


class WindowShape(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=[mode.value for mode in WindowMode])
    closes_at = serializers.DateTimeField(allow_null=True)


class ConversationShape(serializers.ModelSerializer):
    contact = Related(read_only=True)
    channel = ChannelShape(read_only=True)
    legacy_status = serializers.SerializerMethodField()
    flow = Related(read_only=True, allow_null=True)
    queue = Related(read_only=True, allow_null=True)
    assigned_agent = Related(read_only=True, allow_null=True)
    window = serializers.SerializerMethodField()

    class Meta:
        model = Conversation
        fields = [
            "id", "contact", "channel", "state", "legacy_status", "is_bot_active", "flow", "queue",
            "queue_priority", "queued_at", "assigned_agent", "assigned_at", "handoff_at", "first_response_at",
            "closed_at", "close_reason", "snoozed_until", "last_message_at", "seq", "unread", "window",
            "extra_data", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_legacy_status(self, conversation: Conversation) -> str:
        return LEGACY.get(State(conversation.state), "active")

    @extend_schema_field(WindowShape)
    def get_window(self, conversation: Conversation) -> dict[str, Any]:
        now = self.context.get("now") or self.context.setdefault("now", database_now())
        return WindowShape(window_of(conversation, now)).data


class MediaShape(serializers.ModelSerializer):
    """A file of a message."""

    id = serializers.UUIDField(source="media.pk")
    kind = serializers.CharField(source="media.kind")
    mime = serializers.CharField(source="media.mime")
    filename = serializers.CharField(source="media.filename")
    size = serializers.IntegerField(source="media.size", allow_null=True)
    state = serializers.CharField(source="media.state")

    class Meta:
        model = Attachment
        fields = ["id", "kind", "mime", "filename", "size", "state"]


class OptionShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    title = serializers.CharField()


class ErrorShape(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


class MessageShape(serializers.ModelSerializer):
    agent = Related(read_only=True, allow_null=True)
    media = MediaShape(source="attachments", many=True)
    options = OptionShape(many=True)
    reply_to = serializers.UUIDField(source="reply_to_id", allow_null=True)
    error = serializers.SerializerMethodField()

    class Meta:
        model = Message
        fields = [
            "id", "seq", "direction", "sender", "agent", "text", "kind", "media", "options", "choice",
            "location", "reply_to", "status", "error", "provider_id", "client_id", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ErrorShape(allow_null=True))
    def get_error(self, message: Message) -> dict[str, str] | None:
        if not message.error_code:
            return None
        return {"code": message.error_code, "detail": message.error_detail}


class NoteShape(serializers.ModelSerializer):
    author = Related(read_only=True)

    class Meta:
        model = Note
        fields = ["id", "seq", "author", "text", "created_at"]


class EventShape(serializers.ModelSerializer):
    actor = Related(read_only=True, allow_null=True)

    class Meta:
        model = Event
        fields = ["seq", "type", "actor", "cause", "data", "at"]


class DecisionShape(serializers.ModelSerializer):
    chosen = Related(read_only=True, allow_null=True)

    class Meta:
        model = RoutingDecision
        fields = ["at", "mode", "candidates", "chosen", "reason"]


def messages_of(rows: Any) -> Any:
    """Messages with all that their shape shows, in a fixed number of queries."""
    return rows.select_related("agent__user").prefetch_related("attachments__media")
