"""Rows that are remembered: each made once, the answers the same, within the bytes allowed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serve_app.batching.executing import Executing, Visit
from serve_app.graph.cache import CACHE, ENTRY_BYTES, CachedNode, RowCache, row_keys
from serve_app.graph.steps import Run, at_once


class Work:
    """Doubles; remembers the rows that it was given, and may leave something out."""

    def __init__(self, left_out: str = "", chosen: str = "") -> None:
        self.seen, self._left_out, self._chosen = [], left_out, chosen

    async def __call__(self, values, run, visit):
        self.seen.append(values["x"].tolist())
        if self._left_out:
            run.executing.left_out[self._left_out] = "it failed"
        if self._chosen:
            visit.chosen = np.full(visit.rows, self._chosen, object)
        return {"y": values["x"] * 2, "name": np.array([b"%d" % x for x in values["x"]], object)}


def executed(node, *numbers, other="unused"):
    values = {"x": np.array(numbers), "other": np.array([other] * len(numbers), object)}
    visit = Visit("n", len(numbers), None, 0.0)
    answer = at_once(node(values, Run(Executing()), visit))
    assert answer["name"].tolist() == [b"%d" % number for number in numbers]
    return answer["y"].tolist(), visit


def node_of(work, max_bytes=10**6) -> CachedNode:
    return CachedNode(work, ["x"], ["y", "name"], max_bytes)


def test_each_row_is_made_once_and_they_come_in_order():
    work = Work()
    node = node_of(work)
    assert executed(node, 1, 2)[0] == [2, 4]
    answer, visit = executed(node, 3, 2, 4, 1)
    assert (answer, visit.cached.tolist()) == ([6, 4, 8, 2], [False, True, False, True])
    assert executed(node, 1, 4)[0] == [2, 8]
    assert work.seen == [[1, 2], [3, 4]]


def test_what_was_made_without_a_part_is_made_again():
    work = Work(left_out="f.a")
    node = node_of(work)
    assert [executed(node, 1)[0], executed(node, 1)[0]] == [[2], [2]]
    assert work.seen == [[1], [1]]


def test_a_router_tells_remembered_rows_from_those_that_it_chose_for():
    node = node_of(Work(chosen="big"))
    executed(node, 1)
    _, visit = executed(node, 5, 1)
    assert visit.chosen.tolist() == ["big", CACHE]


def test_the_least_recently_used_row_goes_first():
    cache = RowCache(2 * (ENTRY_BYTES + 8))
    for key in (b"a", b"b"):
        cache.put(key, (np.zeros(1),))
    assert cache.get(b"a") is not None
    cache.put(b"c", (np.zeros(1),))
    assert [cache.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    assert cache.nbytes == 2 * (ENTRY_BYTES + 8)


def test_a_row_larger_than_everything_is_not_kept():
    cache = RowCache(100)
    cache.put(b"a", (np.zeros(1000),))
    assert (cache.get(b"a"), cache.nbytes) == (None, 0)
    cache = RowCache(2 * ENTRY_BYTES)
    cache.put(b"a", (np.zeros(1),))
    cache.put(b"b", (np.zeros(1000),))
    assert (cache.get(b"a") is not None, cache.get(b"b")) == (True, None)


@given(st.lists(st.lists(st.binary(max_size=4), min_size=2, max_size=2), min_size=2, max_size=2))
def test_different_texts_have_different_keys(rows):
    both = np.array([*rows, [b"", b""]], object)[:2]
    first, second = row_keys([both[:, 0], both[:, 1]])
    assert (first == second) == (rows[0] == rows[1])


def test_the_axes_are_part_of_the_key():
    assert row_keys([np.zeros((1, 2, 3))]) != row_keys([np.zeros((1, 3, 2))])
    assert row_keys([np.zeros((2, 2))])[0] == row_keys([np.zeros((1, 2))])[0]
