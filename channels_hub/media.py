"""Files from the platforms: fetched after the message is in, streamed to storage, never trusted."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import puremagic
from django.conf import settings
from django.core import signing
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import F
from django.utils import timezone
from django_scopes import scope, scopes_disabled

from channels_hub import pictures, registry, voice
from channels_hub.http import Client, ForbiddenAddress
from channels_hub.models import ChannelAccount, MediaFile
from channels_hub.vocabulary import Capabilities, MaybeSent, MediaRef, MediaUnavailable, NotSent

MAX_BYTES = 100 * 1024 * 1024
TOTAL_SECONDS = 180
LEASE = timedelta(minutes=5)  # longer than one fetch can take
WAITS = (5, 30, 120, 600, 1800, 7200, 21_600, 86_400)  # seconds; media ids live for days
URL_HOURS = 24
CHUNK = 64 * 1024
_SALT = "channels_hub.media"
OTHER_NAMES = {
    "audio/x-m4a": "audio/mp4",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/amr": "audio/amr",
}
_UNKNOWN_TYPE = "application/octet-stream"


def expect(account: ChannelAccount, refs: Iterable[MediaRef]) -> list[MediaFile]:
    """Rows for files that a message brought; `fetch` gets them later."""
    rows = [
        MediaFile(
            organization_id=account.organization_id,
            account=account,
            kind=ref.kind,
            mime=ref.mime[:120],
            filename=ref.filename[:255],
            size=ref.size,
            source={"url": ref.url, "media_id": ref.media_id},
        )
        for ref in refs
    ]
    return MediaFile.objects.bulk_create(rows)


def due(now: datetime | None = None, limit: int = 50) -> list[UUID]:
    """Files waiting to be fetched, of every organization, the longest waiting first."""
    with scopes_disabled():
        waiting = MediaFile.objects.filter(
            state=MediaFile.State.PENDING, next_attempt_at__lte=now or timezone.now()
        )
        return list(waiting.order_by("next_attempt_at").values_list("id", flat=True)[:limit])


def fetch(media_id: UUID, *, http: Client | None = None) -> MediaFile | None:
    """Get one file ready. Harmless when somebody else has it; the row when this call settled it."""
    if (media := _claim(media_id)) is None:
        return None
    if media.file:  # ours, and not yet in the form that the channel takes
        with scope(organization=media.organization_id):
            return _convert(media)
    own = http or Client()
    try:
        with scope(organization=media.organization_id):
            return _fetch(media, own)
    finally:
        if http is None:
            own.close()


def _claim(media_id: UUID) -> MediaFile | None:
    """Take a due row: its next attempt moves past the lease, and the attempt's number fences late writers."""
    now = timezone.now()
    with scopes_disabled():
        mine = MediaFile.objects.filter(pk=media_id, state=MediaFile.State.PENDING, next_attempt_at__lte=now)
        if not mine.update(attempts=F("attempts") + 1, next_attempt_at=now + LEASE):
            return None
        return MediaFile.objects.select_related("account").get(pk=media_id)


def _fetch(media: MediaFile, http: Client) -> MediaFile | None:
    adapter, secrets = registry.adapter_for(media.account), media.account.keys()
    try:
        stream = adapter.open_media(media.ref(), http, secrets)
        try:
            stored = store(stream.chunks, most_bytes(adapter.caps))
        finally:
            stream.close()
    except MediaUnavailable as error:
        return _give_up(media, str(error))
    except ForbiddenAddress:
        return _give_up(media, "forbidden address")
    except (NotSent, MaybeSent, OSError) as error:
        return _later(media, type(error).__name__)
    try:
        return _settle(media, stored)
    finally:
        stored.path.unlink(missing_ok=True)


def _convert(media: MediaFile) -> MediaFile | None:
    """A recording of ours as a voice note. What was recorded goes, also when it cannot be read."""
    recorded, storage = str(media.file.name), media.file.storage
    try:
        with media.file.open("rb") as source:
            raw = store(source.chunks(), MAX_BYTES)
        try:
            with _workpiece() as path:
                voice.convert(raw.path, path)
                with path.open("rb") as file:
                    stored = store(iter(lambda: file.read(CHUNK), b""), MAX_BYTES)
        finally:
            raw.path.unlink(missing_ok=True)
    except voice.CannotConvert:
        settled = _give_up(media, "cannot convert")
    except OSError as error:
        return _later(media, type(error).__name__)
    else:
        try:
            settled = _settle(media, stored, mime=voice.MIME)
        finally:
            stored.path.unlink(missing_ok=True)
    if settled is not None:
        storage.delete(recorded)
    return settled


# ------------------------------------------------------------------ bytes
@dataclass(frozen=True, slots=True)
class Stored:
    """A complete file, not yet under its final name."""

    path: Path
    size: int
    sha256: str
    mime: str


class _Moved(File):
    """A file that the storage may take by renaming it."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def storage() -> Storage:
    """Where files are kept: this machine, or any that django-storages knows."""
    return MediaFile._meta.get_field("file").storage


def most_bytes(caps: Capabilities) -> int:
    """Customers may send what the channel carries at most, whatever they call it."""
    return min(MAX_BYTES, max(caps.media.values(), default=MAX_BYTES))


@contextmanager
def _workpiece() -> Iterator[Path]:
    """A file on this machine while it is made; beside its final place where that is here."""
    here, folder = storage(), None
    if isinstance(here, FileSystemStorage):
        folder = Path(here.location) / ".partial"
        folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def store(chunks: Iterable[bytes], limit: int) -> Stored:
    """All bytes on disk and synced; what breaks off or grows too big leaves nothing behind."""
    with _workpiece() as path:
        with path.open("wb") as file:
            size, digest = _copy(chunks, file, limit)
        kept = path.with_name(f"{path.name}.whole")
        path.rename(kept)
    try:
        return Stored(kept, size, digest, sniff(kept))
    except BaseException:
        kept.unlink(missing_ok=True)
        raise


def _copy(chunks: Iterable[bytes], file: BinaryIO, limit: int) -> tuple[int, str]:
    size, digest, deadline = 0, hashlib.sha256(), time.monotonic() + TOTAL_SECONDS
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise MediaUnavailable("too big")
        if time.monotonic() > deadline:
            raise MaybeSent("the file took too long")
        digest.update(chunk)
        file.write(chunk)
    file.flush()
    os.fsync(file.fileno())
    return size, digest.hexdigest()


def sniff(path: Path) -> str:
    """The type by the bytes. What the sender claims is not asked."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:64].lstrip().upper().startswith(b"BEGIN:VCARD"):
        return "text/vcard"
    if head.startswith(b"OggS"):
        return "video/ogg" if b"\x80theora" in head[:512] else "audio/ogg"
    try:
        found = puremagic.from_file(path, mime=True) or _UNKNOWN_TYPE
        return OTHER_NAMES.get(found.lower(), found)
    except (puremagic.PureError, ValueError):
        return "text/plain" if head and _is_text(head) else _UNKNOWN_TYPE


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head[:-3].decode()  # the cut may fall inside a character
    except UnicodeDecodeError:
        return False
    return True


# ------------------------------------------------------------------ endings
def _settle(media: MediaFile, stored: Stored, mime: str = "") -> MediaFile | None:
    """Final names first, then the row: a crash between leaves orphan files, never a row without one."""
    keep(media, stored)
    written = _update(
        media,
        state=MediaFile.State.OK,
        kind=media.kind,
        mime=mime or stored.mime,
        size=stored.size,
        sha256=stored.sha256,
        file=media.file.name,
        thumbnail=media.thumbnail.name,
        source={},
        reason="",
    )
    if not written:  # the lease ran out and another worker was faster
        for file in (media.file, media.thumbnail):
            if file:
                file.storage.delete(str(file.name))
        return None
    return media


def keep(media: MediaFile, stored: Stored) -> None:
    """Put the bytes where they stay, with a thumbnail where one helps.

    A picture that cannot be read (none at all, broken, a bomb) becomes a file, which no page unpacks.
    """
    if media.kind in {"image", "sticker"}:
        try:
            with stored.path.open("rb") as file:
                small = pictures.thumbnail(file)
        except pictures.NotAPicture:
            media.kind = "file"
        else:
            if small:
                media.thumbnail.save("thumbnail", ContentFile(small), save=False)
    with stored.path.open("rb") as file:
        media.file.save(media.filename or "file", _Moved(file), save=False)


def _give_up(media: MediaFile, reason: str) -> MediaFile | None:
    return media if _update(media, state=MediaFile.State.UNAVAILABLE, reason=reason[:200]) else None


def _later(media: MediaFile, reason: str) -> MediaFile | None:
    if media.attempts > len(WAITS):
        return _give_up(media, reason)
    wait = WAITS[media.attempts - 1] * random.uniform(0.8, 1.2)
    _update(media, next_attempt_at=timezone.now() + timedelta(seconds=wait), reason=reason)
    return None


def _update(media: MediaFile, **values: object) -> bool:
    """Write only while this attempt is the latest one."""
    for name, value in values.items():
        setattr(media, name, value)
    mine = MediaFile.objects.filter(pk=media.pk, state=MediaFile.State.PENDING, attempts=media.attempts)
    return bool(mine.update(**values))


# ------------------------------------------------------------------ links for platforms
def public_url(media: MediaFile) -> str:
    """A link that a platform may fetch for a day without logging in; nobody can guess it."""
    return f"{settings.PUBLIC_URL.rstrip('/')}/media/{signing.dumps(str(media.pk), salt=_SALT)}/"


def by_token(token: str) -> MediaFile | None:
    """The file behind such a link; None when the link is forged, too old or the file is not there."""
    try:
        pk = signing.loads(token, salt=_SALT, max_age=timedelta(hours=URL_HOURS))
    except signing.BadSignature:
        return None
    with scopes_disabled():
        return MediaFile.objects.filter(pk=pk, state=MediaFile.State.OK).first()


def sweep_orphans(older_than: timedelta = timedelta(days=1)) -> tuple[int, int]:
    """Both ways: files without a row are deleted, rows without a file are marked. Counts of both."""
    place, limit = storage(), timezone.now() - older_than
    with scopes_disabled():
        rows = MediaFile.objects.filter(state=MediaFile.State.OK)
        known = {name for pair in rows.values_list("file", "thumbnail") for name in pair}
        missing = [row.pk for row in rows.only("file").iterator() if not place.exists(str(row.file.name))]
        MediaFile.objects.filter(pk__in=missing).update(state=MediaFile.State.UNAVAILABLE, reason="file lost")
    lost = [name for name in _stored_names(place) if name not in known and _modified(place, name) < limit]
    for name in lost:
        place.delete(name)
    return len(lost), len(missing)


def _stored_names(place: Storage) -> Iterator[str]:
    """One folder per organization; what is being made has a folder that begins with a dot."""
    folders = place.listdir("")[0] if place.exists("") else []
    for folder in folders:
        if not folder.startswith("."):
            yield from (f"{folder}/{name}" for name in place.listdir(folder)[1])


def _modified(place: Storage, name: str) -> datetime:
    try:
        return place.get_modified_time(name)
    except FileNotFoundError:  # deleted meanwhile
        return timezone.now()
