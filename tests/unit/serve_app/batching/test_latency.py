"""What a batch takes: interpolated, learned, drifting, and not fooled by one slow execution."""

from __future__ import annotations

import random

import pytest

from serve_app.batching.latency import FRESH, WINDOW, LatencyModel, Window

SEED = {1: 0.010, 2: 0.011, 4: 0.013, 8: 0.017}


def test_nothing_is_known_before_anything_was_seen():
    model = LatencyModel()
    assert not model.is_known
    assert (model.usual_s(8), model.most_s(8)) == (0.0, 0.0)


def test_between_and_beyond_the_seeds_the_line_goes_on():
    model = LatencyModel(SEED)
    assert [model.usual_s(rows) for rows in (1, 3, 6, 8, 16)] == pytest.approx([0.010, 0.012, 0.015, 0.017, 0.025])


def test_one_size_alone_is_taken_for_every_size():
    model = LatencyModel()
    model.observe(4, 0.02)
    assert (model.usual_s(1), model.usual_s(64)) == (0.02, 0.02)


def test_a_larger_batch_is_never_forecast_to_be_faster():
    model = LatencyModel({1: 0.02, 8: 0.01})
    assert model.usual_s(8) >= model.usual_s(1)


def test_a_slower_machine_is_known_at_sizes_that_were_not_executed_since():
    model = LatencyModel(SEED)
    for _ in range(WINDOW):
        model.observe(4, 2 * 0.013)
    assert model.usual_s(4) == pytest.approx(0.026, rel=0.01)
    assert model.usual_s(8) == pytest.approx(0.034, rel=0.01)


def test_drift_back_is_followed_within_a_window():
    model = LatencyModel(SEED)
    for factor in (3, 1):
        for _ in range(WINDOW):
            model.observe(4, factor * 0.013)
    assert model.usual_s(4) == pytest.approx(0.013, rel=0.01)
    assert model.most_s(4) == pytest.approx(0.013, rel=0.01)


def test_years_of_skewed_noise_at_one_size_move_no_other_size():
    draw, model = random.Random(5), LatencyModel(SEED)
    for _ in range(20_000):
        model.observe(1, 0.010 * draw.lognormvariate(0, 1.0))
    assert 0.005 < model.usual_s(1) < 0.02
    assert 0.008 < model.usual_s(8) < 0.034


def test_a_size_that_was_not_executed_for_long_is_judged_by_its_neighbour():
    model = LatencyModel(SEED)
    model.observe(8, 10 * 0.017)
    for _ in range(FRESH):
        model.observe(1, 0.010)
    assert model.usual_s(8) == pytest.approx(0.017)


def test_sizes_are_forgotten_one_by_one_as_each_was_not_executed_for_long():
    model = LatencyModel({1: 0.01})
    model.observe(8, 0.08)
    for _ in range(10):
        model.observe(4, 0.04)
    for _ in range(FRESH - 11):
        model.observe(2, 0.02)
    assert set(model.usual_by_rows()) == {1, 2, 4, 8}
    model.observe(2, 0.02)
    assert set(model.usual_by_rows()) == {1, 2, 4}
    for _ in range(10):
        model.observe(2, 0.02)
    assert set(model.usual_by_rows()) == {1, 2}
    model.observe(8, 0.08)
    assert set(model.usual_by_rows()) == {1, 2, 8}


def test_one_slow_execution_among_many_changes_nothing():
    model = LatencyModel(SEED)
    for _ in range(WINDOW - 1):
        model.observe(4, 0.013)
    model.observe(4, 10.0)
    assert model.usual_s(4) == pytest.approx(0.013)
    assert model.most_s(4) == pytest.approx(0.013)
    assert model.usual_s(8) == pytest.approx(0.017)


def test_the_high_quantile_covers_all_but_one_in_twenty():
    draw, model = random.Random(5), LatencyModel(SEED)
    for _ in range(1000):
        model.observe(4, 0.013 * draw.lognormvariate(0, 0.2))
    limit = model.most_s(4)
    within = sum(0.013 * draw.lognormvariate(0, 0.2) <= limit for _ in range(2000)) / 2000
    assert 0.90 <= within <= 0.99


def test_the_curve_bends_to_sizes_that_grow_otherwise():
    model = LatencyModel({1: 0.010, 64: 0.010})
    for _ in range(30):
        for rows in (1, 2, 4, 8, 16, 32, 64):
            model.observe(rows, 0.010 + 0.001 * rows)
    for rows in (1, 8, 32, 64):
        assert model.usual_s(rows) == pytest.approx(0.010 + 0.001 * rows, rel=0.15)


def test_time_that_stands_still_says_nothing():
    model = LatencyModel(SEED)
    model.observe(4, 0.0)
    assert model.usual_s(4) == 0.013


def test_what_is_usual_can_be_listed():
    assert LatencyModel(SEED).usual_by_rows() == SEED


def test_a_window_forgets_the_oldest():
    window = Window()
    for number in range(WINDOW + 1):
        window.add(100.0 if number == 0 else float(number), number)
    assert (len(window), window.last) == (WINDOW, WINDOW)
    assert (window.quantile(0), window.quantile(1)) == (1, WINDOW)
