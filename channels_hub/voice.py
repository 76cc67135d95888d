"""Voice notes: what browsers record becomes what platforms take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MIME = "audio/ogg"
SECONDS = 60
_TRANSCODE = Path(__file__).with_name("transcode.py")


class CannotConvert(Exception):
    """There is no sound in it that can be read."""


def convert(source: Path, target: Path) -> None:
    """Write the sound of `source` as Ogg/Opus to `target`. Raises CannotConvert."""
    # -I: neither the environment nor the current folder decides what the program imports
    command = [sys.executable, "-I", str(_TRANSCODE), str(source), str(target)]
    try:
        subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)  # noqa: S603 - own program
    except (subprocess.SubprocessError, OSError) as error:
        raise CannotConvert from error
