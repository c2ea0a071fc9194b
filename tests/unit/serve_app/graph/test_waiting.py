"""Graphs that wait for other threads and processes: side by side, in time, and without what is away."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import numpy as np
import pytest

from serve_app.batching.executing import Executing, executing
from serve_app.config.graph import GraphConfig
from serve_app.datatypes import Datatype
from serve_app.errors import DeadlineExceeded, InvalidInput, ModelRaised, ReplicaLost
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel, Plan
from serve_app.graph.planner import plan_graph
from serve_app.types import TensorSpec

PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [-1, 2]}
SIGNATURE = NodeModel((TensorSpec("pixels", Datatype.FP32, (-1, 2)),), (TensorSpec("scores", Datatype.FP32, (-1, 2)),))
ROWS = np.array([[0.9, 0.1], [0.5, 0.4]], np.float32)


def own(name: str, **changes: object) -> dict[str, object]:
    return {"kind": "model", "name": name, "source": name, "placement": "own", **changes}


class Elsewhere:
    """A model on a replica of its own: answers its input times a factor, once all of `waits_for` are under way.

    Attributes:
        calls: How often it was called.
        errors: Raised by the first calls, one each.
    """

    def __init__(self, factor: float, *waits_for: Elsewhere, errors=(), hangs: bool = False) -> None:
        self.factor, self.errors, self.calls, self.hangs, self.cancelled = factor, list(errors), 0, hangs, False
        self.begun, self._waits_for = asyncio.Event(), waits_for

    async def __call__(self, inputs, left_s):
        self.calls += 1
        self.begun.set()
        for other in self._waits_for:
            await other.begun.wait()
        try:
            if self.hangs:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.errors:
            raise self.errors.pop(0)
        return Called({"scores": inputs["pixels"] * np.float32(self.factor)})


def planned(*nodes, output, **calls) -> Plan:
    graph = GraphConfig.model_validate({"inputs": [PIXELS], "nodes": list(nodes), "outputs": {"y": output}})
    models = {
        name: replace(SIGNATURE, call=call) if isinstance(call, Elsewhere) else replace(SIGNATURE, predict=call)
        for name, call in calls.items()
    }
    plan = plan_graph(graph, models)
    assert plan.findings == []
    assert plan.waits
    return plan


def run(plan: Plan, deadline: float | None = None) -> tuple[np.ndarray, dict[str, str]]:
    """The answer, and what it was made without."""
    with executing(Executing(deadline=deadline)) as under_way:
        return plan.run({"pixels": ROWS})["y"], under_way.left_out


MEAN = {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["a.scores", "b.scores"]}
QUORUM = {**MEAN, "quorum": 1, "timeout_ms": 50}
LOST = ReplicaLost("m-v1")


def test_branches_run_side_by_side():
    a, b = Elsewhere(1), Elsewhere(3)
    a._waits_for, b._waits_for = (b,), (a,)  # would wait for ever one after the other
    answer, _ = run(planned(own("a"), own("b"), MEAN, output="mean.y", a=a, b=b))
    np.testing.assert_allclose(answer, 2 * ROWS)


def test_fused_models_among_own_ones_run_in_threads_of_their_own():
    fused = {"kind": "model", "name": "b", "source": "b"}
    plan = planned(
        own("a"), fused, MEAN, output="mean.y", a=Elsewhere(1), b=lambda inputs: {"scores": 3 * inputs["pixels"]}
    )
    np.testing.assert_allclose(run(plan)[0], 2 * ROWS)


def test_a_late_member_is_left_out_and_not_waited_for_again_at_once():
    late = Elsewhere(3, hangs=True)
    plan = planned(own("a"), own("b"), QUORUM, output="mean.y", a=Elsewhere(1), b=late)
    answer, left_out = run(plan)
    np.testing.assert_allclose(answer, ROWS)
    assert left_out.keys() == {"mean.b"}
    assert late.cancelled
    _, left_out = run(plan)
    assert left_out == {"mean.b": "away"}
    assert late.calls == 1


def test_a_member_that_is_back_is_used_again():
    lost = Elsewhere(3, errors=[LOST])
    plan = planned(own("a"), own("b"), QUORUM, output="mean.y", a=Elsewhere(1), b=lost)
    assert run(plan)[1] == {"mean.b": "away"}
    (mean,) = (step for step in plan.steps.steps if step.name == "mean")
    assert mean.waits
    later = Executing()
    later.clock = lambda: 1e12  # long after
    with executing(later):
        np.testing.assert_allclose(plan.run({"pixels": ROWS})["y"], 2 * ROWS)
    assert later.left_out == {}


def test_the_first_of_a_race_answers_and_the_other_is_cancelled():
    slow = Elsewhere(3, hangs=True)
    race = {"kind": "race", "name": "r", "targets": ["a", "b"]}
    answer, _ = run(planned(own("a"), own("b"), race, output="r.scores", a=slow, b=Elsewhere(2)))
    np.testing.assert_allclose(answer, 2 * ROWS)
    assert slow.cancelled


def test_a_race_whose_first_fails_goes_on():
    race = {"kind": "race", "name": "r", "targets": ["a", "b"]}
    failing, other = Elsewhere(3, errors=[ModelRaised("m-v1", "no")]), Elsewhere(2)
    other._waits_for = (failing,)
    answer, _ = run(planned(own("a"), own("b"), race, output="r.scores", a=failing, b=other))
    np.testing.assert_allclose(answer, 2 * ROWS)


def test_what_was_lost_is_tried_again_and_what_raised_is_not():
    twice = Elsewhere(2, errors=[LOST, LOST])
    np.testing.assert_allclose(run(planned(own("a", retries=2), output="a.scores", a=twice))[0], 2 * ROWS)
    wrong = Elsewhere(2, errors=[ModelRaised("m-v1", "no")])
    with pytest.raises(ModelRaised):
        run(planned(own("a", retries=2), output="a.scores", a=wrong))
    assert (twice.calls, wrong.calls) == (3, 1)


def test_a_node_keeps_to_its_time_and_to_what_is_left():
    with pytest.raises(DeadlineExceeded, match=r"0\.02"):
        run(planned(own("a", timeout_ms=20), output="a.scores", a=Elsewhere(1, hangs=True)))
    late = Executing(deadline=0.03, clock=lambda: 0.0)
    with executing(late), pytest.raises(DeadlineExceeded, match=r"0\.03"):
        planned(own("a"), output="a.scores", a=Elsewhere(1, hangs=True)).run({"pixels": ROWS})


def test_with_the_first_error_the_others_are_cancelled():
    slow, wrong = Elsewhere(3, hangs=True), Elsewhere(1, errors=[InvalidInput("row 0", "is no text")])
    wrong._waits_for = (slow,)
    with pytest.raises(InvalidInput):
        run(planned(own("a"), own("b"), MEAN, output="mean.y", a=wrong, b=slow))
    assert slow.cancelled


def test_a_fallback_by_time():
    slow = Elsewhere(3, hangs=True)
    fallback = {"kind": "fallback", "name": "f", "targets": ["a", "b"]}
    plan = planned(own("a", timeout_ms=20), own("b"), fallback, output="f.scores", a=slow, b=Elsewhere(2))
    answer, left_out = run(plan)
    np.testing.assert_allclose(answer, 2 * ROWS)
    assert left_out == {"f.a": "late"}


def test_a_request_that_allows_too_little_says_nothing_about_a_node():
    a, fallback = Elsewhere(2, hangs=True), {"kind": "fallback", "name": "f", "targets": ["a", "b"]}
    plan = planned(own("a"), own("b"), fallback, output="f.scores", a=a, b=Elsewhere(3))
    with executing(Executing(deadline=0.01, clock=lambda: 0.0)):
        plan.run({"pixels": ROWS})
    a.hangs = False
    answer, left_out = run(plan)
    np.testing.assert_allclose(answer, 2 * ROWS)
    assert left_out == {}


def test_what_a_loser_was_made_without_is_not_said():
    inner = {"kind": "fallback", "name": "f", "targets": ["a", "b"]}
    lost, slow = Elsewhere(1, errors=[LOST]), Elsewhere(2, hangs=True)
    first = Elsewhere(3)
    first._waits_for = (slow,)
    graph = GraphConfig.model_validate(
        {
            "inputs": [PIXELS],
            "nodes": [
                own("a"),
                own("b"),
                inner,
                own("c"),
                {**QUORUM, "name": "q", "members": ["f.scores", "c.scores"]},
            ],
            "outputs": {"y": "q.y"},
        }
    )
    calls = {"a": lost, "b": slow, "c": first}
    plan = plan_graph(graph, {name: replace(SIGNATURE, call=call) for name, call in calls.items()})
    assert plan.findings == []
    answer, left_out = run(plan)
    np.testing.assert_allclose(answer, 3 * ROWS)
    assert left_out == {"q.f": "late"}


def test_a_slow_transform_runs_beside_the_nodes_that_are_waited_for():
    steps = [{"op": "function", "function": f"{__name__}:tenfold", "datatype": "FP32", "shape": [-1, 2]}]
    node = {"kind": "transform", "name": "t", "input": "pixels", "steps": steps}
    mean = {**MEAN, "members": ["a.scores", "t.y"]}
    plan = planned(own("a"), node, mean, output="mean.y", a=Elsewhere(1))
    plan.load()
    np.testing.assert_allclose(run(plan)[0], 5.5 * ROWS)
    assert next(step for step in plan.steps.steps if step.name == "t").waits


def tenfold(x):
    return 10 * x


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ({"kind": "split", "name": "s", "weights": {"a": 1, "b": 1}}, "'s' chooses by the request"),
        ({"kind": "switch", "name": "s", "parameter": "lang", "cases": {"de": "a", "en": "b"}}, "a parameter of the"),
    ],
)
def test_an_answer_that_depends_on_the_request_is_not_remembered_by_anybody(inner, says):
    outer = {"kind": "fallback", "name": "f", "targets": ["s", "c"], "cache": {}}
    nodes = [own("a"), own("b"), own("c"), inner, outer]
    graph = GraphConfig.model_validate({"inputs": [PIXELS], "nodes": nodes, "outputs": {"y": "f.scores"}})
    ((path, message),) = plan_graph(graph, {name: SIGNATURE for name in "abc"}).findings
    assert (path, says in message) == (("nodes", 4, "cache"), True)


def test_a_remote_without_a_version_is_not_remembered():
    outputs = [{"name": "scores", "datatype": "FP32", "shape": [-1, 2]}]
    node = {"kind": "remote", "name": "a", "url": "h:1", "model": "m", "inputs": {"x": "pixels"}, "outputs": outputs}
    given = [{**node, "cache": {}}, {**node, "cache": {}, "version": "3"}]
    graphs = [
        GraphConfig.model_validate({"inputs": [PIXELS], "nodes": [one], "outputs": {"y": "a.scores"}}) for one in given
    ]
    ((path, message),) = plan_graph(graphs[0], {}).findings
    assert (path, "names no version" in message) == (("nodes", 0, "cache"), True)
    assert plan_graph(graphs[1], {}).findings == []


def test_remembered_rows_do_not_travel():
    there = Elsewhere(2)
    plan = planned(own("a", cache={}), output="a.scores", a=there)
    for _ in range(3):
        np.testing.assert_allclose(run(plan)[0], 2 * ROWS)
    assert there.calls == 1


FUSED = {"kind": "model", "name": "a", "source": "a"}
OTHER = {**FUSED, "name": "b"}
FALLBACK = {"kind": "fallback", "name": "f", "targets": ["a", "b"]}


@pytest.mark.parametrize(
    ("nodes", "path", "says"),
    [
        ((FUSED, OTHER, {**FALLBACK, "timeout_ms": 5}), (2, "timeout_ms"), "can neither be left nor lost"),
        ((FUSED, OTHER, {**FALLBACK, "retries": 1}), (2, "retries"), "can neither be left nor lost"),
        ((FUSED, OTHER, {**QUORUM, "name": "f"}), (2, "timeout_ms"), "every member is fused, so none can be left"),
        ((own("a"), OTHER, {**FALLBACK, "kind": "race"}), (2, "targets", 1), "'b' could not be cancelled"),
    ],
)
def test_limits_of_what_never_waits_are_faults(nodes, path, says):
    outputs = {"y": "f.y" if nodes[2]["kind"] == "ensemble" else "f.scores"}
    graph = GraphConfig.model_validate({"inputs": [PIXELS], "nodes": list(nodes), "outputs": outputs})
    findings = plan_graph(graph, {"a": SIGNATURE, "b": SIGNATURE}).findings
    (message,) = [message for place, message in findings if place == ("nodes", *path)]
    assert re.search(says, message)


def test_rows_of_any_length_cannot_be_remembered():
    free = NodeModel(SIGNATURE.inputs, (TensorSpec("scores", Datatype.FP32, (-1, -1)),))
    graph = GraphConfig.model_validate(
        {"inputs": [PIXELS], "nodes": [{**FUSED, "cache": {}}], "outputs": {"y": "a.scores"}}
    )
    ((path, message),) = plan_graph(graph, {"a": free}).findings
    assert (path, "have any length" in message) == (("nodes", 0, "cache"), True)
