"""BERT's encoder as an ONNX graph, from weights as Hugging Face names them: no PyTorch, no transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serve_app.types import Array

_OPSET, _IR_VERSION = 20, 9  # the first with Gelu; every ONNX Runtime since 1.17 reads these
_EPSILON = 1e-12
_NEVER = -1e9  # added to the score of a token that is padding


def encoder(weights: Mapping[str, Array], heads: int) -> onnx.ModelProto:
    """The encoder of texts that are one segment each.

    Args:
        weights: `embeddings.word_embeddings.weight` and so on, FP32; what is not the encoder's is left out.
        heads: Of each layer's attention.

    Returns:
        `input_ids` and `attention_mask`, INT64 [rows, tokens], to `last_hidden_state`, FP32 [rows, tokens, width].
        Tokens whose mask is 0 have no say in the others' states.
    """
    graph = _Graph({name: array.astype(np.float32) for name, array in weights.items() if array.dtype.kind == "f"})
    state, mask = graph.embedded(), graph.added_mask()
    for layer in range(_layers(weights)):
        state = _layer(graph, f"encoder.layer.{layer}", state, mask, heads)
    graph.node("Identity", [state], "last_hidden_state")
    return graph.model(weights["embeddings.word_embeddings.weight"].shape[1])


def _layers(weights: Mapping[str, Array]) -> int:
    return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder.layer."))


def _layer(graph: _Graph, name: str, state: str, mask: str, heads: int) -> str:
    """Attention and the two dense layers behind it, each with what it was given added."""
    width = graph.weights[f"{name}.attention.self.query.weight"].shape[0] // heads
    split = graph.constant(f"{name}.split", np.array([0, 0, heads, width], np.int64))  # 0 keeps an axis
    joined = graph.constant(f"{name}.joined", np.array([0, 0, heads * width], np.int64))
    scale = graph.constant(f"{name}.scale", np.array(width**0.5, np.float32))

    def part(kind: str, order: list[int]) -> str:
        dense = graph.dense(f"{name}.attention.self.{kind}", state)
        return graph.node("Transpose", [graph.node("Reshape", [dense, split])], perm=order)

    query, key, value = part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]), part("value", [0, 2, 1, 3])
    scores = graph.node("Add", [graph.node("Div", [graph.node("MatMul", [query, key]), scale]), mask])
    seen = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), value])
    seen = graph.node("Reshape", [graph.node("Transpose", [seen], perm=[0, 2, 1, 3]), joined])
    state = graph.residual(f"{name}.attention.output", seen, state)
    wide = graph.node("Gelu", [graph.dense(f"{name}.intermediate.dense", state)])
    return graph.residual(f"{name}.output", wide, state)


@dataclass(slots=True)
class _Graph:
    """Nodes so far, and the weights that they use."""

    weights: Mapping[str, Array]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        """Add a node with one output, and give that one's name."""
        name = output or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name: str, array: Array) -> str:
        """Add a constant, and give its name."""
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def dense(self, name: str, state: str) -> str:
        """`state @ weight + bias`; Hugging Face's weights are the other way round."""
        weight = self.constant(f"{name}.weight", self.weights[f"{name}.weight"].T)
        bias = self.constant(f"{name}.bias", self.weights[f"{name}.bias"])
        return self.node("Add", [self.node("MatMul", [state, weight]), bias])

    def normalised(self, name: str, state: str) -> str:
        """Layer normalisation over the last axis."""
        parts = [self.constant(f"{name}.{part}", self.weights[f"{name}.{part}"]) for part in ("weight", "bias")]
        return self.node("LayerNormalization", [state, *parts], axis=-1, epsilon=_EPSILON)

    def residual(self, name: str, inner: str, state: str) -> str:
        """A dense layer with what was before added, normalised."""
        return self.normalised(f"{name}.LayerNorm", self.node("Add", [self.dense(f"{name}.dense", inner), state]))

    def embedded(self) -> str:
        """Embeddings of the tokens and of their places, all of them in the first segment."""
        words = self.constant("words", self.weights["embeddings.word_embeddings.weight"])
        segment = self.weights["embeddings.token_type_embeddings.weight"][0]
        places = self.constant("places", self.weights["embeddings.position_embeddings.weight"] + segment)
        length = self.node("Shape", ["input_ids"], start=1, end=2)
        place = self.node("Slice", [places, self.constant("begin", np.zeros(1, np.int64)), length])
        state = self.node("Add", [self.node("Gather", [words, "input_ids"]), place])
        return self.normalised("embeddings.LayerNorm", state)

    def added_mask(self) -> str:
        """What is added to scores: [rows, 1, 1, tokens], 0 where there is a token."""
        mask = self.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        mask = self.node("Unsqueeze", [mask, self.constant("inner_axes", np.array([1, 2], np.int64))])
        absent = self.node("Sub", [self.constant("one", np.array(1, np.float32)), mask])
        return self.node("Mul", [absent, self.constant("never", np.array(_NEVER, np.float32))])

    def model(self, width: int) -> onnx.ModelProto:
        """All of it, checked."""
        axes = ["rows", "tokens"]
        graph = helper.make_graph(
            self.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in ("input_ids", "attention_mask")],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, width])],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
