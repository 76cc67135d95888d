"""The queues and where they overflow to, as boxes and arrows in a plane. Pure: names in, coordinates out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

WIDTH, HEIGHT = 152, 58  # of a box
GAP_X, GAP_Y, EDGE = 130, 40, 12
LOOSE_PER_ROW = 3  # boxes without an arrow stand below the others
LONGEST_NAME = 18
LINE = 15  # between two lines of a label


@dataclass(frozen=True, slots=True)
class Link:
    """One queue overflows into another, when any of these conditions holds."""

    source: UUID
    target: UUID
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    id: UUID
    name: str
    short: str
    x: int
    y: int
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def middle(self) -> int:
        return self.x + WIDTH // 2

    @property
    def name_y(self) -> int:
        return self.y + 25

    @property
    def size_y(self) -> int:
        return self.y + 44


@dataclass(frozen=True, slots=True)
class Arrow:
    """A curve with its label, a line of text per condition."""

    path: str
    labels: tuple[tuple[int, int, str], ...]  # x, y, text


@dataclass(frozen=True, slots=True)
class Drawing:
    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def draw(names: Mapping[UUID, str], links: Sequence[Link]) -> Drawing:
    """Columns from left to right along the arrows; queues without any stand below."""
    links = [link for link in links if link.source in names and link.target in names]
    tied = {pk for link in links for pk in (link.source, link.target)}
    columns = _columns(tied, links)
    rows = _rows(names, columns, links)
    boxes = {pk: _box(pk, names[pk], columns[pk], _y(rows[columns[pk], pk])) for pk in tied}
    top = _y(max(rows.values(), default=-1) + 1)
    for index, pk in enumerate(sorted(names.keys() - tied, key=lambda pk: names[pk])):
        boxes[pk] = _box(pk, names[pk], index % LOOSE_PER_ROW, top + _y(index // LOOSE_PER_ROW) - EDGE)
    lowest = max([*(box.y for box in boxes.values()), *map(_y, rows.values())], default=0)
    return Drawing(
        width=max((box.x for box in boxes.values()), default=0) + WIDTH + EDGE,
        height=lowest + HEIGHT + EDGE,
        boxes=tuple(boxes.values()),
        arrows=tuple(
            _arrow(boxes[link.source], boxes[link.target], link.labels, _lane(link, columns, rows))
            for link in links
        ),
    )


def _columns(tied: Iterable[UUID], links: Sequence[Link]) -> dict[UUID, int]:
    """Each queue right of all that lead to it; a circle, which saving refuses, ends at the last column."""
    columns = dict.fromkeys(tied, 0)
    for _round in columns:
        for link in links:
            right = min(columns[link.source] + 1, len(columns) - 1)
            columns[link.target] = max(columns[link.target], right)
    return columns


Place = tuple[int, UUID | Link]  # a column, and what stands in it: a queue, or an arrow that only passes


def _rows(names: Mapping[UUID, str], columns: Mapping[UUID, int], links: Sequence[Link]) -> dict[Place, int]:
    """The row of every queue, and of every arrow in the columns that it passes: never behind a box."""
    rows: dict[Place, int] = {}
    for number in range(max(columns.values(), default=-1) + 1):
        here: list[UUID | Link] = [pk for pk, column in columns.items() if column == number]
        here += [link for link in links if columns[link.source] < number < columns[link.target]]
        order = {one: (_beside(one, number, columns, links, rows), _title(one, names)) for one in here}
        for row, one in enumerate(sorted(here, key=lambda one: order[one])):
            rows[number, one] = row
    return rows


def _beside(
    one: UUID | Link,
    number: int,
    columns: Mapping[UUID, int],
    links: Sequence[Link],
    rows: Mapping[Place, int],
) -> float:
    """The mean row of what leads to it, so that arrows cross little."""
    coming = [one] if isinstance(one, Link) else [link for link in links if link.target == one]
    found = []
    for link in coming:
        passed = rows.get((number - 1, link))
        found.append(rows.get((columns[link.source], link.source), 0) if passed is None else passed)
    return sum(found) / len(found) if found else 0.0


def _title(one: UUID | Link, names: Mapping[UUID, str]) -> str:
    return names[one.target] if isinstance(one, Link) else names[one]


def _lane(link: Link, columns: Mapping[UUID, int], rows: Mapping[Place, int]) -> list[tuple[int, int]]:
    """Where an arrow passes columns: left edge and height of each."""
    passed = range(columns[link.source] + 1, columns[link.target])
    return [(_x(number), _y(rows[number, link]) + HEIGHT // 2) for number in passed]


def _x(column: int) -> int:
    return EDGE + column * (WIDTH + GAP_X)


def _y(row: int) -> int:
    return EDGE + row * (HEIGHT + GAP_Y)


def _box(pk: UUID, name: str, column: int, y: int) -> Box:
    short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return Box(pk, name, short, _x(column), y)


def _arrow(source: Box, target: Box, labels: tuple[str, ...], lane: Sequence[tuple[int, int]]) -> Arrow:
    """From the right edge of one box to the left edge of the other; the label stands before the target."""
    bend = GAP_X // 2
    x, y = source.x + WIDTH, source.y + HEIGHT // 2
    path = f"M {x} {y}"
    for left, height in lane:
        path += f" C {x + bend} {y}, {left - bend} {height}, {left} {height} H {left + WIDTH}"
        x, y = left + WIDTH, height
    end = target.y + HEIGHT // 2
    path += f" C {x + bend} {y}, {target.x - bend} {end}, {target.x} {end}"
    low = (y + end) // 2 - 7 - LINE * (len(labels) - 1)
    middle = target.x - bend
    return Arrow(path, tuple((middle, low + LINE * number, text) for number, text in enumerate(labels)))
