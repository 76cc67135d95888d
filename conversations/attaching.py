"""Files that an agent sends along: uploaded first, then named by the message that takes them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.core.files.uploadedfile import UploadedFile
from django.db import models

from accounts.models import Membership
from channels_hub import uploads
from channels_hub.models import MediaFile
from conversations import bells
from conversations.models import Conversation

FETCH_MEDIA = "conversations.tasks.fetch_media"
MOST = 10  # files of one message


class NoSuchFile(Exception):
    """None that this agent uploaded for this channel."""


class NotReady(Exception):
    """Still being converted, or it could not be; `pending` says which."""

    def __init__(self, file: MediaFile) -> None:
        super().__init__(file.state)
        self.pending = file.state == MediaFile.State.PENDING


def receive(
    conversation: Conversation, agent: Membership, upload: UploadedFile, *, voice: bool = False
) -> MediaFile:
    """Keep a file for the agent's next message. Raises uploads.NotTaken."""
    file = uploads.take(conversation.channel, agent, upload, voice=voice)
    if file.state == MediaFile.State.PENDING:
        bells.wake_workers(FETCH_MEDIA)
    return file


def uploaded_by(agent: Membership) -> models.QuerySet[MediaFile]:
    return MediaFile.objects.filter(uploader=agent)


def named(conversation: Conversation, agent: Membership, ids: Sequence[UUID]) -> list[MediaFile]:
    """The files with these ids, in this order. Raises NoSuchFile, NotReady."""
    own = uploaded_by(agent).filter(account_id=conversation.channel_id).in_bulk(list(ids))
    if len(own) < len(set(ids)):
        raise NoSuchFile
    files = [own[pk] for pk in dict.fromkeys(ids)]
    for file in files:
        if file.state != MediaFile.State.OK:
            raise NotReady(file)
    return files
