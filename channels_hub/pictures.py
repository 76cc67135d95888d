"""Pictures: measured before they are unpacked, made small for pages, cleaned of the camera's notes."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000  # unpacked 200 MB; a few kilobytes can claim a thousand times as much
SMALL = 100 * 1024  # bytes
EDGE = 640  # of a thumbnail; twice what a bubble shows
FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "GIF": "image/gif", "WEBP": "image/webp"}
READ = frozenset(TYPES.values())
_BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


class NotAPicture(Exception):
    """Not one of the formats we read, broken, or too many pixels."""


@contextmanager
def _opened(source: BinaryIO) -> Iterator[Image.Image]:
    try:
        with Image.open(source, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise NotAPicture("too many pixels")
            yield image
    except _BOMB as error:
        raise NotAPicture("too many pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises for broken files
        raise NotAPicture(type(error).__name__) from error


def thumbnail(source: BinaryIO) -> bytes:
    """The picture as a small WebP, of an animation the first; empty when it is small itself.

    Raises NotAPicture.
    """
    with _opened(source) as image:
        if max(image.size) <= EDGE and source.seek(0, io.SEEK_END) <= SMALL:
            source.seek(0)
            image.load()
            return b""
        source.seek(0)
        image.thumbnail((EDGE, EDGE))  # a JPEG is unpacked small from the start
        return _written(_upright(image), "WEBP", quality=80)


def cleaned(source: BinaryIO, accepted: Collection[str] = ()) -> tuple[bytes, str] | None:
    """The picture without place, camera and comments, and its type; None for an animation: it stays as it is.

    A type that is not among the `accepted` ones becomes JPEG, or PNG where it is see-through. Raises
    NotAPicture.
    """
    with _opened(source) as image:
        name = "JPEG" if image.format == "MPO" else str(image.format)
        if name != "JPEG" and getattr(image, "is_animated", False):
            return None
        upright = _upright(image)
        if accepted and TYPES[name] not in accepted:
            name = "PNG" if upright.has_transparency_data else "JPEG"
        if name == "JPEG" and upright.mode not in {"RGB", "L", "CMYK"}:
            upright = upright.convert("RGB")
        options = {"quality": 92} if name in {"JPEG", "WEBP"} else {}
        return _written(upright, name, **options), TYPES[name]


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera was held; of its notes only the colours' meaning is left."""
    upright = ImageOps.exif_transpose(image)
    kept = {"icc_profile", "transparency"}
    upright.info = {name: value for name, value in upright.info.items() if name in kept}
    return upright


def _written(image: Image.Image, name: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, exif=b"", **options)
    return buffer.getvalue()
