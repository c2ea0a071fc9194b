"""Nodes that compute: here, in a thread, and elsewhere within their share of the time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serve_app.batching.executing import Executing, Visit
from serve_app.config.graph import GraphConfig
from serve_app.errors import DeadlineExceeded, ReplicaLost
from serve_app.graph.calls import Called, Limits, LoopThread
from serve_app.graph.computing import calling, in_thread, limited, predicting
from serve_app.graph.plan import NodeModel
from serve_app.graph.shares import Shares
from serve_app.graph.steps import Run, at_once
from serve_app.graph.structure import structure_of
from serve_app.types import Timings

GRAPH = GraphConfig.model_validate(
    {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
        "nodes": [
            {"kind": "model", "name": "a", "source": "a"},
            {"kind": "model", "name": "b", "source": "b", "inputs": {"x": "a.y"}},
        ],
        "outputs": {"y": "b.y"},
    }
)
VALUES = {"x": np.arange(6.0)[::2]}


def shares() -> Shares:
    return Shares(structure_of(GRAPH), {"a": {1: 0.01}, "b": {1: 0.03}})


def visit() -> Visit:
    return Visit("a", 3, None, 0.0)


def test_a_fused_node_gets_whole_arrays_in_the_calling_thread():
    def predict(inputs):
        assert inputs["own"].flags.c_contiguous
        return {"y": np.full(3, threading.get_ident())}

    step = predicting("a", NodeModel((), (), predict), {"own": "x"})
    answer = at_once(step(VALUES, Run(Executing()), visit()))
    assert answer["y"].tolist() == [threading.get_ident()] * 3


@pytest.mark.parametrize(("is_elsewhere", "left_s"), [(True, 3.97), (False, 4.0)])
async def test_who_may_queue_is_given_its_share_of_what_is_left(is_elsewhere, left_s):
    told = []

    async def call(inputs, seconds):
        told.append(seconds)
        return Called({"y": inputs["own"]}, Timings(queue_s=0.5, batch_rows=7))

    step = calling(Limits("a"), call, {"own": "x"}, shares(), is_elsewhere=is_elsewhere)
    seen = visit()
    await step(VALUES, Run(Executing(deadline=4.0, clock=lambda: 0.0)), seen)
    assert told == [pytest.approx(left_s, abs=0.01)]
    assert seen.timings == Timings(queue_s=0.5, batch_rows=7)


async def test_what_a_node_takes_without_its_queue_is_learned():
    now = iter([0.0, 0.0, 0.08] * 50)  # what is left, the begin, the end

    async def call(inputs, seconds):
        return Called({}, Timings(queue_s=0.02))

    learned = shares()
    step = calling(Limits("a"), call, {"own": "x"}, learned, is_elsewhere=True)
    for _ in range(40):
        await step(VALUES, Run(Executing(deadline=4.0, clock=lambda: next(now))), visit())
    assert learned.usual_s(3)["a"] == pytest.approx(0.06)


async def test_a_node_that_was_too_slow_is_known_to_be():
    async def hangs(inputs, seconds):
        await asyncio.Event().wait()

    now, learned = iter(range(1000)), shares()
    step = calling(Limits("a", timeout_s=0.001), hangs, {"own": "x"}, learned, is_elsewhere=True)
    for _ in range(20):
        with pytest.raises(DeadlineExceeded):
            await step(VALUES, Run(Executing(deadline=1e9, clock=lambda: float(next(now)))), visit())
    assert learned.usual_s(3)["a"] == pytest.approx(1.0)


def test_a_node_cannot_write_to_what_others_have_too():
    shared = {"x": np.ones(3)}

    def predict(inputs):
        inputs["own"][:] = 9
        return {}

    with pytest.raises(ValueError, match="read-only"):
        at_once(predicting("a", NodeModel((), (), predict), {"own": "x"})(shared, Run(Executing()), visit()))
    assert shared["x"].tolist() == [1, 1, 1]


async def test_a_slow_transform_does_not_hold_the_loop():
    loop, go = asyncio.get_running_loop(), threading.Event()
    begun = asyncio.Event()

    def work(values, run):
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(5)
        return {"y": values["x"]}

    with ThreadPoolExecutor(1) as thread:
        running = asyncio.ensure_future(in_thread(thread, work)(VALUES, Run(Executing()), visit()))
        await begun.wait()
        go.set()
        assert (await running)["y"] is VALUES["x"]


async def test_a_model_in_a_thread_does_not_hold_the_loop():
    begun, go, loop = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def predict(inputs):
        loop.call_soon_threadsafe(begun.set)
        assert go.wait(5)
        return {"y": inputs["own"]}

    step = calling(Limits("a"), LoopThread().threaded(predict, "a"), {"own": "x"}, shares(), is_elsewhere=False)
    running = asyncio.ensure_future(step(VALUES, Run(Executing()), visit()))
    await begun.wait()
    go.set()
    np.testing.assert_array_equal((await running)["y"], VALUES["x"])


async def test_a_router_keeps_to_its_limits():
    attempts = []

    async def lost(values, run, visit):
        attempts.append(visit)
        raise ReplicaLost("m-v1")

    with pytest.raises(ReplicaLost):
        await limited(Limits("r", retries=2), lost)(VALUES, Run(Executing()), visit())
    assert len(attempts) == 3

    async def hangs(values, run, visit):
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded, match=r"r.*0.01"):
        await limited(Limits("r", timeout_s=0.01), hangs)(VALUES, Run(Executing()), visit())


async def test_a_plan_without_its_models_cannot_be_executed():
    with pytest.raises(RuntimeError, match="a was planned without its model"):
        await predicting("a", NodeModel((), ()), {})(VALUES, Run(Executing()), visit())
    with pytest.raises(RuntimeError, match="a was planned without its model"):
        await calling(Limits("a"), None, {}, shares(), is_elsewhere=True)(VALUES, Run(Executing()), visit())
