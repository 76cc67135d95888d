"""Charts: what stands where, without any database."""

from __future__ import annotations

from insights.charts import HIGH, LEFT, TOP, WIDE, Bars, Heat, drawn_bars, drawn_heat


def test_the_highest_bar_fills_the_chart_and_none_leaves_it() -> None:
    rows = [(str(n), (n, 10 - n)) for n in range(11)]

    drawn = drawn_bars(Bars("t", "l", ("a", "b"), rows))

    assert len(drawn.bars) == 22
    assert max(bar.height for bar in drawn.bars) == HIGH
    assert all(bar.x >= LEFT and bar.x + bar.width <= WIDE and bar.y >= TOP for bar in drawn.bars)
    assert all(round(bar.y + bar.height, 1) == drawn.base for bar in drawn.bars)
    assert drawn.chart.totals == [("a", 55), ("b", 55)]


def test_bars_of_one_group_stand_side_by_side() -> None:
    first, second = drawn_bars(Bars("t", "l", ("a", "b"), [("x", (1, 1))])).bars

    assert round(first.x + first.width, 1) == second.x
    assert (first.css, second.css) == ("s1", "s2")


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn_bars(Bars("t", "l", ("a",), [])).bars == []
    assert all(bar.height == 0 for bar in drawn_bars(Bars("t", "l", ("a",), [("x", (0,))])).bars)


def test_a_little_is_never_nothing_and_the_most_is_darkest() -> None:
    drawn = drawn_heat(Heat("t", "l", ("Mon", "Tue"), ("0h", "1h"), {(0, 0): 1000, (1, 1): 1, (0, 1): 500}))

    assert [cell.css for cell in drawn.cells] == ["h5", "h3", "h0", "h1"]
    assert drawn.cells[0].text == "Mon 0h: 1000"
    assert drawn.peak == 1000


def test_an_empty_week_has_no_shade() -> None:
    drawn = drawn_heat(Heat("t", "l", ("Mon",), ("0h",), {}))

    assert [cell.css for cell in drawn.cells] == ["h0"]
