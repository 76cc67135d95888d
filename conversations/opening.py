"""The one open conversation of a contact on a channel: found, or made exactly once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from channels_hub.models import ChannelAccount
from contacts.models import Contact, Identity
from conversations import deadlines
from conversations.models import Conversation


def open_conversation(
    channel: ChannelAccount, contact: Contact, identity: Identity, *, now: datetime
) -> UUID:
    """The id of the open conversation. A partial unique index decides between simultaneous first messages."""
    known = Conversation.objects.open().filter(channel=channel, contact=contact).values_list("pk", flat=True)
    if pk := known.first():
        return pk
    Conversation.objects.bulk_create(
        [
            Conversation(
                organization_id=channel.organization_id,
                channel=channel,
                contact=contact,
                identity=identity,
                last_message_at=now,
                created_at=now,
            )
        ],
        ignore_conflicts=True,
    )
    # On a conflict the other transaction's row is visible by now: the insert waited for its commit.
    pk = known.get()
    deadlines.await_somebody(pk, channel.organization_id, now)
    return pk
