"""`python transcode.py <in> <out>`: the sound of any recording as mono Opus in an Ogg file.

A program of its own: the decoder meets bytes from strangers, so it runs in a process that may crash, hang or
eat memory without taking a worker along (`channels_hub.voice` starts it).
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import av

MAX_SECONDS = 15 * 60
MEMORY = 1 << 30
RATE = 48_000
BITS_PER_SECOND = 32_000
# What recorders write; no playlist, which would make it open other files or addresses.
CONTAINERS = {"format_whitelist": "webm,ogg,mp4,mp3,wav,aac,amr", "protocol_whitelist": "file"}


def main(source: str, target: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with av.open(source, options=CONTAINERS) as recording, av.open(target, "w", format="ogg") as voice:
        stream: Any = voice.add_stream("libopus", rate=RATE)
        stream.layout, stream.bit_rate = "mono", BITS_PER_SECOND
        for frame in _resampled(recording):
            voice.mux(stream.encode(frame))
        voice.mux(stream.encode(None))


def _resampled(recording: Any) -> Any:
    resampler, samples = av.AudioResampler("s16", "mono", RATE), 0
    for frame in recording.decode(recording.streams.audio[0]):
        frame.pts = None  # recorders leave gaps; the encoder counts for itself
        for part in resampler.resample(frame):
            samples += part.samples
            if samples > MAX_SECONDS * RATE:
                raise ValueError("too long")
            yield part
    if not samples:
        raise ValueError("no sound")
    yield from resampler.resample(None)


if __name__ == "__main__":
    main(*sys.argv[1:])
