from __future__ import annotations

import numpy as np

from load_tests.denormals import EXECUTIONS, us_of, ways
from load_tests.models import digits


def test_both_ways_answer_right():
    workload = digits()
    by_itself, ours = ways(workload.source)
    inputs = {"pixels": workload.rows}
    probabilities, labels = by_itself(inputs)
    answer = ours(inputs)
    assert np.array_equal(labels, workload.expected)
    assert np.array_equal(answer["label"], workload.expected)
    assert np.allclose(answer["probabilities"], probabilities, atol=1e-6)


def test_an_execution_is_the_mean_of_some():
    seen = []
    assert us_of(seen.append, {}) > 0
    assert len(seen) == EXECUTIONS
