"""The outbox by API: send to a number, follow, retry, cancel, figures."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.resources import TenantAPIView, find, read
from accounts.roles import Action
from channels_hub.models import ChannelAccount
from contacts.addresses import InvalidAddress
from conversations import outbox
from conversations.api.refusals import refusals
from conversations.api.shapes import MessageShape, messages_of
from conversations.models import Message


class SendSerializer(serializers.Serializer[Any]):
    channel_id = serializers.UUIDField(required=False, allow_null=True)
    to = serializers.CharField(max_length=200)
    text = serializers.CharField(max_length=10_000, trim_whitespace=False)
    priority = serializers.IntegerField(min_value=0, max_value=100, default=0)
    max_retries = serializers.IntegerField(min_value=0, max_value=20, default=3)
    retry_delay = serializers.FloatField(min_value=0, max_value=3600, default=5)
    client_id = serializers.CharField(max_length=64, allow_blank=True, default="")


class AcceptedSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    via_queue = serializers.BooleanField()
    message_id = serializers.UUIDField()


class OutMessageShape(MessageShape):
    conversation_id = serializers.UUIDField()

    class Meta(MessageShape.Meta):
        fields = [*MessageShape.Meta.fields, "conversation_id"]
        read_only_fields = fields


class SendView(TenantAPIView):
    """Put a text into the outbox; it goes out by priority, in order per conversation."""

    required = {"POST": Action.SEND_DIRECT}

    @extend_schema(request=SendSerializer, responses={202: AcceptedSerializer})
    def post(self, request: Request) -> Response:
        given = read(SendSerializer, request)
        channel_id = given["channel_id"] if given.get("channel_id") else None
        if channel_id:
            channel = find(ChannelAccount.objects.only("id", "is_active"), channel_id)
            if not channel.is_active:
                with refusals():
                    raise outbox.Refused("channel_inactive")
        try:
            with refusals():
                answer = outbox.send_message_via_queue(
                    given["to"],
                    given["text"],
                    request.member.organization_id,
                    given["priority"],
                    instance_id=channel_id,
                    **{name: given[name] for name in ("max_retries", "retry_delay", "client_id")},
                )
        except InvalidAddress as error:
            raise ValidationError({"to": [str(error)]}) from error
        except ChannelAccount.DoesNotExist as error:
            raise ValidationError({"channel_id": [_("There is no active channel.")]}) from error
        return Response(answer, status=202)


def _shown(pk: Any) -> Response:
    return Response(OutMessageShape(find(messages_of(_sent()), pk)).data)


def _sent() -> Any:
    return Message.objects.filter(direction=Message.Direction.OUT)


class MessageView(TenantAPIView):
    """One message that we sent or are about to."""

    required = {"GET": Action.READ_OUTBOX}

    @extend_schema(responses=OutMessageShape)
    def get(self, request: Request, pk: Any) -> Response:
        return _shown(pk)


class RetryView(TenantAPIView):
    """Send again what failed or was never confirmed."""

    required = {"POST": Action.REPLAY}

    @extend_schema(request=None, responses=OutMessageShape)
    def post(self, request: Request, pk: Any) -> Response:
        with refusals():
            outbox.retry(find(_sent().only("id"), pk).pk, actor=request.member)
        return _shown(pk)


class CancelView(TenantAPIView):
    """Withdraw what was not handed over yet."""

    required = {"POST": Action.REPLAY}

    @extend_schema(request=None, responses=OutMessageShape)
    def post(self, request: Request, pk: Any) -> Response:
        with refusals():
            outbox.cancel(find(_sent().only("id"), pk).pk, actor=request.member)
        return _shown(pk)


class ByChannelSerializer(serializers.Serializer[Any]):
    channel = serializers.DictField(child=serializers.CharField())
    queue_size = serializers.IntegerField()
    failed = serializers.IntegerField()


class StatsSerializer(serializers.Serializer[Any]):
    queue_size = serializers.IntegerField()
    processing = serializers.IntegerField()
    processed = serializers.IntegerField()
    sent = serializers.IntegerField()
    failed = serializers.IntegerField()
    retrying = serializers.IntegerField()
    unknown = serializers.IntegerField()
    oldest_pending_seconds = serializers.FloatField(allow_null=True)
    by_channel = ByChannelSerializer(many=True)


class StatsView(TenantAPIView):
    """How full the outbox is and how it fares."""

    required = {"GET": Action.READ_OUTBOX}

    @extend_schema(responses=StatsSerializer)
    def get(self, request: Request) -> Response:
        return Response(outbox.stats())
