"""Nodes that compute: how they are executed here, in another thread, or elsewhere within their share of the time."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

import numpy as np

from serve_app.batching.executing import Visit
from serve_app.graph.calls import Call, Limits, within
from serve_app.graph.plan import NodeModel
from serve_app.graph.shares import Shares
from serve_app.graph.steps import Execute, Run, Values
from serve_app.types import Tensors


def predicting(name: str, model: NodeModel, sources: Mapping[str, str]) -> Execute:
    """In the calling thread.

    Args:
        name: Of the node.
        model: What executes it.
        sources: Where its inputs come from.
    """

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        if model.predict is None:
            raise NotImplementedError(f"{name} was planned without its model")
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
            raise NotImplementedError(f"{limits.name} was planned without its model")
        left_s, clock = run.executing.left_s(), run.executing.clock
        if left_s is not None and is_elsewhere:
            left_s = shares.of(limits.name, visit.rows, left_s)
        inputs, begin = inputs_of(values, sources), clock()
        called = await within(limits, left_s, lambda seconds: call(inputs, seconds))
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


def inputs_of(values: Values, sources: Mapping[str, str]) -> Tensors:
    """A node's inputs by its own names, as arrays that any library takes."""
    return {name: np.ascontiguousarray(values[reference]) for name, reference in sources.items()}
