"""What a plan executes: steps in an order, some of them with branches for some of the rows.

Every step is a coroutine. In a graph that runs in one process none of them waits, so all of it is over with the first
`send` and needs no event loop; in one that waits for other processes, what can run side by side does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from serve_app.batching.executing import Executing, Visit
from serve_app.errors import CapacityError, DeadlineExceeded, DeadlineUnreachable, ModelFailure, ServeAppError
from serve_app.types import Array, Parameters, Tensors, TensorSpec, rows_of
from serve_app.visits import CANCELLED

Values = dict[str, Array]
"""What has been computed so far, by reference."""

logger = logging.getLogger("serve_app.graph")

AWAY_S = 1.0  # a branch that was lost, full or late is tried once in so long where others can answer


@dataclass(frozen=True, slots=True)
class Run:
    """A batch, or some of its rows, on its way through a graph.

    Attributes:
        executing: Whose rows they are.
        rows: Which of the batch's rows these are; None for all.
    """

    executing: Executing
    rows: Array | None = None

    def of(self, rows: Array) -> Run:
        """Some of these rows, by their index among them."""
        return Run(self.executing, rows if self.rows is None else self.rows[rows])

    def apart(self) -> Run:
        """The same rows, with what is left out noted apart: for those whose answer may not be used."""
        return Run(replace(self.executing, left_out={}), self.rows)

    def by_row(self, of_request: Callable[[Parameters, str], str], rows: int) -> Array:
        """What each row's request gives, from its parameters and its id.

        Args:
            of_request: Called once a request.
            rows: How many there are.

        Returns:
            An array of str objects; rows of nobody, as in a warm-up, count as a request without parameters.
        """
        owners = self.executing.owners
        values = [of_request(owner.parameters, owner.request_id) for owner, _ in owners] or [of_request({}, "")]
        counts = [count for _, count in owners] or [1]
        whole = np.repeat(np.array(values, object), counts)
        if self.rows is not None and len(owners) > 0:
            return whole[np.minimum(self.rows, len(whole) - 1)]  # padding repeats the last row
        return whole if len(whole) == rows else np.resize(whole, rows)

    def row_of_request(self, row: int) -> int | None:
        """Which row of its own request a row of these is; None if only some of that request's are here."""
        place = row if self.rows is None else int(self.rows[row])
        for owner, count in self.executing.owners:
            if place < count:
                return place if owner.rows == count else None
            place -= count
        return place


Execute = Callable[[Values, Run, Visit], Awaitable[Tensors]]
"""One node's work: its outputs by their own names."""


@dataclass(frozen=True, slots=True)
class Step:
    """A planned node.

    Attributes:
        outputs: By their own names.
        needs: What it takes, by reference.
        waits: Whether something of it runs in another thread or process.
        why_fresh: Why the same inputs may have another answer the next time; empty if they have the same.
    """

    name: str
    outputs: tuple[TensorSpec, ...]
    needs: frozenset[str]
    execute: Execute
    waits: bool = False
    why_fresh: str = ""

    async def add_to(self, values: Values, run: Run) -> None:
        """Execute it, putting what it gives into `values`."""
        executing = run.executing
        visit = Visit(self.name, rows_of(values) if run.rows is None else len(run.rows), run.rows, executing.clock())
        try:
            for name, array in (await self.execute(values, run, visit)).items():
                values[f"{self.name}.{name}"] = array
        except BaseException as error:  # a cancellation too: time was spent, and others may answer
            visit.error = CANCELLED if isinstance(error, asyncio.CancelledError) else type(error).__name__
            raise
        finally:
            visit.seconds = executing.clock() - visit.begin_s
            executing.visits.append(visit)


@dataclass(frozen=True, slots=True)
class Steps:
    """Steps in an order in which everything is there when it is needed."""

    steps: tuple[Step, ...]

    @property
    def waits(self) -> bool:
        """Whether any of them does."""
        return any(step.waits for step in self.steps)

    @property
    def why_fresh(self) -> str:
        """Of the first of them that has a reason."""
        return next((step.why_fresh for step in self.steps if step.why_fresh), "")

    @property
    def needs(self) -> frozenset[str]:
        """What they take from outside."""
        made = {f"{step.name}.{spec.name}" for step in self.steps for spec in step.outputs}
        return frozenset(reference for step in self.steps for reference in step.needs) - made

    async def execute(self, values: Values, run: Run) -> None:
        """Execute them all, putting what they give into `values`; those that wait side by side."""
        if not self.waits:
            for step in self.steps:
                await step.add_to(values, run)
            return
        tasks: dict[str, asyncio.Task[None]] = {}

        async def one(step: Step) -> None:
            """A step, once those that it needs are over."""
            before = [tasks[name] for name in {need.partition(".")[0] for need in step.needs} & tasks.keys()]
            for task in before:
                await asyncio.wait([task])
                task.result()
            await step.add_to(values, run)

        for step in self.steps:
            tasks[step.name] = asyncio.ensure_future(one(step))
        await all_of(list(tasks.values()))


@dataclass(slots=True, eq=False)
class Branch:
    """A node that another one executes, with the nodes that only this one needs.

    Attributes:
        outputs: The node's.
    """

    name: str
    steps: Steps
    outputs: tuple[TensorSpec, ...]
    _away_until: float = field(default=0.0, init=False)
    _logged: float = field(default=float("-inf"), init=False)

    async def execute(self, values: Values, run: Run, rows: Array | None = None) -> Tensors:
        """Execute it on some of the rows, or on all."""
        inner = {need: values[need] if rows is None else values[need][rows] for need in self.steps.needs}
        await self.steps.execute(inner, run if rows is None else run.of(rows))
        return {spec.name: inner[f"{self.name}.{spec.name}"] for spec in self.outputs}

    def may_try(self, run: Run) -> bool:
        """Whether it is worth a wait where others can answer; if it was away, one run in `AWAY_S` finds out."""
        now = run.executing.clock()
        if now < self._away_until:
            return False
        if self._away_until:
            self._away_until = now + AWAY_S
        return True

    async def attempt(self, values: Values, run: Run) -> Tensors:
        """Execute it on all rows, and remember if it was away: lost, full, or too late for anybody.

        That a request allowed too little time says nothing about the branch.
        """
        begin = run.executing.clock()
        try:
            outputs = await self.execute(values, run)
        except (DeadlineExceeded, DeadlineUnreachable) as error:
            if getattr(error, "is_limit", False) or run.executing.clock() - begin >= AWAY_S:
                self.is_late(run)
            self._log(error, run)
            raise
        except (CapacityError, ModelFailure) as error:
            if isinstance(error, CapacityError):
                self.is_late(run)
            self._log(error, run)
            raise
        self._away_until = 0.0
        return outputs

    def _log(self, error: ServeAppError, run: Run) -> None:
        """Tell the operator why it did not answer, once in `AWAY_S`; callers are told no more than that it failed."""
        now = run.executing.clock()
        if now >= self._logged + AWAY_S:
            self._logged = now
            logger.warning("%s is done without: %s", self.name, error)

    def is_late(self, run: Run) -> None:
        """It has not answered in time."""
        self._away_until = run.executing.clock() + AWAY_S


async def all_of(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    """What they give, in their order; with the first error the others are cancelled and have ended."""
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancel(tasks)


async def cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def at_once(coroutine: Coroutine[Any, Any, Tensors]) -> Tensors:
    """Run a coroutine that never waits to its end.

    Raises:
        RuntimeError: It waits.
    """
    try:
        coroutine.send(None)
    except StopIteration as over:
        result: Tensors = over.value
        return result
    coroutine.close()
    raise RuntimeError("a step that was planned without waiting waits")
