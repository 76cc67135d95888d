"""Files from the desk's people: checked against what the channel takes before anything is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from accounts.models import Membership
from channels_hub import media, pictures, registry
from channels_hub.media import Stored
from channels_hub.models import ChannelAccount, MediaFile
from channels_hub.vocabulary import Capabilities, MediaUnavailable
from channels_hub.voice import MIME

FORM_BYTES = 64 * 1024  # around the file


class NotTaken(Exception):
    """This file cannot go out on this channel; its text says why, `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Carries:
    """What a channel lets people attach."""

    most: int  # bytes of the largest kind; 0 where it carries no files
    voice: bool


def carried_by(account: ChannelAccount) -> Carries:
    caps = registry.adapter_for(account).caps
    return Carries(media.most_bytes(caps) if caps.media else 0, bool(_voice_kinds(caps)))


class Bounded(FileUploadHandler):
    """Refuses a form that announces more than any channel takes, before it fills the disk (settings)."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        if content_length > media.MAX_BYTES + FORM_BYTES:
            raise RequestDataTooBig

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None


def take(
    account: ChannelAccount, uploader: Membership, upload: UploadedFile, *, voice: bool = False
) -> MediaFile:
    """Keep a file that somebody will send. A voice note is pending until a worker has converted it.

    The type is read from the bytes; pictures lose what the camera noted about time and place. Raises
    NotTaken.
    """
    caps = registry.adapter_for(account).caps
    if not caps.media:
        raise NotTaken("media_unsupported", _("This channel carries no files."))
    try:
        stored = media.store(upload.chunks(), media.most_bytes(caps))
    except MediaUnavailable as error:
        raise _too_big(media.most_bytes(caps)) from error
    try:
        return _keep(account, uploader, upload, stored, caps, voice=voice)
    finally:
        stored.path.unlink(missing_ok=True)


def _keep(
    account: ChannelAccount,
    uploader: Membership,
    upload: UploadedFile,
    stored: Stored,
    caps: Capabilities,
    *,
    voice: bool,
) -> MediaFile:
    if not stored.size:
        raise NotTaken("empty_file", _("This file is empty."))
    if stored.mime in pictures.READ:
        stored = _without_notes(stored, caps)
    kind = voice_kind(caps) if voice else fitting(kind_of(stored.mime), stored.mime, caps)
    if stored.size > caps.media[kind]:
        raise _too_big(caps.media[kind])
    row = MediaFile(
        organization_id=account.organization_id,
        account=account,
        kind=kind,
        mime=stored.mime,
        filename=_name(upload, stored.mime),
        size=stored.size,
        sha256=stored.sha256,
        uploader=uploader,
        state=MediaFile.State.PENDING if voice else MediaFile.State.OK,
    )
    media.keep(row, stored)
    row.save(force_insert=True)
    return row


def kind_of(mime: str) -> str:
    family = mime.partition("/")[0]
    return family if family in {"image", "audio", "video"} else "file"


def fitting(kind: str, mime: str, caps: Capabilities) -> str:
    """As what the channel takes it: as it is, else as a plain file. Raises NotTaken."""
    for name in dict.fromkeys((kind, "file")):
        if name in caps.media and mime in caps.mime.get(name, (mime,)):
            return name
    raise NotTaken(
        "type_unsupported", _("This channel does not carry files of this type (%(type)s).") % {"type": mime}
    )


def voice_kind(caps: Capabilities) -> str:
    """As what the channel takes our voice notes. Raises NotTaken."""
    for name in _voice_kinds(caps):
        return name
    raise NotTaken("type_unsupported", _("This channel carries no voice notes."))


def _voice_kinds(caps: Capabilities) -> list[str]:
    named = (name for name in ("voice", "audio") if name in caps.media)
    return [name for name in named if MIME in caps.mime.get(name, (MIME,))]


def _without_notes(stored: Stored, caps: Capabilities) -> Stored:
    accepted = caps.mime.get("image", ()) if "image" in caps.media else ()
    try:
        with stored.path.open("rb") as file:
            found = pictures.cleaned(file, accepted)
    except pictures.NotAPicture as error:
        raise NotTaken("bad_picture", _("This picture is broken or too large to be read.")) from error
    if found is None:
        return stored
    data, mime = found
    fresh = media.store([data], media.MAX_BYTES)
    fresh.path.replace(stored.path)
    return replace(fresh, path=stored.path, mime=mime)


def _name(upload: UploadedFile, mime: str) -> str:
    """The name it had, with the ending of what it became."""
    name = Path((upload.name or "").replace("\x00", "")).name
    endings: Mapping[str, Any] = {"image/jpeg": (".jpg", ".jpeg"), "image/png": (".png",)}
    if mime in endings and not name.lower().endswith(endings[mime]):
        name = f"{Path(name).stem or 'image'}{endings[mime][0]}"
    return name[-255:]


def _too_big(limit: int) -> NotTaken:
    text = _("This file is too big: this channel takes up to %(size)s.") % {"size": filesizeformat(limit)}
    return NotTaken("too_big", text)
