"""The arithmetic of the comparison: figures of one round are only compared with each other."""

import pytest

from load_tests.thread_contention import OTHERS, OURS, SETTINGS, Ratio, Share, cpu_ms, cpu_ratio, rate_per_s, rate_ratio

TWO = [Share(100, 2.0, 1.0), Share(80, 1.0, 2.0)]


def test_rates_of_processes_add_up_each_over_its_own_time():
    assert rate_per_s(TWO) == 130.0  # 50 + 80


def test_cpu_time_is_that_of_all_executions():
    assert cpu_ms(TWO) == pytest.approx(16.667, abs=0.001)  # 3 s over 180 executions


def test_ratios_are_medians_of_rounds():
    rounds = [
        {"a": [Share(300, 1.0, 3.0)], "b": [Share(100, 1.0, 2.0)]},
        {"a": [Share(10, 1.0, 0.1)], "b": [Share(10, 1.0, 0.1)]},  # a round in which the machine was slow
        {"a": [Share(200, 1.0, 1.0)], "b": [Share(100, 1.0, 1.0)]},
    ]
    assert rate_ratio(rounds, "a", "b") == Ratio(2.0, 1.0, 3.0)
    assert cpu_ratio(rounds, "a", "b") == Ratio(0.5, 0.5, 1.0)
    assert str(rate_ratio(rounds, "a", "b")) == "2.00 (1.00 to 3.00)"


def test_ours_is_compared_with_the_default():
    assert SETTINGS[OURS].threads == 1
    assert [SETTINGS[name].threads for name in OTHERS] == [0, 0, 0]
    assert SETTINGS[OTHERS[0]].session == {}
