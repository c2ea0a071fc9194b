"""The table of executions with and without kept pages, and one real measurement."""

from __future__ import annotations

import ctypes

import pytest
from rich.console import Console

from load_tests.kept_pages import ROWS, Cost, costs, table


def test_ratios_are_of_the_same_round():
    back = [{rows: Cost(2.0, 900) for rows in ROWS}, {rows: Cost(4.0, 1100) for rows in ROWS}]
    kept = [{rows: Cost(1.0, 0) for rows in ROWS}, {rows: Cost(1.0, 2) for rows in ROWS}]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table(back, kept))
    text = captured.get()
    for expected in ("3.00", "1,000", "1.00", "0.38 (0.25 to 0.50)"):
        assert expected in text


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library's allocator cannot be told")
def test_kept_pages_are_not_asked_of_the_kernel_again():
    kept = costs(0.2, is_kept=True)
    assert set(kept) == set(ROWS)
    assert kept[64].faults < 1000  # 17,000 where they are given back
    assert all(one.ms > 0 for one in kept.values())
