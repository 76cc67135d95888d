"""Stored files by HTTP: never run by a browser, in ranges for players, asked for once."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

from django.db.models.fields.files import FieldFile
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from channels_hub.models import MediaFile

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SHOWN = PICTURES | {
    "audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/amr", "audio/wav", "audio/webm",
    "audio/x-wav", "video/mp4", "video/webm", "video/ogg", "video/3gpp",
}  # fmt: skip
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def original(request: HttpRequest, media: MediaFile) -> HttpResponseBase:
    """For people: what cannot run is shown, the rest is a download."""
    shown = media.mime in SHOWN
    response = serve(request, media.file, media.mime if shown else "application/octet-stream", media.sha256)
    name = media.filename or f"{media.kind}-{str(media.pk)[-6:]}"
    response.headers["Content-Disposition"] = str(content_disposition_header(not shown, name))
    return response


def thumbnail(request: HttpRequest, media: MediaFile) -> HttpResponseBase:
    return serve(request, media.thumbnail, "image/webp")


def serve(request: HttpRequest, file: FieldFile, mime: str, tag: str = "") -> HttpResponseBase:
    """The bytes of a stored file, whole or the range that was asked for; 404 when they are lost."""
    try:
        handle, size = file.open("rb"), file.size
    except FileNotFoundError as error:
        raise Http404 from error
    etag = f'"{tag or str(file.name).rpartition("/")[2]}"'  # stored names are random and used once
    response = _answer(request, handle, size, etag)
    for name, value in {
        "Content-Type": mime,
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Security-Policy": "sandbox; default-src 'none'; media-src 'self'; img-src 'self'",
    }.items():
        response.headers[name] = value
    return response


def _answer(request: HttpRequest, handle: Any, size: int, etag: str) -> HttpResponseBase:
    if etag in request.headers.get("If-None-Match", ""):
        handle.close()
        return HttpResponse(status=304)
    wanted = _wanted(request, size, etag)
    if wanted is not None and not wanted:
        handle.close()
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    part = wanted or range(size)
    handle.seek(part.start)
    response = FileResponse(_Part(handle, len(part)), status=206 if wanted else 200)
    response.headers["Content-Length"] = str(len(part))
    if wanted:
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return response


def _wanted(request: HttpRequest, size: int, etag: str) -> range | None:
    """Which bytes; None for all of them, empty for none that exist. Several ranges get the whole file."""
    found = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if found is None or request.headers.get("If-Range", etag) != etag or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))


class _Part:
    """So many bytes of an open file, from where it stands."""

    def __init__(self, file: BinaryIO, length: int) -> None:
        self.file, self.left = file, length

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    def close(self) -> None:
        self.file.close()
