"""A small encoder of random weights, beside PyTorch's own layers with the same weights."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from serve_app.samples.bert_graph import encoder

WIDTH, INNER, HEADS, LAYERS, WORDS, PLACES = 8, 12, 2, 2, 11, 6


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shapes = {
        "embeddings.word_embeddings.weight": (WORDS, WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
    }
    shapes |= {"embeddings.token_type_embeddings.weight": (2, WIDTH), "pooler.dense.weight": (WIDTH, WIDTH)}
    shapes |= {f"embeddings.LayerNorm.{part}": (WIDTH,) for part in ("weight", "bias")}
    for layer in range(LAYERS):
        home = f"encoder.layer.{layer}"
        dense = {f"attention.self.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
        dense |= {"attention.output.dense": (WIDTH, WIDTH), "intermediate.dense": (INNER, WIDTH)}
        dense |= {"output.dense": (WIDTH, INNER)}
        for name, shape in dense.items():
            shapes |= {f"{home}.{name}.weight": shape, f"{home}.{name}.bias": shape[:1]}
        shapes |= {
            f"{home}.{name}.LayerNorm.{part}": (WIDTH,)
            for name in ("attention.output", "output")
            for part in ("weight", "bias")
        }
    made = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {**made, "embeddings.position_ids": np.arange(PLACES)}


@pytest.fixture(scope="module")
def session(weights) -> onnxruntime.InferenceSession:
    model = encoder(weights, HEADS).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def by_torch(weights, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The same by torch.nn.TransformerEncoderLayer."""
    held = {name: torch.from_numpy(array) for name, array in weights.items()}
    state = (
        held["embeddings.word_embeddings.weight"][ids] + held["embeddings.position_embeddings.weight"][: ids.shape[1]]
    )
    state = state + held["embeddings.token_type_embeddings.weight"][0]
    norm = [held[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias")]
    state = torch.nn.functional.layer_norm(state, (WIDTH,), *norm, eps=1e-12)
    for index in range(LAYERS):
        home = f"encoder.layer.{index}"
        layer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, INNER, 0.0, "gelu", 1e-12, batch_first=True)
        own = {}
        for part in ("weight", "bias"):
            joined = [held[f"{home}.attention.self.{kind}.{part}"] for kind in ("query", "key", "value")]
            own[f"self_attn.in_proj_{part}"] = torch.cat(joined)
            own[f"self_attn.out_proj.{part}"] = held[f"{home}.attention.output.dense.{part}"]
            own[f"norm1.{part}"] = held[f"{home}.attention.output.LayerNorm.{part}"]
            own[f"norm2.{part}"] = held[f"{home}.output.LayerNorm.{part}"]
            own[f"linear1.{part}"] = held[f"{home}.intermediate.dense.{part}"]
            own[f"linear2.{part}"] = held[f"{home}.output.dense.{part}"]
        layer.load_state_dict(own)
        with torch.no_grad():
            state = layer.train()(
                state, src_key_padding_mask=torch.from_numpy(mask == 0)
            )  # eval would take a fast path
    return state.numpy()


def test_states_are_those_of_pytorch_s_layers(weights, session):
    ids, mask = np.array([[1, 5, 9, 2], [3, 4, 0, 0]]), np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    (states,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
    expected = by_torch(weights, ids, mask)
    np.testing.assert_allclose(states[mask == 1], expected[mask == 1], atol=1e-5)


def test_padding_has_no_say(session):
    (alone,) = session.run(None, {"input_ids": np.array([[3, 4]]), "attention_mask": np.array([[1, 1]])})
    padded = {"input_ids": np.array([[3, 4, 7, 8, 9]]), "attention_mask": np.array([[1, 1, 0, 0, 0]])}
    np.testing.assert_allclose(session.run(None, padded)[0][:, :2], alone, atol=1e-6)


def test_rows_and_tokens_are_free_and_nothing_else_is_taken(weights):
    graph = encoder(weights, HEADS).graph
    assert [tensor.name for tensor in graph.input] == ["input_ids", "attention_mask"]
    assert [axis.dim_param for axis in graph.input[0].type.tensor_type.shape.dim] == ["rows", "tokens"]
    assert not any("pooler" in constant.name for constant in graph.initializer)
