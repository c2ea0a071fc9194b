"""Columns, rows and arrows, worked out by hand or as rules that hold for any graph."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.graph.layout import LANE, ROW_GAP, Box, laid_out, spread


def layout_of(*arrows, width=100.0, height=40.0, names=None):
    names = names or list(dict.fromkeys(name for arrow in arrows for name in arrow))
    return laid_out([Box(name, width, height) for name in names], arrows, dict.fromkeys(names, 50.0))


def test_columns_go_by_the_longest_way_from_the_inputs():
    layout = layout_of(("x", "a"), ("a", "b"), ("x", "b"), ("b", "y"), ("x", "c"), ("c", "y"))
    assert {name: box.x for name, box in layout.boxes.items()} == {"x": 0, "a": 150, "b": 300, "y": 450, "c": 150}
    assert (layout.width, min(box.y for box in layout.boxes.values())) == (550, 0)


def test_ends_stand_in_the_last_column():
    layout = layout_of(("x", "a"), ("a", "b"), ("b", "y"), ("x", "z"))
    assert layout.boxes["z"].x == layout.boxes["y"].x == 450


def test_boxes_are_as_wide_as_their_column_and_gaps_as_asked_for():
    boxes = [Box("x", 10, 5), Box("a", 30, 5), Box("b", 70, 5)]
    layout = laid_out(boxes, [("x", "a"), ("x", "b")], {"x": 7, "a": 1, "b": 1})
    assert [(box.x, box.width) for box in layout.boxes.values()] == [(0, 10), (17, 70), (17, 70)]


def test_an_arrow_over_a_column_goes_around_its_boxes():
    layout = layout_of(("x", "a"), ("a", "y"), ("x", "y"))
    (long,) = [arrow for arrow in layout.arrows if (arrow.begin, arrow.end) == ("x", "y")]
    a = layout.boxes["a"]
    (_, first_y), (left, y), (right, same_y), (_, _) = long.points
    assert (left, right, y) == (a.x, a.x + a.width, same_y)
    assert not a.y - ROW_GAP < y - LANE / 2 < a.y + a.height + ROW_GAP - LANE
    assert layout.boxes["x"].y < first_y < layout.boxes["x"].y + 40


def test_arrows_meet_a_box_in_the_order_of_their_other_ends():
    layout = layout_of(("x", "a"), ("x", "b"), ("x", "c"))
    x = layout.boxes["x"]
    begins = {arrow.end: arrow.points[0] for arrow in layout.arrows}
    assert {point[0] for point in begins.values()} == {x.x + x.width}
    by_place = sorted("abc", key=lambda name: layout.boxes[name].y)
    assert [begins[name][1] - x.y for name in by_place] == [10, 20, 30]


def test_crossings_are_undone():
    names = ["x1", "x2", "b", "a", "y1", "y2"]
    layout = layout_of(("x1", "a"), ("x2", "b"), ("a", "y1"), ("b", "y2"), names=names)
    boxes = layout.boxes
    assert (boxes["x1"].y < boxes["x2"].y) == (boxes["a"].y < boxes["b"].y) == (boxes["y1"].y < boxes["y2"].y)


@pytest.mark.parametrize(
    ("wanted", "offsets", "expected"),
    [
        ([0, 10], [0, 5], [0, 10]),
        ([0, 0], [0, 4], [-2, 2]),
        ([9, 0, 0], [0, 1, 2], [2, 3, 4]),
        ([0, 100, 90], [0, 10, 20], [0, 90, 100]),
    ],
)
def test_spread_keeps_the_gaps_and_moves_as_little_as_it_can(wanted, offsets, expected):
    assert spread(wanted, offsets) == pytest.approx(expected)


@settings(deadline=None)  # a machine may be busy
@given(st.data())
def test_no_box_lies_on_another_and_arrows_go_to_the_right(data):
    count = data.draw(st.integers(2, 9))
    pairs = st.sampled_from(list(combinations(range(count), 2)))
    arrows = data.draw(st.lists(pairs, unique=True, max_size=14))
    names = [str(index) for index in range(count)]
    layout = layout_of(*((str(a), str(b)) for a, b in arrows), names=names)
    for one, other in combinations(layout.boxes.values(), 2):
        apart = abs(one.y - other.y) >= 40 + ROW_GAP - 1e-6
        assert one.x != other.x or apart
    for arrow in layout.arrows:
        assert all(x <= next_x for (x, _), (next_x, _) in pairwise(arrow.points))
