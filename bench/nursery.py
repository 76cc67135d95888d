"""`python -m bench.nursery`: the desk loaded once; every process asked for is a fork of it, ready at once.

Reads one order per line as JSON and answers each with a line: {"run": "web", "log": path} with the new pid,
{"bury": pid, "patience": seconds} when that one has ended. What it started ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.template.loader import get_template
from django.utils import translation

from bench.kit import LOOPBACK, ROOT
from channels_hub.registry import adapter_class
from pytake.embedded import die_with_parent


def web() -> None:
    """As `manage.py up` serves."""
    _server().run()


def poller() -> None:
    call_command("poller")


ROLES: dict[str, Callable[[], None]] = {"web": web, "poller": poller}


def _server() -> uvicorn.Server:
    config = uvicorn.Config(
        "pytake.asgi:application", host=LOOPBACK, port=settings.PORT, lifespan="off", access_log=False,
        log_level="warning",
    )  # fmt: skip
    return uvicorn.Server(config)


def main() -> None:
    _load()
    for line in sys.stdin:
        order = json.loads(line)
        answer = _start(order) if "run" in order else _bury(order["bury"], order["patience"])
        print(json.dumps(answer), flush=True)


def _load() -> None:
    """All that a process would import at its start or first page; nothing that draws a random number."""
    _server().config.load()
    import_module("conversations.management.commands.poller")
    for kind in settings.CHANNEL_ADAPTERS:
        adapter_class(kind)
    for path in sorted((ROOT / "templates").rglob("*.html")):
        get_template(str(path.relative_to(ROOT / "templates")))
    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            translation.gettext("Log in")


def _start(order: dict[str, Any]) -> int:
    pid = os.fork()
    if not pid:
        os._exit(_live(ROLES[order["run"]], order["log"]))
    os.setpgid(pid, pid)  # both say so: whoever is told the pid may signal the group at once
    return pid


def _live(role: Callable[[], None], log: str) -> int:
    """The child's whole life: in a group of its own, its words in the file."""
    os.setpgid(0, 0)
    die_with_parent(signal.SIGKILL)
    out, nothing = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(here, there)
    try:
        role()
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _bury(pid: int, patience: float) -> int:
    """Wait for its end, which is hurried when it takes too long."""
    end = time.monotonic() + patience
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    return pid


if __name__ == "__main__":
    main()
