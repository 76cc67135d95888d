"""Reading conversations: lists, one, its messages, notes, ledger and routing decisions."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import Lister, TenantAPIView, find
from accounts.roles import Action
from channels_hub.models import ChannelAccount
from contacts.models import Identity
from conversations.api.shapes import (
    ConversationShape,
    DecisionShape,
    EventShape,
    conversations_of,
)
from conversations.models import Conversation, Event, Message, RoutingDecision, State
from conversations.selectors import get_conversation_status, visible_to


def found(request: Request, pk: Any) -> Conversation:
    """The conversation, when the caller may read it; else 404."""
    return find(conversations_of(visible_to(request.member)), pk)


def shown(pk: Any, *, status: int = 200) -> Response:
    """A conversation as it stands now, whether or not the caller may still open it after a move."""
    conversation = conversations_of(Conversation.objects.all()).get(pk=pk)
    return Response(ConversationShape(conversation).data, status=status)


class ConversationFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=State.choices)
    queue = django_filters.UUIDFilter(field_name="queue_id")
    agent = django_filters.UUIDFilter(field_name="assigned_agent_id")
    channel = django_filters.UUIDFilter(field_name="channel_id")
    department = django_filters.UUIDFilter(field_name="queue__department_id")
    contact = django_filters.UUIDFilter(field_name="contact_id")
    unread = django_filters.BooleanFilter(method="by_unread")
    q = django_filters.CharFilter(method="search")

    class Meta:
        model = Conversation
        fields: list[str] = []

    def by_unread(self, rows: Any, name: str, value: bool) -> Any:
        return rows.filter(unread__gt=0) if value else rows.filter(unread=0)

    def search(self, rows: Any, name: str, value: str) -> Any:
        """By the contact's name or address, or by words of a message."""
        known = Identity.objects.filter(value__icontains=value).values("contact_id")
        said = Message.objects.filter(text__icontains=value).values("conversation_id")
        return rows.filter(Q(contact__name__icontains=value) | Q(contact_id__in=known) | Q(pk__in=said))


class Conversations(Lister):
    """What the caller may read, the latest message first."""

    serializer_class = ConversationShape
    filterset_class = ConversationFilter
    required = {"GET": Action.READ_CONVERSATIONS}
    ordering = ("-last_message_at", "-id")

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return Conversation._base_manager.none()
        return conversations_of(visible_to(self.request.member))


class ConversationView(TenantAPIView):
    required = {"GET": Action.READ_CONVERSATIONS}

    @extend_schema(responses=ConversationShape)
    def get(self, request: Request, pk: Any) -> Response:
        return Response(ConversationShape(found(request, pk)).data)


class LookupView(TenantAPIView):
    """The open (else the latest) conversation with an address on a channel."""

    required = {"GET": Action.READ_CONVERSATIONS}

    @extend_schema(
        parameters=[
            OpenApiParameter("channel", OpenApiTypes.UUID, required=True),
            OpenApiParameter("address", str, required=True),
        ],
        responses=ConversationShape,
    )
    def get(self, request: Request) -> Response:
        wanted = LookupSerializer(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        channel = find(ChannelAccount.objects.all(), wanted.validated_data["channel"])
        rows = conversations_of(visible_to(request.member).filter(channel=channel))
        conversation = get_conversation_status(rows, wanted.validated_data["address"])
        if conversation is None:
            raise NotFound
        return Response(ConversationShape(conversation).data)


class LookupSerializer(serializers.Serializer[Any]):
    channel = serializers.UUIDField()
    address = serializers.CharField(max_length=200)


class OfConversation(Lister):
    """A list that hangs on a conversation; 404 unless the caller may read that."""

    required = {"GET": Action.READ_CONVERSATIONS}
    ordering: Any = "seq"
    rows: Any

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return self.rows._base_manager.none()
        conversation = find(visible_to(self.request.member).only("id", "state"), self.kwargs["pk"])
        return self.of(self.rows.objects.filter(conversation_id=conversation.pk))

    def of(self, rows: Any) -> Any:
        return rows


class Events(OfConversation):
    """The ledger, oldest first and without gaps."""

    serializer_class = EventShape
    rows = Event

    def of(self, rows: Any) -> Any:
        return rows.select_related("actor__user")


class Routing(OfConversation):
    """Why this agent got it, or why nobody did; the newest decision first."""

    serializer_class = DecisionShape
    rows = RoutingDecision
    ordering = "-id"

    def of(self, rows: Any) -> Any:
        return rows.select_related("chosen__user", "queue")
