"""Places at which a chaos run stops this process. Without PYTAKE_FAIL_POINT they do nothing."""

from __future__ import annotations

import os
import random
import signal

from django.conf import settings

POINTS = ("before claim", "after claim", "before call", "after call", "before settle", "after settle")
_place, _, _how = settings.PYTAKE_FAIL_POINT.partition(":")  # "after call:KILL" or "before call:STOP"
_passes = random.randint(0, 5) if _place else 0  # so often it goes well first


def reached(place: str) -> None:
    """Die or fall asleep here, when that is what this process is for."""
    global _passes
    if place != _place:
        return
    if _passes > 0:
        _passes -= 1
        return
    _passes = 6
    os.kill(os.getpid(), getattr(signal, f"SIG{_how}"))
