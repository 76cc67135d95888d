"""Why a verb says no: each refusal is a class, so that every door can put it in its own words."""

from __future__ import annotations

from datetime import datetime


class Conflict(Exception):
    """Somebody was faster, or the move is not possible now; the sentence names who or why."""


class Full(Exception):
    """The agent has no room left."""


class NoQueue(Exception):
    """There is no active queue to wait in."""


class OutOfHours(Exception):
    """The queue is closed and takes nobody in meanwhile; `next_open` says when it does again, if known."""

    def __init__(self, queue: str, next_open: datetime | None) -> None:
        super().__init__(queue)
        self.queue, self.next_open = queue, next_open
