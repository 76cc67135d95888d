"""While an agent writes: the customer's phone shows it, where the platform can. A failure is no matter."""

from __future__ import annotations

from contextlib import closing
from uuid import UUID

from django_scopes import scope, scopes_disabled

from channels_hub import http, registry
from channels_hub.contract import Thread
from conversations.models import Conversation, Message

SHOW = "conversations.tasks.show_typing"


def can_be_shown(conversation: Conversation) -> bool:
    return bool(registry.adapter_class(conversation.channel.kind).caps.typing_seconds)


def show(pk: UUID) -> None:
    """Tell the platform which message is being answered; it marks that one as read. Not in a transaction."""
    with scopes_disabled():
        rows = Conversation.objects.select_related("channel__organization", "organization", "identity")
        conversation = rows.filter(pk=pk).first()
    if conversation is None or conversation.identity is None or not can_be_shown(conversation):
        return
    with scope(organization=conversation.organization):
        heard = conversation.messages.filter(direction=Message.Direction.IN).exclude(provider_id="")
        last = heard.order_by("-seq").values_list("provider_id", flat=True).first()
        if last is None:
            return
        channel, thread = conversation.channel, Thread(conversation.identity.value)
        with closing(http.Client()) as client:
            registry.adapter_for(channel).signal("typing", thread, last, client, channel.keys())
