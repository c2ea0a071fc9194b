"""Times of nodes from their visits."""

from serve_app.batching.executing import Visit
from serve_app.dataflow.node_times import node_times


def visit(node, rows, seconds, cached=0):
    return Visit(node, rows, None, 0.0, seconds, cached=cached)


def test_each_node_has_a_median_for_each_size_in_order():
    visits = [
        visit("a", 8, 0.002),
        visit("a", 1, 0.001),
        visit("a", 1, 0.003),
        visit("a", 1, 0.009),
        visit("b", 1, 1.0),
    ]
    times = node_times(visits)
    assert times == {"a": {1: 3.0, 8: 2.0}, "b": {1: 1000.0}}
    assert list(times["a"]) == [1, 8]


def test_remembered_answers_say_nothing():
    assert node_times([visit("a", 4, 0.001, cached=3), visit("a", 4, 0.005)]) == {"a": {4: 5.0}}
    assert node_times([]) == {}
