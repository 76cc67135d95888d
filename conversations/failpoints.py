"""Places at which a chaos run stops this process. Without PYTAKE_FAIL_POINT they do nothing."""

from __future__ import annotations

import os
import random
import signal

from django.conf import settings

POINTS = ("before claim", "after claim", "before call", "after call", "before settle", "after settle")
_place, _how, _passes = "", "", 0


def arm(told: str) -> None:
    """What this process is for: "after call:KILL", "before call:STOP", "". It goes well a few times first."""
    global _place, _how, _passes
    _place, _, _how = told.partition(":")
    _passes = random.randint(0, 5) if _place else 0


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


arm(settings.PYTAKE_FAIL_POINT)
