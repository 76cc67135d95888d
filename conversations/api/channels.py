"""Channels as `channels_hub.api` keeps them, with who receives their first messages."""

from __future__ import annotations

from typing import Any

from accounts.resources import Related
from channels_hub import api
from channels_hub.models import ChannelAccount
from conversations.models import Reception
from flows.models import Flow
from queues.models import Queue

TARGETS = ("default_flow", "default_queue")


class ChannelSerializer(api.ChannelSerializer):
    default_flow = Related(Flow, required=False, allow_null=True)
    default_queue = Related(Queue, required=False, allow_null=True)

    class Meta(api.ChannelSerializer.Meta):
        fields = [*api.ChannelSerializer.Meta.fields, *TARGETS]

    def create(self, validated_data: dict[str, Any]) -> ChannelAccount:
        targets = _taken_from(validated_data)
        channel = super().create(validated_data)
        _receive(channel, targets)
        return channel

    def update(self, instance: ChannelAccount, validated_data: dict[str, Any]) -> ChannelAccount:
        targets = _taken_from(validated_data)
        channel = super().update(instance, validated_data)
        _receive(channel, targets)
        return channel

    def to_representation(self, instance: ChannelAccount) -> dict[str, Any]:
        reception = getattr(instance, "reception", None)
        for name in TARGETS:
            setattr(instance, name, getattr(reception, name, None))
        return super().to_representation(instance)


def _taken_from(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data.pop(name) for name in TARGETS if name in data}


def _receive(channel: ChannelAccount, targets: dict[str, Any]) -> None:
    if targets:
        Reception.objects.update_or_create(
            channel=channel, defaults={"organization_id": channel.organization_id, **targets}
        )


class Channels(api.Channels):
    """Senders on the platforms and who receives what arrives there."""

    serializer_class = ChannelSerializer

    def rows(self) -> Any:
        return ChannelAccount.objects.select_related("reception__default_flow", "reception__default_queue")
