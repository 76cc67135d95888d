"""Charts as SVG: where things stand in them. The template tags `bars` and `heat` draw what is laid out here.

Colours and words are the template's; every chart has its figures as a table beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEFT, TOP, HIGH, FOOT, GAP = 52, 8, 140, 24, 4
WIDE = 600  # of a chart, in its own units
STEPS = 5  # shades of a heat map


@dataclass(frozen=True, slots=True)
class Bars:
    """Figures side by side: a group per label, a bar in it per series."""

    title: str
    label: str  # what the labels are
    series: Sequence[str]
    rows: Sequence[tuple[str, Sequence[int]]]

    @property
    def totals(self) -> list[tuple[str, int]]:
        return [(name, sum(values[n] for _label, values in self.rows)) for n, name in enumerate(self.series)]


@dataclass(frozen=True, slots=True)
class Bar:
    css: str  # s1, s2, ... by series
    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class DrawnBars:
    chart: Bars
    width: int
    height: int
    base: int
    bars: Sequence[Bar]
    marks: Sequence[tuple[float, str]]  # below
    ticks: Sequence[tuple[float, int]]  # beside

    @property
    def left(self) -> int:
        return LEFT


def drawn_bars(chart: Bars) -> DrawnBars:
    peak = max([1, *(value for _label, values in chart.rows for value in values)])
    step = (WIDE - LEFT) / max(1, len(chart.rows))
    each = (step - GAP) / max(1, len(chart.series))
    base = TOP + HIGH
    bars, marks = [], []
    sparse = max(1, round(len(chart.rows) / 8))
    for n, (label, values) in enumerate(chart.rows):
        left = LEFT + n * step + GAP / 2
        if n % sparse == 0:
            marks.append((round(left + step / 2, 1), label))
        for k, value in enumerate(values):
            high = HIGH * value / peak
            text = f"{label}: {value} ({chart.series[k]})"
            place = round(left + k * each, 1), round(base - high, 1), round(each, 1), round(high, 1)
            bars.append(Bar(f"s{k + 1}", *place, text))
    ticks = [(round(base - HIGH * n / peak, 1), n) for n in sorted({peak, peak // 2} - {0})]
    return DrawnBars(chart, WIDE, base + FOOT, base, bars, marks, ticks)


@dataclass(frozen=True, slots=True)
class Heat:
    """A figure per line and column: seven days of 24 hours."""

    title: str
    label: str  # what the lines are
    lines: Sequence[str]
    columns: Sequence[str]
    figures: Mapping[tuple[int, int], int]

    def line(self, n: int) -> list[int]:
        return [self.figures.get((n, k), 0) for k in range(len(self.columns))]

    @property
    def table(self) -> list[tuple[str, list[int]]]:
        return [(name, self.line(n)) for n, name in enumerate(self.lines)]


@dataclass(frozen=True, slots=True)
class Cell:
    css: str  # h0 nothing, h1 little ... h5 most
    x: float
    y: int
    text: str


@dataclass(frozen=True, slots=True)
class DrawnHeat:
    chart: Heat
    width: int
    height: int
    cell: float
    tall: int
    cells: Sequence[Cell]
    marks: Sequence[tuple[float, str]]
    names: Sequence[tuple[int, str]]
    peak: int

    @property
    def left(self) -> int:
        return LEFT

    @property
    def shades(self) -> list[str]:
        return [f"h{n}" for n in range(STEPS + 1)]


TALL = 22


def drawn_heat(chart: Heat) -> DrawnHeat:
    peak = max([0, *chart.figures.values()])
    wide = (WIDE - LEFT) / len(chart.columns)
    cells = [
        Cell(
            f"h{_shade(value, peak)}",
            round(LEFT + k * wide, 1),
            TOP + n * TALL,
            f"{name} {chart.columns[k]}: {value}",
        )
        for n, (name, values) in enumerate(chart.table)
        for k, value in enumerate(values)
    ]
    end = TOP + TALL * len(chart.lines)
    return DrawnHeat(
        chart,
        WIDE,
        end + FOOT,
        round(wide - 2, 1),
        TALL - 2,
        cells,
        [(round(LEFT + (k + 0.5) * wide, 1), name) for k, name in enumerate(chart.columns) if k % 3 == 0],
        [(TOP + n * TALL + TALL // 2, name) for n, name in enumerate(chart.lines)],
        peak,
    )


def _shade(value: int, peak: int) -> int:
    """Nothing has a shade of its own; the rest is divided evenly, so that a little is never nothing."""
    return -(-value * STEPS // peak) if value else 0
