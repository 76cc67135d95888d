"""What the fake provider is told to do: one step per message request, and how statuses come back."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DROPS = ("", "before", "after", "half")
CODES = {429: 20429, 500: 20500, 503: 20503, 401: 20003}


@dataclass(frozen=True, slots=True)
class Step:
    """How one message request is answered."""

    status: int = 201
    delay: float = 0.0
    drop: str = ""  # before: the body is not read; after: taken, no answer; half: taken, answer cut
    retry_after: float | None = None
    code: int | None = None
    accept: bool | None = None  # take the message although the answer says otherwise

    @property
    def takes(self) -> bool:
        """Whether the provider has the message afterwards."""
        if self.accept is not None:
            return self.accept
        return self.drop != "before" and self.status < 300

    @property
    def error_code(self) -> int:
        return self.code or CODES.get(self.status, 20001)


SHORTHAND: Mapping[str, Step] = {
    "ok": Step(),
    "429": Step(status=429, retry_after=1),
    "500": Step(status=500),
    "503": Step(status=503),
    "drop_before": Step(drop="before"),
    "drop_after": Step(drop="after"),
    "half": Step(drop="half"),
    "500_after": Step(status=500, accept=True),
}


def step_of(value: str | int | Mapping[str, Any]) -> Step:
    """ "503", 200, "delay:0.5" or {"status": 429, "retry_after": 3}; ValueError for anything else."""
    if isinstance(value, Mapping):
        try:
            step = Step(**value)
        except TypeError as error:
            raise ValueError(f"unknown step {sorted(value)}") from error
        if step.drop not in DROPS:
            raise ValueError(f"drop is one of {DROPS}")
        return step
    word = str(value)
    if word in {"200", "201"}:
        return Step()
    if word.startswith("delay:"):
        return Step(delay=float(word.partition(":")[2]))
    if word not in SHORTHAND:
        raise ValueError(f"unknown step {word!r}; known: {', '.join(SHORTHAND)}, delay:<seconds>")
    return SHORTHAND[word]


class Script:
    """The steps still to come; when they are used up, `then` answers."""

    def __init__(self, steps: Iterable[Any] = (), then: Any = "ok") -> None:
        self._steps = [step_of(step) for step in steps]
        self._then = step_of(then)
        self._lock = threading.Lock()

    def next(self) -> Step:
        with self._lock:
            return self._steps.pop(0) if self._steps else self._then


@dataclass(frozen=True, slots=True)
class Report:
    """One status callback to send."""

    after: float  # seconds from the message's arrival
    status: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Which statuses come back, when, how often and in what order."""

    statuses: tuple[str | Mapping[str, Any], ...] = ("sent", "delivered", "read")
    delay: float = 0.02  # before the first
    gap: float = 0.01  # between two
    copies: int = 1
    order: str = "normal"  # normal, reverse, shuffle
    seed: int = 0

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Callbacks:
        """From JSON; ValueError when it cannot be read."""
        try:
            made = cls(**{**value, "statuses": tuple(value.get("statuses", cls().statuses))})
        except TypeError as error:
            raise ValueError("unknown callback setting") from error
        if made.order not in {"normal", "reverse", "shuffle"} or made.copies < 0:
            raise ValueError("order is normal, reverse or shuffle; copies is 0 or more")
        return made

    def reports(self, number: int) -> list[Report]:
        """The plan for the message with this number."""
        wanted = [one if isinstance(one, Mapping) else {"status": one} for one in self.statuses]
        wanted = [one for one in wanted for _copy in range(self.copies)]
        if self.order == "reverse":
            wanted.reverse()
        elif self.order == "shuffle":
            random.Random(self.seed * 1_000_003 + number).shuffle(wanted)
        return [
            Report(self.delay + index * self.gap, str(one["status"]), str(one.get("code", "")))
            for index, one in enumerate(wanted)
        ]
