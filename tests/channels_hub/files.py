"""Files as people and attackers make them."""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path

import av
from PIL import Image


def picture(
    size: tuple[int, int] = (2, 2), format: str = "PNG", colour: object = "red", **options: object
) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA" if isinstance(colour, tuple) else "RGB", size, colour).save(buffer, format, **options)
    return buffer.getvalue()


def photo(size: tuple[int, int] = (800, 600)) -> bytes:
    """A JPEG as a telephone takes it: lying on its side, with place and camera."""
    notes = Image.Exif()
    notes[0x0112] = 6  # held upright
    notes[0x010F] = "CameraMaker"
    notes.get_ifd(0x8825).update({1: "S", 2: (23.0, 33.0, 1.0), 3: "W", 4: (46.0, 38.0, 2.0)})
    return picture(size, "JPEG", exif=notes.tobytes())


def bomb(side: int = 20_000) -> bytes:
    """A small PNG that says it is huge."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def recording(path: Path, format: str = "webm", codec: str = "libopus", seconds: int = 1) -> bytes:
    """A tone as a browser's recorder writes it."""
    rate, step = 48_000, 960
    with av.open(str(path), "w", format=format) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        for start in range(0, seconds * rate, step):
            frame = av.AudioFrame(format="s16", layout="mono", samples=step)
            tone = [int(8000 * math.sin((start + n) * 0.06)) for n in range(step)]
            frame.planes[0].update(struct.pack(f"<{step}h", *tone))
            frame.sample_rate, frame.pts = rate, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path.read_bytes()
