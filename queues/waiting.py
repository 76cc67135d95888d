"""How long will it take? Pure: earlier waits in, a time out that four in five of them kept.

A wait that ended otherwise than by an agent (given up, moved on, still going on) would have been longer: it
counts as "at least so long" (Kaplan and Meier's estimate), so that impatience never makes a queue look quick.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby

QUANTILE = 0.8
FEWEST = 20  # waits below which history says nothing
STEPS = (1, 2, 3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440)  # minutes
DAY = STEPS[-1]


@dataclass(frozen=True, slots=True)
class Wait:
    """One stay in a queue: how many were ahead when it began, how long it lasted, did an agent end it."""

    ahead: int
    seconds: float
    served: bool


def bucket(ahead: int) -> int:
    """Places in line that are alike: 0, 1, 2-3, 4-7, 8-15 ..."""
    return max(0, ahead).bit_length()


def lowest(ahead: int) -> int:
    """The first place of the bucket."""
    return 1 << (bucket(ahead) - 1) if ahead > 0 else 0


def expected(waits: Iterable[Wait], ahead: int) -> timedelta | None:
    """What 80 % of those who came with so many ahead did not exceed; None when history can't tell.

    Too few of them: those with more ahead are asked too, bucket by bucket, never those with fewer.
    """
    by_bucket: dict[int, list[Wait]] = {}
    for wait in waits:
        by_bucket.setdefault(bucket(wait.ahead), []).append(wait)
    asked: list[Wait] = []
    for number in sorted(n for n in by_bucket if n >= bucket(ahead)):
        asked += by_bucket[number]
        if len(asked) >= FEWEST and (seconds := percentile(asked)) is not None:
            return friendly(seconds)
    return None


def percentile(waits: Sequence[Wait], quantile: float = QUANTILE) -> float | None:
    """The shortest time by which this share was served; None when so many never were.

    Without unserved waits it is the nearest-rank percentile; unserved ones only ever raise it.
    """
    if not waits:
        return None
    ordered = sorted(waits, key=lambda wait: wait.seconds)
    at_risk, still_waiting = len(ordered), 1.0
    for seconds, group in groupby(ordered, key=lambda wait: wait.seconds):
        together = list(group)
        served = sum(wait.served for wait in together)
        still_waiting *= 1 - served / at_risk
        at_risk -= len(together)
        if still_waiting <= 1 - quantile + 1e-9:
            return seconds
    return None


def friendly(seconds: float) -> timedelta:
    """Rounded up to what people say; whole days beyond the first."""
    minutes = seconds / 60
    for step in STEPS:
        if minutes <= step:
            return timedelta(minutes=step)
    return timedelta(days=-(-minutes // DAY))
