"""Plans: what they execute, for which rows, and every fault with its place."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from support.graph_faults import (
    BIG,
    CASCADE,
    FAULTS,
    FED,
    HALVED,
    JOINED,
    MAYBE,
    MAYBE_IN,
    MEAN,
    PIXELS,
    SMALL,
    inputs_of,
)

from serve_app.batching.executing import Executing, executing
from serve_app.config.graph import GraphConfig
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.types import BlockEntry, TensorSpec

SIGNATURE = NodeModel(
    (TensorSpec("pixels", Datatype.FP32, (-1, 2)),),
    (TensorSpec("scores", Datatype.FP32, (-1, 2)), TensorSpec("label", Datatype.INT64, (-1,))),
)


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


@pytest.mark.parametrize(("nodes", "outputs", "path", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_has_its_place(nodes, outputs, path, says):
    findings = plan_graph(graph(*nodes, outputs=outputs or None, inputs=inputs_of(nodes)), models()).findings
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
    with (
        executing(Executing(owners=((BlockEntry(4), 4),))),
        pytest.raises(InvalidInput, match=r"'who' is 'z'; node 'w' takes: a, b"),
    ):
        switched(BIG, small=Scores(), big=Scores(), who=[b"a", b"z", b"a", b"a"])


def test_a_warm_up_that_no_case_was_written_for_goes_to_the_first():
    np.testing.assert_array_equal(switched(BIG, small=Scores(), big=Scores(10), who=[b""] * 4), ROWS)


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
    declared = graph(filled, FED, outputs={"scores": "small.scores"}, inputs=(MAYBE_IN,))
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
