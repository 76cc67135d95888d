"""Where does a conversation go when its queue is full? Pure: sizes in, placement out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Line:
    """What overflow needs to know of a queue."""

    id: UUID
    limit: int | None
    overflow_to: UUID | None
    is_active: bool = True

    def has_room(self, waiting: int) -> bool:
        return self.is_active and (self.limit is None or waiting < self.limit)


@dataclass(frozen=True, slots=True)
class Placement:
    """The queue that takes the conversation; `exhausted` when there was no room anywhere."""

    queue_id: UUID
    hops: tuple[UUID, ...] = ()  # queues passed over because they were full, in order
    exhausted: bool = False


def path(start: UUID, lines: Mapping[UUID, Line]) -> Sequence[UUID]:
    """The queue and its overflow queues in order; a circle ends where it closes."""
    ids: list[UUID] = []
    here: UUID | None = start
    while here is not None and here not in ids and here in lines:
        ids.append(here)
        here = lines[here].overflow_to
    return ids


def settle(start: UUID, lines: Mapping[UUID, Line], waiting: Mapping[UUID, int]) -> Placement:
    """The first queue on the path with room; the original one, flagged, when all are full.

    A queue without overflow keeps the conversation although it is full: nobody is turned away.
    """
    ids = path(start, lines)
    for index, queue_id in enumerate(ids):
        if lines[queue_id].has_room(waiting.get(queue_id, 0)):
            return Placement(queue_id, tuple(ids[:index]))
    return Placement(start, exhausted=True)
