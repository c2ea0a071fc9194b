"""Which thread takes how much of a request."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from load_tests.cpu_split import split_us, table


def test_a_request_takes_its_share_of_each_thread_and_the_greatest_comes_first():
    before = {"1 a": {10: 1.0, 11: 2.0}, "2 b": {20: 5.0}, "4 gone": {40: 1.0}}
    after = {"1 a": {10: 1.1, 11: 2.3}, "2 b": {20: 5.9, 21: 0.1}, "3 new": {30: 0.2}}
    split = split_us(before, after, requests=1000)
    assert list(split) == ["2 b", "1 a", "3 new"]
    assert split == {
        "2 b": pytest.approx([900, 100]),
        "1 a": pytest.approx([300, 100]),
        "3 new": pytest.approx([200]),
    }


def test_small_ones_are_one_row_and_all_are_added_up():
    text = StringIO()
    Console(file=text, width=80).print(table("digits", {"1 a": [90.0, 5.0, 1.0, 0.5], "2 b": [1.0, 0.5], "3 c": []}))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.getvalue().splitlines() if "│" in line]
    assert rows == [["1 a", "96.5", "90.0, 5.0, 1.0"], ["2 others", "1.5", ""], ["all", "98.0", ""]]
