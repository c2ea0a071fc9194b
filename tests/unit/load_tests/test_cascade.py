"""What a pass counts, on a graph whose second model sees known rows."""

from __future__ import annotations

import numpy as np
import pytest

from load_tests.cascade import BATCH_ROWS, one_pass
from load_tests.graph_cost import bare, sample
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out


def test_a_pass_counts_right_rows_and_those_of_the_second_model():
    pixels, right = (array[: BATCH_ROWS + 36] for array in held_out("digits"))
    first = load_model(bare("v1")).predict({"pixels": pixels})
    release = sample("digits-cascade-v1")
    (threshold,) = [node.threshold for node in release.graph.nodes if node.kind == "cascade"]
    found = one_pass(load_model(release).predict, pixels, right)
    assert found.second_share == pytest.approx((first["probabilities"].max(axis=1) < threshold).mean())
    assert 0 < found.second_share < 0.5
    assert found.accuracy >= (first["label"] == right).mean()
    assert found.ms > 0


def test_a_model_alone_has_no_second():
    labels = np.arange(BATCH_ROWS + 1)
    found = one_pass(lambda inputs: {"label": inputs["pixels"]}, labels, np.where(labels < 13, labels, 0))
    assert (found.accuracy, found.second_share) == (13 / 65, 0.0)
