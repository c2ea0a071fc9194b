"""Nodes that compute: how they are executed here, in another thread, or elsewhere within their share of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from serve_app.batching.executing import Visit
from serve_app.errors import DeadlineExceeded
from serve_app.graph.calls import Call, Limits, within
from serve_app.graph.plan import NodeModel
from serve_app.graph.shares import Shares
from serve_app.graph.steps import Execute, Run, Values
from serve_app.types import Array, Tensors


def predicting(name: str, model: NodeModel, sources: Mapping[str, str]) -> Execute:
    """In the calling thread.

    Args:
        name: Of the node.
        model: What executes it.
        sources: Where its inputs come from.
    """

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        if model.predict is None:
            raise RuntimeError(f"{name} was planned without its model")
        return model.predict(inputs_of(values, sources))

    return execute


def calling(
    limits: Limits, call: Call | None, sources: Mapping[str, str], shares: Shares, *, is_elsewhere: bool
) -> Execute:
    """In another thread or process, within the node's limits.

    Args:
        limits: The node's.
        call: Executes it; None where only the plan matters.
        sources: Where its inputs come from.
        shares: Of the graph.
        is_elsewhere: Whether it may queue, so that it is given its share of what is left; a thread takes what it takes.
    """

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        if call is None:
            raise RuntimeError(f"{limits.name} was planned without its model")
        left_s, clock = run.executing.left_s(), run.executing.clock
        if left_s is not None and is_elsewhere:
            left_s = shares.of(limits.name, visit.rows, left_s)
        inputs, begin = inputs_of(values, sources), clock()
        try:
            called = await within(limits, left_s, lambda seconds: call(inputs, seconds))
        except DeadlineExceeded:  # it takes that long at least, which must be known or its share stays too small
            shares.observe(limits.name, visit.rows, clock() - begin)
            raise
        visit.timings = called.timings
        waited_s = called.timings.queue_s if called.timings else 0.0
        shares.observe(limits.name, visit.rows, clock() - begin - waited_s)
        return called.outputs

    return execute


def limited(limits: Limits, execute: Execute) -> Execute:
    """A node that executes others, within its limits."""

    async def execute_within(values: Values, run: Run, visit: Visit) -> Tensors:
        def attempt(_: float | None) -> Awaitable[Tensors]:
            """Those that it executes have shares of their own."""
            return execute(values, run, visit)

        return await within(limits, run.executing.left_s(), attempt)

    return execute_within


def in_thread(thread: ThreadPoolExecutor, work: Callable[[Values, Run], Tensors]) -> Execute:
    """A transform that takes so long that nothing else of the graph should wait for it."""

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        return await asyncio.get_running_loop().run_in_executor(thread, work, values, run)

    return execute


def inputs_of(values: Values, sources: Mapping[str, str]) -> Tensors:
    """A node's inputs by its own names, as arrays that any library takes; none may write to what others have too."""
    return {name: _read_only(np.ascontiguousarray(values[reference])) for name, reference in sources.items()}


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view
