"""Files from the platforms: fetched after the message is in, streamed to storage, never trusted."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import puremagic
from django.conf import settings
from django.core import signing
from django.core.files import File
from django.db.models import F
from django.utils import timezone
from django_scopes import scope, scopes_disabled

from channels_hub import registry
from channels_hub.http import Client, ForbiddenAddress
from channels_hub.models import ChannelAccount, MediaFile
from channels_hub.vocabulary import HttpStream, MaybeSent, MediaRef, MediaUnavailable, NotSent

MAX_BYTES = 100 * 1024 * 1024
TOTAL_SECONDS = 180
LEASE = timedelta(minutes=5)  # longer than one fetch can take
WAITS = (5, 30, 120, 600, 1800, 7200, 21_600, 86_400)  # seconds; media ids live for days
URL_HOURS = 24
_SALT = "channels_hub.media"
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
    """Get one file. Harmless when somebody else has it; the row when this call settled it, else None."""
    if (media := _claim(media_id)) is None:
        return None
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
            stored = _store(stream)
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


def _store(stream: HttpStream) -> Stored:
    """All bytes on disk and synced; what breaks off or grows too big leaves nothing behind."""
    folder = Path(settings.MEDIA_ROOT) / ".partial"
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            size, digest = _copy(stream.chunks, file)
        return Stored(path, size, digest, sniff(path))
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _copy(chunks: Iterable[bytes], file: BinaryIO) -> tuple[int, str]:
    size, digest, deadline = 0, hashlib.sha256(), time.monotonic() + TOTAL_SECONDS
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BYTES:
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
    try:
        return puremagic.from_file(path, mime=True) or _UNKNOWN_TYPE
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
def _settle(media: MediaFile, stored: Stored) -> MediaFile | None:
    """Final name first, then the row: a crash between leaves an orphan file, never a row without one."""
    picture = media.kind in {"image", "sticker"} and not stored.mime.startswith("image/")
    with stored.path.open("rb") as file:
        media.file.save(media.filename or "file", _Moved(file), save=False)
    written = _update(
        media,
        state=MediaFile.State.OK,
        kind="file" if picture else media.kind,
        mime=stored.mime,
        size=stored.size,
        sha256=stored.sha256,
        file=media.file.name,
        source={},
        reason="",
    )
    if not written:  # the lease ran out and another worker was faster
        media.file.storage.delete(str(media.file.name))
        return None
    return media


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
    storage, limit = MediaFile._meta.get_field("file").storage, time.time() - older_than.total_seconds()
    root = Path(settings.MEDIA_ROOT)
    with scopes_disabled():
        rows = MediaFile.objects.filter(state=MediaFile.State.OK)
        known = set(rows.values_list("file", flat=True))
        missing = [row.pk for row in rows.only("file").iterator() if not storage.exists(str(row.file.name))]
        MediaFile.objects.filter(pk__in=missing).update(state=MediaFile.State.UNAVAILABLE, reason="file lost")
    lost = [
        path for path in root.glob("*/*")
        if path.is_file() and path.stat().st_mtime < limit and str(path.relative_to(root)) not in known
    ]  # fmt: skip
    for path in lost:
        path.unlink(missing_ok=True)
    return len(lost), len(missing)
