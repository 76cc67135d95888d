"""`python -m bench.sender`: a process that sends and does nothing else, until it is stopped.

With `brood` it is loaded once and sends nothing itself: each line of its input names a fail point, and a fork
with it begins to send; the answer is the pid. The line `ended` is answered by [pid, exit code] of who ended.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from importlib import import_module
from typing import Any

import django

NEEDED = ("conversations.sending", "conversations.settling", "conversations.failpoints")


def main() -> None:
    django.setup()
    modules = [import_module(name) for name in NEEDED]
    if "brood" in sys.argv:
        brood(*modules)
    send(*modules)


def send(sending: Any, settling: Any, _failpoints: Any) -> None:
    while True:
        if not sending.drain(seconds=2, patient=True):
            time.sleep(0.05)
        settling.expire_leases()


def brood(*modules: Any) -> None:
    import_module("channels_hub.registry").adapter_class("twilio_whatsapp")
    for line in sys.stdin:
        order = line.strip()
        print(json.dumps(_ended() if order == "ended" else _fork(order, *modules)), flush=True)
    sys.exit()


def _ended() -> list[tuple[int, int]]:
    found = []
    try:
        while (one := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            found.append((one[0], os.waitstatus_to_exitcode(one[1])))
    except ChildProcessError:
        pass  # none is left
    return found


def _fork(point: str, *modules: Any) -> int:
    if pid := os.fork():
        return pid
    os.setsid()
    import_module("pytake.embedded").die_with_parent(signal.SIGKILL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    random.seed()
    modules[-1].arm(point)
    try:
        send(*modules)
    finally:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    main()
