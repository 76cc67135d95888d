"""pytest plugin (`-p pytake.testing`): throw-away stores and secrets, before Django's settings are read.

Only the first process of a run starts them; xdist's workers inherit the addresses through the environment.
DATABASE_URL and REDIS_URL, when set, are used instead.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.parse import urlsplit

from pytake import embedded, home
from pytake.trouble import Trouble


def _prepare() -> None:
    """In the environment of this process and of all it starts."""
    place = Path(tempfile.mkdtemp(prefix="pytake-test-"))
    place.chmod(0o711)  # root's PostgreSQL runs as another user, who has to get in
    os.environ |= {"PYTAKE_HOME": str(place), "PYTAKE_TESTING": "1"}
    home.export_secrets(place)
    servers: list[embedded.Server] = []
    atexit.register(_clean_up, os.getpid(), servers, place)
    signal.signal(signal.SIGTERM, _end)
    try:
        servers += embedded.start_all(place, throwaway=True)
    except Trouble as trouble:
        sys.exit(f"PyTake: {trouble}")


def _clean_up(owner: int, servers: list[embedded.Server], place: Path) -> None:
    if os.getpid() == owner:  # not in a forked copy of us
        embedded.stop_all(servers)
        shutil.rmtree(place, ignore_errors=True)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """Through the exit handlers, so that nothing stays behind."""
    raise SystemExit(128 + signum)


def _own_counters(worker: str) -> None:
    """A Redis database per parallel worker: log-in counters of one must not lock out people of another."""
    url, number = urlsplit(os.environ["REDIS_URL"]), int(worker.removeprefix("gw")) + 1
    if url.scheme == "unix":
        os.environ["REDIS_URL"] = f"unix://{url.path}?db={number}"
    else:
        os.environ["REDIS_URL"] = url._replace(path=f"/{number}").geturl()


if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    _own_counters(worker)
else:
    _prepare()
