"""Steps: what they need from outside, and whose rows they see."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from serve_app.batching.executing import Executing
from serve_app.datatypes import Datatype
from serve_app.graph.steps import Branch, Run, Step, Steps, at_once
from serve_app.types import BlockEntry, TensorSpec

Y = (TensorSpec("y", Datatype.FP32, (-1,)),)


def adding(name: str, need: str) -> Step:
    async def execute(values, run, visit):
        return {"y": values[need] + 1}

    return Step(name, Y, frozenset({need}), execute)


def test_needs_are_what_the_steps_do_not_make_themselves():
    assert Steps((adding("a", "x"), adding("b", "a.y"))).needs == {"x"}


def test_a_branch_sees_its_rows_only_and_leaves_the_values_alone():
    branch = Branch("b", Steps((adding("a", "x"), adding("b", "a.y"))), Y)
    values = {"x": np.arange(4.0)}
    answer = at_once(branch.execute(values, Run(Executing()), np.array([1, 3])))
    np.testing.assert_array_equal(answer["y"], [3, 5])
    assert list(values) == ["x"]


OWNERS = ((BlockEntry(2, "r1", parameters={"tier": "gold"}), 2), (BlockEntry(1, "r2"), 1))


def tier(parameters, request_id):
    return f"{parameters.get('tier', 'none')} {request_id}"


def test_every_row_has_its_requests_parameters():
    run = Run(Executing(OWNERS))
    assert run.by_row(tier, 3).tolist() == ["gold r1", "gold r1", "none r2"]
    assert run.of(np.array([1, 2])).of(np.array([1])).by_row(tier, 1).tolist() == ["none r2"]


def test_padding_among_some_of_the_rows_is_the_last_request_s():
    assert Run(Executing(OWNERS), np.array([1, 2, 3, 4])).by_row(tier, 4).tolist() == ["gold r1", *["none r2"] * 3]


def test_rows_of_nobody_are_a_request_without_parameters():
    assert Run(Executing()).by_row(tier, 2).tolist() == ["none ", "none "]
    assert Run(Executing()).of(np.array([5])).by_row(tier, 1).tolist() == ["none "]


@pytest.mark.parametrize(("error", "told"), [(ValueError("no"), "ValueError"), (asyncio.CancelledError(), "cancelled")])
def test_what_fails_was_visited_too_and_says_with_what(error, told):
    now = [5.0]

    async def execute(values, run, visit):
        now[0] += 2
        raise error

    executing = Executing(clock=lambda: now[0])
    with pytest.raises(type(error)):
        at_once(Step("s", Y, frozenset(), execute).add_to({"x": np.arange(3.0)}, Run(executing)))
    (visit,) = executing.visits
    assert (visit.node, visit.rows, visit.begin_s, visit.seconds, visit.error) == ("s", 3, 5.0, 2.0, told)


def test_a_row_is_counted_in_its_own_request_if_all_of_that_is_there():
    run = Run(Executing((*OWNERS, (BlockEntry(5, "r3"), 2))))
    assert [run.row_of_request(row) for row in range(5)] == [0, 1, 0, None, None]
    assert run.of(np.array([1, 2])).row_of_request(0) == 1
    assert Run(Executing()).row_of_request(4) == 4
