"""`python -m bench.sender`: a process that sends and does nothing else, until it is stopped."""

from __future__ import annotations

import time
from importlib import import_module

import django


def main() -> None:
    django.setup()
    sending, settling = (import_module(f"conversations.{name}") for name in ("sending", "settling"))
    while True:
        if not sending.drain(seconds=2, patient=True):
            time.sleep(0.05)
        settling.expire_leases()


if __name__ == "__main__":
    main()
