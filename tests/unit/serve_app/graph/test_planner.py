"""Plans: what they execute, for which rows, and every fault with its place."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from serve_app.config.graph import GraphConfig
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.types import TensorSpec

PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}
SIGNATURE = NodeModel(
    (TensorSpec("pixels", Datatype.FP32, (-1, 2)),),
    (TensorSpec("scores", Datatype.FP32, (-1, 2)), TensorSpec("label", Datatype.INT64, (-1,))),
)
SMALL = {"kind": "model", "name": "small", "source": "s"}
BIG = {"kind": "model", "name": "big", "source": "b"}
MEAN = {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["small.scores", "big.scores"]}
CASCADE = {"kind": "cascade", "name": "c", "first": "small", "then": "big", "confidence": "scores", "threshold": 0.6}
HALVED = {"kind": "transform", "name": "half", "input": "pixels", "steps": [{"op": "scale", "factor": 0.5}]}


class Scores:
    """The input is the scores; remembers the rows that it was given."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor, self.seen = factor, []

    def __call__(self, inputs):
        scores = inputs["pixels"] * np.float32(self.factor)
        assert inputs["pixels"].flags.c_contiguous
        self.seen.append(len(scores))
        return {"scores": scores, "label": scores.argmax(axis=1)}


def graph(*nodes, outputs=None, inputs=(PIXELS,)) -> GraphConfig:
    last = nodes[-1]["name"]
    given = outputs or {"y": f"{last}.y"}
    return GraphConfig.model_validate({"inputs": list(inputs), "nodes": list(nodes), "outputs": given})


def models(small=None, big=None) -> dict[str, NodeModel]:
    return {"small": replace(SIGNATURE, predict=small), "big": replace(SIGNATURE, predict=big)}


ROWS = np.array([[0.9, 0.1], [0.5, 0.4], [0.2, 0.7], [0.55, 0.45]], np.float32)


def test_nodes_run_in_the_order_of_their_needs_whatever_the_file_says():
    big = {**BIG, "inputs": {"pixels": "half.y"}}
    declared = graph(MEAN, big, HALVED, SMALL, outputs={"y": "mean.y"})
    plan = plan_graph(declared, models(Scores(), Scores()))
    assert plan.findings == []
    np.testing.assert_array_equal(
        plan.run({"pixels": ROWS})["y"], np.average([ROWS, ROWS * np.float32(0.5)], axis=0).astype(np.float32)
    )


def test_outputs_have_the_graphs_names_and_order():
    plan = plan_graph(
        graph(SMALL, outputs={"class": "small.label", "s": "small.scores", "in": "pixels"}), models(Scores())
    )
    assert [(spec.name, spec.shape) for spec in plan.outputs] == [("class", (-1,)), ("s", (-1, 2)), ("in", (-1, 2))]
    assert list(plan.run({"pixels": ROWS})) == ["class", "s", "in"]


@pytest.mark.parametrize(
    ("method", "weights", "expected"),
    [
        ("mean", (), (ROWS + 3 * ROWS) / 2),
        ("mean", (3, 1), (3 * ROWS + 3 * ROWS) / 4),
        ("max", (), 3 * ROWS),
    ],
)
def test_ensembles_of_numbers(method, weights, expected):
    node = {**MEAN, "method": method, "weights": list(weights)}
    answer = plan_graph(graph(SMALL, BIG, node), models(Scores(), Scores(3))).run({"pixels": ROWS})["y"]
    np.testing.assert_allclose(answer, expected, rtol=1e-6)
    assert answer.dtype == np.float32


@pytest.mark.parametrize(("weights", "expected"), [((), [0, 0, 0, 0]), ((1, 3), [1, 1, 0, 1]), ((3, 1), [0, 0, 1, 0])])
def test_votes_go_by_weight_and_the_lowest_of_equals_wins(weights, expected):
    node = {**MEAN, "method": "vote", "members": ["small.label", "big.label"], "weights": list(weights)}
    plan = plan_graph(graph(SMALL, BIG, node), models(Scores(), Scores(-1)))
    assert plan.findings == []
    assert plan.run({"pixels": ROWS})["y"].tolist() == expected


def test_a_cascade_sends_on_only_the_rows_that_are_unsure():
    small, big = Scores(), Scores(10)
    outputs = {"scores": "c.scores", "label": "c.label"}
    plan = plan_graph(graph(SMALL, BIG, CASCADE, outputs=outputs), models(small, big))
    assert plan.findings == []
    answer = plan.run({"pixels": ROWS})
    np.testing.assert_array_equal(answer["scores"], ROWS * np.float32([[1], [10], [1], [10]]))
    assert (small.seen, big.seen) == ([4], [2])
    sure = ROWS[[0, 2]]
    np.testing.assert_array_equal(plan.run({"pixels": sure})["scores"], sure)
    assert big.seen == [2]


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
OTHER_INPUTS = (
    {"name": "text", "datatype": "BYTES", "shape": [-1]},
    {**PIXELS, "name": "maybe", "allow_nan": True},
)
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
    "no such input": ((RENAMED,), {"y": "small.label"}, (*NODES, 0, "inputs", "image"), "s has no input 'image'"),
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


@pytest.mark.parametrize(("nodes", "outputs", "path", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_has_its_place(nodes, outputs, path, says):
    inputs = (PIXELS, *(one for one in OTHER_INPUTS if one["name"] in str(nodes)))
    findings = plan_graph(graph(*nodes, outputs=outputs or None, inputs=inputs), models()).findings
    assert path in [place for place, _ in findings]
    (message,) = [message for place, message in findings if place == path]
    assert re.search(says, message), message


def test_an_inputs_name_cannot_be_taken_for_a_nodes_output():
    dotted = {**PIXELS, "name": "half.y"}
    found = plan_graph(graph(HALVED, inputs=(PIXELS, dotted)), models()).findings
    assert (("nodes", 0, "name"), "'half' is an input's name already: 'half.y'") in found


def test_two_stages_must_have_the_same_outputs():
    other = replace(SIGNATURE, outputs=(TensorSpec("scores", Datatype.FP32, (-1, 3)),))
    found = plan_graph(
        graph(SMALL, BIG, CASCADE, outputs={"y": "c.label"}), {"small": SIGNATURE, "big": other}
    ).findings
    assert [(path, "big has" in message) for path, message in found] == [(("nodes", 2, "then"), True)] * 2


def test_what_hangs_on_an_unknown_model_is_not_blamed():
    assert plan_graph(graph(SMALL, BIG, MEAN), {"small": SIGNATURE}).findings == []


WHO = {"name": "who", "datatype": "BYTES", "shape": [-1]}
SWITCH = {"kind": "switch", "name": "w", "input": "who", "cases": {"a": "small", "b": "big"}}


def switched(*nodes, small, big, who=(b"a", b"b", b"b", b"a"), **changes):
    declared = graph(SMALL, *nodes, {**SWITCH, **changes}, outputs={"scores": "w.scores"}, inputs=(PIXELS, WHO))
    plan = plan_graph(declared, models(small, big))
    assert plan.findings == []
    return plan.run({"pixels": ROWS, "who": np.array(who, object)})["scores"]


def test_a_switch_gives_each_row_to_the_node_that_it_names():
    small, big = Scores(), Scores(10)
    np.testing.assert_array_equal(
        switched(BIG, small=small, big=big), ROWS * np.array([[1], [10], [10], [1]], np.float32)
    )
    assert (small.seen, big.seen) == ([2], [2])


def test_rows_that_agree_stay_together_and_other_nodes_see_none():
    small, big = Scores(), Scores(10)
    np.testing.assert_array_equal(switched(BIG, small=small, big=big, who=[b"a"] * 4), ROWS)
    assert (small.seen, big.seen) == ([4], [])


def test_a_value_without_a_case_goes_to_the_default_or_is_refused_with_the_cases():
    np.testing.assert_array_equal(
        switched(BIG, small=Scores(), big=Scores(10), who=[b"z"] * 4, default="big"), ROWS * np.float32(10)
    )
    with pytest.raises(InvalidInput, match=r"'who' is 'z'; node 'w' takes: a, b"):
        switched(BIG, small=Scores(), big=Scores(), who=[b"a", b"z", b"a", b"a"])


def test_what_only_a_branch_needs_is_executed_for_the_branchs_rows_only():
    small, big = Scores(), Scores(10)
    fed = {**BIG, "inputs": {"pixels": "half.y"}}
    answer = switched(HALVED, fed, small=small, big=big)
    np.testing.assert_array_equal(answer, ROWS * np.array([[1], [5], [5], [1]], np.float32))
    plan = plan_graph(
        graph(SMALL, HALVED, fed, SWITCH, outputs={"scores": "w.scores"}, inputs=(PIXELS, WHO)), models(small, big)
    )
    assert [step.name for step in plan.steps.steps] == ["w"]


def test_a_cascade_may_be_a_switchs_case():
    third = {"kind": "model", "name": "third", "source": "t"}
    declared = graph(
        SMALL,
        BIG,
        third,
        CASCADE,
        {**SWITCH, "cases": {"a": "third", "b": "c"}},
        outputs={"scores": "w.scores"},
        inputs=(PIXELS, WHO),
    )
    small, big = Scores(), Scores(10)
    plan = plan_graph(declared, {**models(small, big), "third": replace(SIGNATURE, predict=Scores(3))})
    assert plan.findings == []
    answer = plan.run({"pixels": ROWS, "who": np.array([b"a", b"b", b"b", b"a"], object)})["scores"]
    np.testing.assert_array_equal(answer, ROWS * np.array([[3], [10], [1], [3]], np.float32))
    assert (small.seen, big.seen) == ([2], [1])


def test_a_stack_is_what_a_model_over_the_members_takes():
    wide = NodeModel((TensorSpec("x", Datatype.FP32, (-1, 4)),), (TensorSpec("z", Datatype.FP32, (-1, 4)),), dict)
    stack = {**MEAN, "name": "stack", "method": "stack"}
    over = {"kind": "model", "name": "over", "source": "o", "inputs": {"x": "stack.y"}}
    wide = replace(wide, predict=lambda inputs: {"z": inputs["x"]})
    plan = plan_graph(
        graph(SMALL, BIG, stack, over, outputs={"z": "over.z"}), {**models(Scores(), Scores(2)), "over": wide}
    )
    assert plan.findings == []
    np.testing.assert_array_equal(plan.run({"pixels": ROWS})["z"], np.hstack([ROWS, ROWS * np.float32(2)]))


def test_a_ragged_model_cannot_have_replicas_of_its_own():
    ragged = {**models(), "small": replace(SIGNATURE, is_ragged=True)}
    outputs = {"y": "small.scores"}
    assert plan_graph(graph(SMALL, outputs=outputs), ragged).findings == []
    assert plan_graph(graph({**SMALL, "placement": "own"}, outputs=outputs), ragged).findings == [
        (("nodes", 0, "placement"), "s has batching.ragged, which is for fused nodes only")
    ]


def test_transforms_of_several_tensors_are_wired_by_their_outputs_names():
    best = {"kind": "transform", "name": "best", "input": "j.y", "steps": [{"op": "top_k", "k": 2}]}
    plan = plan_graph(graph(JOINED, best, outputs={"at": "best.indices", "all": "j.y"}), {})
    assert plan.findings == []
    answer = plan.run({"pixels": ROWS})
    np.testing.assert_array_equal(answer["all"], np.hstack([ROWS, ROWS]))
    assert answer["at"].tolist() == [[0, 2], [0, 2], [1, 3], [0, 2]]


def test_what_was_imputed_goes_into_a_model():
    filled = {**MAYBE, "steps": [{"op": "scale", "factor": 2}, {"op": "impute", "values": [0.25, 0.5]}]}
    declared = graph(filled, FED, outputs={"scores": "small.scores"}, inputs=(OTHER_INPUTS[1],))
    plan = plan_graph(declared, models(Scores()))
    assert plan.findings == []
    assert plan.run({"maybe": np.float32([[np.nan, 1], [2, np.inf]])})["scores"].tolist() == [[0.25, 2], [4, 0.5]]


def test_a_plan_knows_what_a_warm_up_may_give_it():
    photo = {"name": "photo", "datatype": "BYTES", "shape": [-1]}
    decode = {"op": "decode_image", "height": 2, "width": 2}
    image = {"kind": "transform", "name": "image", "input": "photo", "steps": [decode]}
    plan = plan_graph(graph(image, inputs=(photo,)), {})
    assert list(plan.samples) == ["photo"]
    plan.load()
    assert not plan.run({"photo": np.array([plan.samples["photo"]], object)})["y"].any()
