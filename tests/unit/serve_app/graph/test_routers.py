"""Routers: which node answers, and what is said about those that did not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from serve_app.batching.executing import Executing, Visit
from serve_app.config.graph import EnsembleNode, SplitNode, SwitchNode
from serve_app.datatypes import Datatype
from serve_app.errors import InvalidInput, ModelRaised, WrongAnswer
from serve_app.graph import routers
from serve_app.graph.combining import combining
from serve_app.graph.steps import Branch, Run, Step, Steps, at_once
from serve_app.types import BlockEntry, TensorSpec

Y = (TensorSpec("y", Datatype.FP32, (-1,)),)
VALUES = {"x": np.arange(3.0)}


def given(step, values, executing):
    """What a step gives for a whole batch."""
    return at_once(step(values, Run(executing), visit_of(values)))


def visit_of(values) -> Visit:
    return Visit("step", len(values["x"]), None, 0.0)


def branch(name: str, factor: float = 1.0, error: Exception | None = None) -> Branch:
    async def execute(values, run, visit):
        if error is not None:
            raise error
        return {"y": factor * values["x"]}

    return Branch(name, Steps((Step(name, Y, frozenset({"x"}), execute),)), Y)


def failing(name: str) -> Branch:
    return branch(name, error=ModelRaised("m-v1", f"{name} is broken"))


def owned(*parameters, **changes) -> Executing:
    return Executing(tuple((BlockEntry(1, f"r{i}", parameters=one), 1) for i, one in enumerate(parameters)), **changes)


def test_a_fallback_asks_the_next_one_and_says_why():
    executing = Executing()
    answer = given(routers.fallback("f", [failing("a"), failing("b"), branch("c", 3)]), VALUES, executing)
    assert answer["y"].tolist() == [0, 3, 6]
    assert executing.left_out == {"f.a": "failed", "f.b": "failed"}


def test_a_fallback_whose_first_answers_asks_nobody_else():
    executing = Executing()
    answer = given(routers.fallback("f", [branch("a", 2), failing("b")]), VALUES, executing)
    assert (answer["y"].tolist(), executing.left_out) == ([0, 2, 4], {})


def test_the_last_ones_error_is_the_fallbacks():
    with pytest.raises(ModelRaised, match="b is broken"):
        given(routers.fallback("f", [failing("a"), failing("b")]), VALUES, Executing())


def test_what_the_caller_must_change_is_nobodys_failure():
    wrong = branch("a", error=InvalidInput("row 1", "is no text"))
    with pytest.raises(InvalidInput):
        given(routers.fallback("f", [wrong, branch("b")]), VALUES, Executing())


MEMBERS = ("a.y", "b.y", "c.y")


def quorum(*branches: Branch, enough: int = 2):
    node = EnsembleNode(kind="ensemble", name="e", method="mean", members=MEMBERS, weights=(1, 1, 2), quorum=enough)
    return routers.quorum("e", [(one, "y") for one in branches], combining(node), enough)


def test_a_quorum_answers_without_the_member_that_fails_and_says_so():
    executing = Executing()
    answer = given(quorum(branch("a", 1), failing("b"), branch("c", 4)), VALUES, executing)
    np.testing.assert_allclose(answer["y"], [0, 3, 6])
    assert executing.left_out == {"e.b": "failed"}


def test_too_few_members_are_the_first_ones_error():
    executing = Executing()
    with pytest.raises(ModelRaised, match="b is broken"):
        given(quorum(branch("a"), failing("b"), failing("c")), VALUES, executing)
    assert executing.left_out == {}


def test_a_switch_goes_by_the_requests_parameter():
    node = SwitchNode(kind="switch", name="w", parameter="tier", cases={"gold": "a", "true": "b"}, default="a")
    step = routers.switch(node, {"a": branch("a", 1), "b": branch("b", 10)})
    answer = given(step, VALUES, owned({"tier": "gold"}, {"tier": True}, {}))
    assert answer["y"].tolist() == [0, 10, 2]


@pytest.mark.parametrize(
    ("threshold", "chosen"), [(0.0, ["a", "a", "a"]), (1.5, ["b", "b", "a"]), (9.0, ["b", "b", "b"])]
)
def test_a_cascade_tells_which_rows_went_on(threshold, chosen):
    values = {"x": np.arange(3.0)[:, None], "a.y": np.arange(3.0)[:, None]}
    visit = visit_of(values)
    at_once(routers.cascade("a", Y, "y", threshold, branch("b", 10))(values, Run(Executing()), visit))
    assert visit.chosen.tolist() == chosen


def test_a_parameter_without_a_case_is_refused():
    node = SwitchNode(kind="switch", name="w", parameter="tier", cases={"gold": "a"})
    with pytest.raises(InvalidInput, match="parameter 'tier' is 'tin'; node 'w' takes: gold"):
        given(routers.switch(node, {"a": branch("a")}), VALUES, owned({"tier": "tin"}, {}, {}))


def split(**changes):
    node = SplitNode(kind="split", name="s", weights={"a": 9, "b": 1}, **changes)
    return routers.split(node, {"a": branch("a", 1), "b": branch("b", 10)})


def test_a_split_keeps_to_its_weights():
    requests = 2000
    values = {"x": np.ones(requests)}
    answer = given(split(), values, owned(*({} for _ in range(requests))))
    assert Counter(answer["y"].tolist())[10.0] == pytest.approx(200, abs=55)  # four standard deviations


def test_a_sticky_split_gives_one_user_one_node():
    users = [{"user": f"u{index % 20}"} for index in range(200)]
    answer = given(split(sticky="user"), {"x": np.ones(200)}, owned(*users))["y"].reshape(10, 20)
    assert (answer == answer[0]).all()
    assert set(answer[0].tolist()) == {1.0, 10.0}


def test_a_row_of_unknown_confidence_goes_on_and_rows_of_other_shapes_are_an_error():
    first = {"n.y": np.array([[0.9], [np.nan]])}
    outputs = [TensorSpec("y", Datatype.FP32, (-1, -1))]

    def then(width):
        async def execute(values, run, visit):
            return {"y": np.full((len(values["n.y"]), width), 5.0)}

        return Branch("then", Steps((Step("then", tuple(outputs), frozenset({"n.y"}), execute),)), tuple(outputs))

    visit = Visit("c", 2, None, 0.0)
    cascade = routers.cascade("n", outputs, "y", 0.5, then(1))
    assert at_once(cascade(first, Run(Executing()), visit))["y"].tolist() == [[0.9], [5]]
    with pytest.raises(WrongAnswer, match=r"rows of shapes \[1\] of n and \[3\] of then"):
        at_once(routers.cascade("n", outputs, "y", 0.5, then(3))(first, Run(Executing()), visit))
