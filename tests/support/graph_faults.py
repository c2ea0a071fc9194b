"""Graphs that are wrong, each with the place and the sentence of its fault.

The models are `small` and `big`: FP32 `pixels` [-1, 2] to FP32 `scores` [-1, 2] and INT64 `label` [-1]. A graph's
inputs are those of `inputs_of`.
"""

from __future__ import annotations

PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}
SMALL = {"kind": "model", "name": "small", "source": "s"}
BIG = {"kind": "model", "name": "big", "source": "b"}
MEAN = {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["small.scores", "big.scores"]}
CASCADE = {"kind": "cascade", "name": "c", "first": "small", "then": "big", "confidence": "scores", "threshold": 0.6}
HALVED = {"kind": "transform", "name": "half", "input": "pixels", "steps": [{"op": "scale", "factor": 0.5}]}

LABEL_IN = {"name": "label", "datatype": "INT64", "shape": [-1]}
STEPS = [{"op": "argmax"}]
NODES = ("nodes",)
MEMBER = (*NODES, 2, "members")
LOOP = {**HALVED, "name": "b", "input": "half.y"}
LABELS = {**MEAN, "members": ["small.label", "big.label"]}
MIXED = {**MEAN, "members": ["small.scores", "small.label"]}
FED = {**SMALL, "inputs": {"pixels": "half.y"}}
RENAMED = {**SMALL, "inputs": {"image": "pixels"}}
SHAPED = {**HALVED, "steps": [{"op": "reshape", "shape": [7]}]}
ANSWER = {"y": "c.label"}
TEXT_IN = {"name": "text", "datatype": "BYTES", "shape": [-1]}
MAYBE_IN = {**PIXELS, "name": "maybe", "allow_nan": True}
TRANSFORM = (*NODES, 0, "steps")
TOKENISE = {"op": "tokenise", "tokenizer": "nowhere/tokenizer.json", "max_length": 8}
TOKENS = {"kind": "transform", "name": "tokens", "input": "text", "steps": [TOKENISE]}
JOINED = {"kind": "transform", "name": "j", "input": ["pixels", "pixels"], "steps": [{"op": "concat"}]}
MAYBE = {**HALVED, "input": "maybe"}
FAULTS = {
    "dangling": ((SMALL, {**HALVED, "input": "x.y"}), {}, (*NODES, 1, "input"), "'x.y' is not there"),
    "output of a node": ((SMALL, {**HALVED, "input": "small.x"}), {}, (*NODES, 1, "input"), "'small.x' is not there"),
    "circle": (({**HALVED, "input": "b.y"}, LOOP), {}, (*NODES, 0), "go in a circle: half <- b <- half"),
    "itself": (({**HALVED, "input": "half.y"},), {}, (*NODES, 0), "circle"),
    "unused": ((SMALL, HALVED), {"y": "half.y"}, (*NODES, 0), "'small' is used by no other node and no output"),
    "twice": ((HALVED, HALVED), {}, (*NODES, 1, "name"), "a second node named 'half'"),
    "an input": (({**HALVED, "name": "pixels"},), {"y": "pixels"}, (*NODES, 0, "name"), "is an input's name already"),
    "output": ((HALVED,), {"y": "half.z"}, ("outputs", "y"), "'half.z' is not there; there are: pixels, half.y"),
    "wrong shape": (
        ({**HALVED, "steps": STEPS}, FED),
        {"y": "small.label"},
        (*NODES, 1, "inputs", "pixels"),
        r"half.y is INT64 \[-1\], but the model's input 'pixels' is FP32 \[-1, 2\]",
    ),
    "no such input": ((RENAMED,), {"y": "small.label"}, (*NODES, 0, "inputs", "image"), "has no input 'image'"),
    "operation": ((SHAPED,), {}, (*NODES, 0, "steps", 0), "does not fit rows"),
    "members differ": (
        (SMALL, MIXED),
        {},
        (*NODES, 1, "members", 1),
        r"small.label is INT64 \[-1\], but small.scores is FP32 \[-1, 2\]",
    ),
    "vote on scores": ((SMALL, BIG, {**MEAN, "method": "vote"}), {}, (*MEMBER, 0), "vote takes a label a row"),
    "mean of labels": ((SMALL, BIG, LABELS), {}, (*MEMBER, 0), "mean takes floats"),
    "no such target": (
        (SMALL, {**CASCADE, "then": "nobody"}),
        ANSWER,
        (*NODES, 1),
        "'nobody' is no node of this graph; there are: small",
    ),
    "no such first": ((BIG, {**CASCADE, "first": "who"}), ANSWER, (*NODES, 1, "first"), "'who' is no node"),
    "the same twice": (
        (SMALL, {**CASCADE, "then": "small"}),
        ANSWER,
        (*NODES, 1, "first"),
        "'small' is executed only by 'c'",
    ),
    "two routers": (
        (SMALL, BIG, CASCADE, {"kind": "split", "name": "s", "weights": {"small": 1, "big": 1}}),
        {**ANSWER, "z": "s.label"},
        (*NODES, 3),
        "the node 'big' is executed by 'c' already",
    ),
    "a member twice": (
        (SMALL, BIG, {**MEAN, "members": ["small.scores", "big.scores", "big.scores"], "quorum": 1}),
        {},
        (*NODES, 2),
        "the node 'big' is executed by 'mean' already",
    ),
    "no such member": (
        (SMALL, BIG, {**MEAN, "members": ["small.scores", "big.score"], "quorum": 1}),
        {},
        (*NODES, 2, "members", 1),
        "'big.score' is no output of a node",
    ),
    "targets differ": (
        (SMALL, HALVED, {"kind": "fallback", "name": "f", "targets": ["half", "small"]}),
        {"y": "f.y"},
        (*NODES, 2, "targets"),
        r"half.y is FP32 \[-1, 2\], small has nothing of that name",
    ),
    "switch on floats": (
        (SMALL, BIG, {"kind": "switch", "name": "w", "input": "pixels", "cases": {"1": "small", "2": "big"}}),
        {"y": "w.label"},
        (*NODES, 2, "input"),
        r"a switch goes by an integer, BOOL or BYTES a row, not FP32 \[-1, 2\]",
    ),
    "stack of labels": ((SMALL, BIG, {**LABELS, "method": "stack"}), {}, (*MEMBER, 0), "stack takes floats"),
    "one of several inputs": (({**JOINED, "input": ["pixels", "x.y"]},), {}, (*NODES, 0, "input", 1), "'x.y' is not"),
    "several into one": (({**JOINED, "steps": STEPS},), {}, (*TRANSFORM, 0), "argmax takes one input, not 2"),
    "one into several": (({**HALVED, "steps": [{"op": "concat"}]},), {}, (*TRANSFORM, 0), "concat takes several"),
    "several not last": (
        ({**HALVED, "steps": [{"op": "top_k", "k": 1}, {"op": "softmax"}]},),
        {},
        (*TRANSFORM, 0),
        r"top_k gives several tensors \(indices, scores\), so it must be the last step",
    ),
    "an output of several": (
        ({**HALVED, "steps": [{"op": "top_k", "k": 1}]},),
        {},
        ("outputs", "y"),
        "'half.y' is not there; there are: .*half.indices, half.scores",
    ),
    "no tokenizer": ((TOKENS,), {"y": "tokens.input_ids"}, (*TRANSFORM, 0), "no file 'nowhere/tokenizer.json'"),
    "no text": (({**TOKENS, "input": "pixels"},), {"y": "tokens.input_ids"}, (*TRANSFORM, 0), "takes a text a row"),
    "no image": (
        ({**HALVED, "steps": [{"op": "decode_image", "height": 8, "width": 8}]},),
        {},
        (*TRANSFORM, 0),
        r"takes an image a row, BYTES \[-1\], not FP32 \[-1, 2\]",
    ),
    "no pixels": (
        ({**HALVED, "steps": [{"op": "resize", "height": 8, "width": 8}]},),
        {},
        (*TRANSFORM, 0),
        "resize takes pixels",
    ),
    "impute in vain": (
        ({**HALVED, "steps": [{"op": "impute", "values": [0]}]},),
        {},
        (*TRANSFORM, 0),
        "impute has no effect",
    ),
    "NaN into a model": (
        (MAYBE, FED),
        {"y": "small.label"},
        (*NODES, 1, "inputs", "pixels"),
        "half.y may have NaN, the model's input 'pixels' takes none: impute before it",
    ),
    "then elsewhere": (
        (SMALL, BIG, CASCADE),
        {**ANSWER, "z": "big.label"},
        ("outputs", "z"),
        "'big' is executed only by 'c', not for every row",
    ),
    "confidence": (
        (SMALL, BIG, {**CASCADE, "confidence": "label"}),
        ANSWER,
        (*NODES, 2, "confidence"),
        "no output with a float for each class: scores",
    ),
}


def inputs_of(nodes):
    """Pixels, and of the other inputs those that a node takes."""
    taken = {node.get("input") for node in nodes if isinstance(node.get("input"), str)}
    return (PIXELS, *(one for one in (TEXT_IN, MAYBE_IN) if one["name"] in taken))
