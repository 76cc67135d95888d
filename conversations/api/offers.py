"""What is on offer to the caller: POST conversations/<id>/claim accepts, .../decline leaves it to others."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import Related, TenantAPIView
from accounts.roles import Action
from conversations import offers, pages
from conversations.models import Conversation, Offer
from conversations.moves import database_now
from queues.models import PRIORITY_BY_NAME

NAME_OF = {value: name for name, value in PRIORITY_BY_NAME.items()}


class OfferedConversation(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="pk")
    name = serializers.SerializerMethodField()

    def get_name(self, conversation: Conversation) -> str:
        return pages.name_of(conversation)


class MyOfferShape(serializers.Serializer[Any]):
    """An offer, gone once `expires_at` is past."""

    conversation = OfferedConversation()
    queue = Related(read_only=True)
    priority = serializers.SerializerMethodField()
    offered_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_priority(self, offer: Offer) -> str:
        return NAME_OF[offer.conversation.queue_priority]


class OffersView(TenantAPIView):
    """The caller's open offers, what runs out first on top."""

    required = {"GET": Action.ANSWER}

    @extend_schema(responses=MyOfferShape(many=True))
    def get(self, request: Request) -> Response:
        rows = offers.open_to(request.member, database_now())
        return Response(MyOfferShape(rows, many=True).data)
