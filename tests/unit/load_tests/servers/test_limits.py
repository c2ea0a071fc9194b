from __future__ import annotations

import pytest

from load_tests.servers.limits import Limit, of_one_and_best, rate


def test_rows_are_counted_by_executions_and_cpu_by_rows():
    executed = []
    rows_per_s, cpu_s = rate(lambda: executed.append(sum(range(1000))), rows=4, seconds=0.05)
    assert rows_per_s == pytest.approx(4 * (len(executed) - 3) / 0.05, rel=0.3)
    assert 0 < cpu_s * rows_per_s / 1000 < 1.5


def test_batch_1_and_the_fastest_batch_are_named():
    measured = {1: (100.0, 9.0), 8: (400.0, 2.0), 16: (390.0, 2.1)}
    assert of_one_and_best("cnn", 2, measured) == [
        Limit("bare ONNX Runtime, batch 1, 2 threads", "cnn", 100.0, 9.0),
        Limit("bare ONNX Runtime, batch 8, 2 threads", "cnn", 400.0, 2.0),
    ]
