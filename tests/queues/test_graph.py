"""The picture of overflow: everything drawn, nothing upon another, arrows forward, also for silly input."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from queues.graph import Link, draw

IDS = [UUID(int=n) for n in range(1, 9)]
links = st.lists(st.builds(Link, st.sampled_from(IDS), st.sampled_from(IDS), st.just(("full",))), max_size=14)


@given(links=links, known=st.sets(st.sampled_from(IDS)))
def test_boxes_never_lie_upon_each_other_and_lie_within_the_picture(
    links: list[Link], known: set[UUID]
) -> None:
    drawing = draw({pk: str(pk) for pk in known}, links)
    assert {box.id for box in drawing.boxes} == known
    places = [(box.x, box.y) for box in drawing.boxes]
    assert len(set(places)) == len(places)
    for n, one in enumerate(drawing.boxes):
        assert one.x + one.width <= drawing.width
        assert one.y + one.height <= drawing.height
        for two in drawing.boxes[n + 1 :]:
            assert abs(one.x - two.x) >= one.width or abs(one.y - two.y) >= one.height


@given(
    forward=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda p: p[0] < p[1]), max_size=14
    )
)
def test_without_a_circle_every_arrow_points_to_the_right(forward: list[tuple[int, int]]) -> None:
    drawing = draw(dict.fromkeys(IDS, "q"), [Link(IDS[a], IDS[b], ()) for a, b in forward])
    at = {box.id: box.x for box in drawing.boxes}
    assert all(at[IDS[a]] < at[IDS[b]] for a, b in forward)


def test_an_arrow_over_a_column_passes_beside_its_boxes() -> None:
    a, b, c = IDS[:3]
    drawing = draw({a: "a", b: "b", c: "c"}, [Link(a, b, ()), Link(b, c, ()), Link(a, c, ())])
    middle = next(box for box in drawing.boxes if box.id == b)
    through = next(arrow.path for arrow in drawing.arrows if " H " in arrow.path)
    height = int(through.split(" H ")[0].split()[-1])
    assert not middle.y <= height <= middle.y + middle.height
    assert height < drawing.height


def test_a_long_name_is_cut() -> None:
    (box,) = draw({IDS[0]: "x" * 80}, []).boxes
    assert (len(box.short), box.short[-1], box.name) == (18, "…", "x" * 80)


def test_each_condition_has_its_line() -> None:
    (arrow,) = draw({IDS[0]: "a", IDS[1]: "b"}, [Link(IDS[0], IDS[1], ("full", "closed"))]).arrows
    (x1, y1, one), (x2, y2, two) = arrow.labels
    assert (one, two, x1 == x2, y1 < y2) == ("full", "closed", True, True)
