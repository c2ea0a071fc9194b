"""Figures of a release inside the gateway beside a no-op and a FastAPI by hand."""

from __future__ import annotations

from rich.console import Console

from load_tests.inline_cost import EXPRESS, LIMIT, LONE, MANY, PROXY, RIVAL, is_well, more_ms, share, table
from load_tests.points import ClosedPoint


def point(p50_ms: float, rate: float) -> ClosedPoint:
    return ClosedPoint(1, 2.0, 400, rate, p50_ms, 2.0, 3.0, 0, "wrk")


def rounds(p50_ms: dict[str, list[float]], rates: dict[str, list[float]]):
    lone = {name: [point(one, 1.0) for one in values] for name, values in p50_ms.items()}
    return {LONE: lone, MANY: {name: [point(1.0, one) for one in values] for name, values in rates.items()}}


P50_MS = {LIMIT: [0.5, 0.6, 0.9], PROXY: [1.5, 1.7, 1.8], EXPRESS: [0.9, 1.2, 1.1], RIVAL: [0.3, 0.4, 0.5]}
RATES = {LIMIT: [2000, 1000, 3000], PROXY: [900, 1000, 1100], EXPRESS: [1900, 900, 3000], RIVAL: [2000, 1000, 2500]}


def test_ratios_are_of_rounds():
    found = rounds(P50_MS, RATES)
    assert round(more_ms(found[LONE], EXPRESS), 3) == 0.4  # 0.4, 0.6, 0.2
    assert share(found[MANY], EXPRESS) == 0.95  # 0.95, 0.9, 1.2
    console = Console(width=200, record=True)
    console.print(table(found))
    assert "inline, express door │ 1.10      │ +0.40          │ 1,900" in console.export_text()


def test_one_door_has_to_be_as_fast_as_wanted_in_both_ways():
    assert is_well(rounds(P50_MS, RATES))
    assert not is_well(rounds(P50_MS, {**RATES, EXPRESS: [800, 800, 800]}))
    assert not is_well(rounds({**P50_MS, EXPRESS: [2, 2, 2]}, {**RATES, PROXY: [9000, 9000, 9000]}))
