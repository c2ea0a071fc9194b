"""Sentences of many lengths, and a comparison whose ways have their turns."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from support.versions import doubling, write_version

from load_tests import text_lengths
from load_tests.text_lengths import LENGTHS, Measured, measure, release, sentences, without_lengths, words
from serve_app.repository.store import open_version


def test_sentences_have_the_words_asked_for(tmp_path):
    vocabulary = {"[PAD]": 0, "a": 1, "##ing": 2, "graph": 3, "of": 4, "né": 5, "10": 6}
    (tmp_path / "t.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    known = words(tmp_path / "t.json")
    assert known == ["graph", "of"]
    texts = sentences(np.array([1, 5]), known, np.random.default_rng(0))
    assert (texts.dtype, [len(text.split()) for text in texts]) == (object, [1, 5])
    assert {word for text in texts for word in text.split()} <= {b"graph", b"of"}


@pytest.mark.parametrize("lengths", LENGTHS.values())
def test_lengths_are_from_3_to_200(lengths):
    found = lengths(np.random.default_rng(0), 20_000)
    assert (found.min(), found.max()) == (3, 200)


def test_as_many_of_each_size_means_as_many_from_a_length_to_twice_as_long():
    found = text_lengths.as_many_of_each_size(np.random.default_rng(0), 20_000)
    shares = [np.mean((found >= low) & (found < high)) for low, high in pairwise((3, 6, 12, 24, 48, 96, 192))]
    np.testing.assert_allclose(shares, np.log(2) / np.log(201 / 3), atol=0.02)


def test_both_ways_have_every_batch_and_the_largest_difference_counts():
    given = []

    def way(offset):
        def predict(inputs):
            given.append((offset, len(inputs["text"])))
            return {"embedding": np.full((len(inputs["text"]), 2), offset, float)}

        return predict

    batches = [np.full(rows, b"a", object) for rows in (2, 3)]
    found = measure(way(0.0), way(0.25), batches)
    assert given == [(0.0, 2), (0.25, 2), (0.0, 3), (0.25, 3)]
    assert found.difference == 0.25
    assert Measured(30.0, 10.0, 0.0).ratio == 3


def test_the_other_encoder_is_the_same_without_its_lengths(tmp_path):
    batching = {"max_rows": 4, "ragged": {"lengths": [2, 8], "pad": {"x": 0}}}
    own = write_version(tmp_path / "own", doubling(), {"batching": batching})
    (tmp_path / "other").mkdir()
    other = without_lengths(own, tmp_path / "other")
    before, after = (open_version(str(source)).manifest for source in (own, other))
    assert (after.batching.ragged, after.batching.max_rows, after.batching.allowed_rows) == (None, 4, (4,))
    assert after.sha256 == before.sha256


def test_the_graph_is_that_of_the_file_with_the_encoder_asked_for(tmp_path):
    graph = release(tmp_path).graph
    assert [node.source for _, node in graph.models] == [str(tmp_path)]
    assert graph.nodes[0].steps[0].tokenizer == str(tmp_path / "tokenizer.json")
