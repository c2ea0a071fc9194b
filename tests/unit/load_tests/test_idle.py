"""What an idle server's processes are said to take."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from load_tests.idle import costs_ms, table


def test_costs_are_those_of_the_time_between_and_the_greatest_comes_first():
    costs = costs_ms({"1 a": 1.0, "2 b": 5.0, "4 gone": 9.0}, {"1 a": 1.5, "2 b": 7.0, "3 new": 0.1}, 10.0)
    assert list(costs.items()) == [
        ("2 b", pytest.approx(200)),
        ("1 a", pytest.approx(50)),
        ("3 new", pytest.approx(10)),
    ]


def test_small_ones_are_one_row_and_all_are_added_up():
    text = StringIO()
    Console(file=text, width=80).print(table({"1 a": 20.0, "2 b": 0.5, "3 c": 0.25}))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().splitlines() if "│" in line]
    assert rows == [["1 a", "20.0"], ["2 others", "0.8"], ["all", "20.8"]]
