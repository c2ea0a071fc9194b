"""Plans: what goes in and comes out."""

from __future__ import annotations

import numpy as np

from serve_app.datatypes import Datatype
from serve_app.graph.plan import Plan
from serve_app.graph.steps import Step, Steps
from serve_app.types import TensorSpec

X = TensorSpec("x", Datatype.FP32, (-1,))


def test_steps_see_what_was_before_them_and_outputs_are_taken_by_reference():
    async def doubled(values, run, visit):
        return {"x": 2 * values["x"]}

    async def one_more(values, run, visit):
        return {"x": 1 + values["d.x"]}

    double, more = Step("d", (X,), frozenset({"x"}), doubled), Step("m", (X,), frozenset({"d.x"}), one_more)
    plan = Plan((X,), (X, X), ("m.x", "x"), steps=Steps((double, more)))
    given = {"x": np.array([1.0, 2.0], np.float32)}
    plan.outputs = (X, TensorSpec("same", Datatype.FP32, (-1,)))
    answer = plan.run(given)
    np.testing.assert_array_equal(answer["x"], [3, 5])
    assert answer["same"] is given["x"]
    assert list(given) == ["x"]
