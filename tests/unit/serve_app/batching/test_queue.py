"""What waits, the most urgent first."""

from __future__ import annotations

from support.simulation import Arrival, waiting

from serve_app.batching.queue import PieceQueue


def order(queue) -> list[float]:
    return [piece.job.submitted for piece in queue.in_order(100)]


def test_levels_first_then_deadlines_then_arrival():
    queue = waiting(Arrival(1, 9), Arrival(2, 8), Arrival(3, 9), Arrival(4, 99, priority=1), Arrival(5, 1, priority=9))
    assert order(queue) == [4, 2, 1, 3, 5]
    assert queue.head().job.submitted == 4


def test_rows_are_counted_and_a_piece_leaves_once():
    queue = waiting(Arrival(1, rows=3), Arrival(2, rows=4))
    first = queue.head()
    queue.remove(first)
    queue.remove(first)
    assert (queue.rows, queue.head().job.submitted, bool(queue)) == (4, 2, True)


def test_the_order_ends_behind_the_rows_asked_for():
    queue = waiting(*(Arrival(number, number, rows=2) for number in range(9)))
    assert [piece.job.submitted for piece in queue.in_order(5)] == [0, 1, 2]


def test_one_level_is_known_as_such():
    queue = waiting(Arrival(1), Arrival(2, priority=1))
    assert not queue.has_one_level
    queue.remove(queue.head())
    assert queue.has_one_level


def test_nothing_waits_in_an_empty_queue():
    assert (PieceQueue().head(), bool(PieceQueue())) == (None, False)
