"""The graphs that are measured are graphs, and their times are medians of turns."""

from __future__ import annotations

import numpy as np

from load_tests.graph_cost import CHAIN, bare, chain, median_ms, sample
from serve_app.dataflow.model import load_model
from serve_app.samples.data import held_out


def test_the_chain_answers_as_its_model():
    pixels = held_out("digits")[0][:20]
    own, alone = load_model(chain()).predict({"pixels": pixels}), load_model(bare("v1")).predict({"pixels": pixels})
    np.testing.assert_array_equal(own["label"], alone["label"])
    assert len(chain().graph.nodes) == CHAIN + 1


def test_samples_are_those_of_the_file():
    assert [node.kind for node in sample("digits-cascade-v1").graph.nodes] == ["model", "model", "cascade"]


def test_every_way_has_its_turn_in_every_round():
    order: list[str] = []
    ways = {name: lambda inputs, name=name: order.append(name) or inputs for name in ("a", "b")}
    taken = median_ms(ways, np.zeros((1, 64), np.float32), 3)
    assert order == ["a", "b"] * 3
    assert all(ms > 0 for ms in taken.values())
