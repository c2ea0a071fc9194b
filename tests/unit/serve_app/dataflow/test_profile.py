"""The sweep on a clock that only executions move."""

import pytest

from serve_app.dataflow.profile import ExecutionTime, seeded, single, sweep, sweep_sizes


class Machine:
    """Executes in made-up time: `seconds(rows, how many times before)`."""

    def __init__(self, seconds) -> None:
        self._seconds, self.now, self.executed = seconds, 0.0, []

    def timed(self, rows: int) -> float:
        taken = self._seconds(rows, self.executed.count(rows))
        self.executed.append(rows)
        self.now += taken
        return taken

    def swept(self, sizes, budget_s=1.5):
        return sweep(self.timed, sizes, lambda: self.now, budget_s)


@pytest.mark.parametrize(
    ("max_rows", "sizes"), [(1, (1,)), (2, (1, 2)), (8, (1, 2, 4, 8)), (11, (1, 2, 4, 8, 11)), (3, (1, 2, 3))]
)
def test_sizes_are_powers_of_two_and_the_largest(max_rows, sizes):
    assert sweep_sizes(max_rows) == sizes


def test_each_size_has_its_median_and_a_high_quantile():
    # 1 ms a row, and 50 ms more for the very first execution
    machine = Machine(lambda rows, before: 0.001 * rows + (0.05 if before == 0 and rows == 1 else 0))
    assert machine.swept((1, 2, 4)) == {
        1: ExecutionTime(pytest.approx(0.001), pytest.approx(0.051)),  # 20 ms are over after the first: 3 in all
        2: ExecutionTime(pytest.approx(0.002), pytest.approx(0.002)),
        4: ExecutionTime(pytest.approx(0.004), pytest.approx(0.004)),
    }
    assert [machine.executed.count(rows) for rows in (1, 2, 4)] == [3, 10, 5]


def test_the_quantile_leaves_one_outlier_of_twenty_out():
    machine = Machine(lambda rows, before: 0.0005 + (0.001 if before == 7 else 0) + (0.0001 if before == 9 else 0))
    taken = machine.swept((1,))[1]
    assert machine.executed == [1] * 20
    assert (taken.median_s, taken.p95_s) == (pytest.approx(0.0005), pytest.approx(0.0006))


def test_sizes_that_would_end_after_the_budget_are_left_out():
    machine = Machine(lambda rows, before: 0.1 * rows)
    # 0.3 s for size 1, 0.6 s for size 2, then 1.2 s for size 4 would end at 2.1 s
    assert list(machine.swept((1, 2, 4, 8))) == [1, 2]
    assert machine.executed == [1, 1, 1, 2, 2, 2]
    assert list(Machine(lambda rows, before: 0.1 * rows).swept((1, 2, 4, 8), budget_s=2.1)) == [1, 2, 4]


def test_a_large_size_is_measured_where_time_hardly_grows_with_rows():
    machine = Machine(lambda rows, before: 0.01 + 0.00001 * rows)
    assert list(machine.swept(sweep_sizes(1024))) == list(sweep_sizes(1024))


def test_the_first_size_is_measured_however_long_it_takes():
    machine = Machine(lambda rows, before: 5.0)
    assert machine.swept((4, 8)) == {4: ExecutionTime(5.0, 5.0)}
    assert machine.executed == [4]


def test_what_was_known_before_is_brought_to_this_machine_s_speed():
    measured = {1: ExecutionTime(0.002, 0.003), 4: ExecutionTime(0.006, 0.007)}
    known_s = {1: 0.002, 4: 0.003, 64: 0.02}  # this machine takes twice as long at 4 rows
    assert seeded(measured, known_s) == {**measured, 64: single(0.04)}
    assert list(seeded({8: single(0.1)}, {4: 0.05})) == [4, 8]
    assert seeded({8: single(0.1)}, {4: 0.05})[4] == single(0.05)
    assert seeded(measured, {}) == measured
