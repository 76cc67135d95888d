"""How conversations, messages and their history look from outside (`api.md`, part 3)."""

from __future__ import annotations

from typing import Any

from django.db.models import FilteredRelation, Q
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.resources import Related
from channels_hub.contract import WindowMode
from conversations import promises
from conversations.can_send import window_of
from conversations.models import Attachment, Conversation, Event, Message, Note, Offer, RoutingDecision, State
from conversations.moves import database_now
from queues.sla import Target

LEGACY = {State.QUEUED: "queued", State.CLOSED: "closed"}
SHOWN_WITH = ("contact", "channel", "flow", "queue", "assigned_agent__user")


class ChannelShape(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    name = serializers.CharField()


class WindowShape(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(choices=[mode.value for mode in WindowMode])
    closes_at = serializers.DateTimeField(allow_null=True)


class OfferShape(serializers.Serializer[Any]):
    """To whom a waiting conversation is offered at the moment."""

    agent = Related(read_only=True)
    expires_at = serializers.DateTimeField()


class PromiseShape(serializers.Serializer[Any]):
    """One live promise of the SLA."""

    target = serializers.ChoiceField(choices=[target.word for target in Target])
    due_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=list(promises.STATES.values()))


class ConversationShape(serializers.ModelSerializer):
    """A conversation read by `conversations_of`."""

    contact = Related(read_only=True)
    channel = ChannelShape(read_only=True)
    legacy_status = serializers.SerializerMethodField()
    flow = Related(read_only=True, allow_null=True)
    queue = Related(read_only=True, allow_null=True)
    assigned_agent = Related(read_only=True, allow_null=True)
    offer = OfferShape(source="open_offer", read_only=True, allow_null=True)
    window = serializers.SerializerMethodField()
    sla = serializers.SerializerMethodField()

    class Meta:
        model = Conversation
        fields = [
            "id", "contact", "channel", "state", "legacy_status", "is_bot_active", "flow", "queue",
            "queue_priority", "queued_at", "assigned_agent", "assigned_at", "handoff_at", "first_response_at",
            "closed_at", "close_reason", "snoozed_until", "held_at", "offer", "last_message_at", "seq",
            "unread", "window", "waiting_since", "sla", "sla_breached_at", "extra_data", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_legacy_status(self, conversation: Conversation) -> str:
        return LEGACY.get(State(conversation.state), "active")

    @extend_schema_field(PromiseShape(many=True))
    def get_sla(self, conversation: Conversation) -> Any:
        return PromiseShape(promises.shown(conversation, conversation.deadlines.all()), many=True).data

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


def conversations_of(rows: Any) -> Any:
    """Conversations with all that their shape shows, in two queries; of their offers at most one is open."""
    is_open = Q(offers__outcome=Offer.Outcome.OPEN)
    rows = rows.annotate(open_offer=FilteredRelation("offers", condition=is_open))
    return rows.select_related(*SHOWN_WITH, "open_offer__agent__user").prefetch_related("deadlines")


def messages_of(rows: Any) -> Any:
    """Messages with all that their shape shows, in a fixed number of queries."""
    return rows.select_related("agent__user").prefetch_related("attachments__media")
