"""`python -m bench.sender`: a process that sends and does nothing else, until it is stopped."""

from __future__ import annotations

import time

import django

django.setup()

from conversations import sending, settling  # noqa: E402


def main() -> None:
    while True:
        if not sending.drain(seconds=2, patient=True):
            time.sleep(0.05)
        settling.expire_leases()


if __name__ == "__main__":
    main()
