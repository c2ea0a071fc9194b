"""Copies of requests to a version that is asked too: its answers are compared with the clients' and never returned.

A copy is made once the client has its answer, waits behind every client's request, and is given up rather than kept
waiting. It is no request of a client's: it is in no log and no metric of requests.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from serve_app.data_plane.answering import wanted
from serve_app.data_plane.arms import Arms
from serve_app.data_plane.comparing import Comparison, compare, nbytes_to_compare
from serve_app.data_plane.directory import Directory
from serve_app.data_plane.route import Route
from serve_app.data_plane.validation import validate
from serve_app.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Shadow
from serve_app.types import MAX_PRIORITY, Array, InferenceRequest, InferenceResponse, Tensors, nbytes_of

logger = logging.getLogger("serve_app.shadow")

MOST_COPIES, MOST_ROWS, MOST_BYTES = 32, 1024, 64 * 2**20  # of one shadow, waiting or in flight
TIMEOUT_S = 10.0  # until the answer to a copy is of no more use
QUEUE_SHARE = 0.5  # of its release's queue that a copy may find full; beyond, clients need the rest
IN_LOOP_BYTES = 2**20  # compared in the event loop; more is in a thread
TENANT = "(shadow)"
_TOO_SLOW = (Overloaded, DeadlineUnreachable, DeadlineExceeded)


@dataclass(slots=True)
class _Load:
    """What one shadow has in flight."""

    copies: int = 0
    rows: int = 0
    nbytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Copy:
    """A request to ask again, with the answer that the client got.

    Attributes:
        answer: The outputs that are compared.
    """

    request: InferenceRequest
    answer: Tensors
    shadow: Shadow
    arm: ArmCounts
    rows: int
    nbytes: int


class Shadows:
    """Copies requests, as what is in effect says.

    Args:
        directory: Knows the shadows and the way to them.
        arms: Where comparisons are counted, under the shadow's version.
        random_point: Gives numbers in [0, 1) that choose requests and rows.
    """

    def __init__(self, directory: Directory, arms: Arms, random_point: Callable[[], float]) -> None:
        self._directory, self._arms, self._random_point = directory, arms, random_point
        self._loads: dict[str, _Load] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.copy_context()  # not that of the request, whose end would cancel the copy's call

    def copy(self, request: InferenceRequest, response: InferenceResponse) -> None:
        """Ask the model's shadows what a client asked; returns at once.

        Args:
            request: That the split sent, to the only response.
            response: The client's.
        """
        holds = self._directory.in_effect.get(request.model_name)
        if holds is None or not holds.shadows or request.explain or not response.outputs:
            return
        for shadow in holds.shadows:
            if shadow.to != response.model_version and 100 * self._random_point() < shadow.percent:
                self._copy_to(shadow, request, response)

    async def close(self) -> None:
        """Give up all copies."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _copy_to(self, shadow: Shadow, request: InferenceRequest, response: InferenceResponse) -> None:
        arm, route = self._arms.of(request.model_name, shadow.to), self._directory.route(request.model_name, shadow.to)
        if arm is None:
            return
        rows, nbytes = request.rows, nbytes_of(request.inputs) + nbytes_of(response.outputs)
        if route is None or not self._has_room(route, rows, nbytes):
            arm.dropped += 1
            return
        answer = (
            {response.prediction: response.outputs[response.prediction]}
            if (response.prediction in response.outputs)
            else response.outputs
        )
        again = replace(
            request,
            inputs=_kept(request.inputs),
            outputs=tuple(answer),
            request_id=f"{request.request_id}-shadow",
            timeout_s=None,
            priority=MAX_PRIORITY,
            tenant=TENANT,
        )
        copy = _Copy(again, _kept(answer), shadow, arm, rows, nbytes)
        task = asyncio.get_running_loop().create_task(self._ask(route, copy), context=self._context)
        self._tasks.add(task)
        self._take(route.info.release, copy, 1)
        task.add_done_callback(lambda done: self._ended(done, route.info.release, copy))

    def _has_room(self, route: Route, rows: int, nbytes: int) -> bool:
        load, coalescer = self._loads.get(route.info.release, _Load()), route.coalescer
        return (
            load.copies < MOST_COPIES
            and load.rows + rows <= MOST_ROWS
            and load.nbytes + nbytes <= MOST_BYTES
            and coalescer.queued_rows + rows <= QUEUE_SHARE * coalescer.bounds.queue_rows
        )

    def _take(self, release: str, copy: _Copy, sign: int) -> None:
        load = self._loads.setdefault(release, _Load())
        load.copies += sign
        load.rows += sign * copy.rows
        load.nbytes += sign * copy.nbytes
        if load.copies == 0:
            del self._loads[release]

    def _ended(self, task: asyncio.Task[None], release: str, copy: _Copy) -> None:
        self._tasks.discard(task)
        self._take(release, copy, -1)

    async def _ask(self, route: Route, copy: _Copy) -> None:
        try:
            other = await _answer_of(route, copy.request)
            compared = None if other is None else await _compare(copy, other)
        except _TOO_SLOW:
            copy.arm.dropped += 1
        except Exception as error:  # whatever it is, it is the shadow's, and no client's
            copy.arm.shadow_errors += 1
            logger.info("%s did not answer the copy %s: %r", route.info.release, copy.request.request_id, error)
        else:
            self._count(copy.arm, compared)

    def _count(self, arm: ArmCounts, compared: Comparison | None) -> None:
        if compared is None:
            arm.shadow_errors += 1
            return
        rows = len(compared.disagrees)
        arm.compared += 1
        arm.disagreed += int(compared.disagrees[int(self._random_point() * rows)])  # one: rows of a request are alike
        arm.rows_compared += rows
        arm.rows_disagreed += int(compared.disagrees.sum())
        if compared.distance is not None:
            arm.distance_sum += compared.distance
            arm.distance_squares += compared.distance**2
            arm.distance_max = max(arm.distance_max, compared.distance)


async def _answer_of(route: Route, request: InferenceRequest) -> Tensors | None:
    """What the shadow answers; None if it has many responses, which are not compared.

    Raises:
        RequestError: The request does not fit its signature.
        ServeAppError: What the release says about the request, or the way there.
    """
    if route.info.decoupled:
        return None
    validate(request, route.info, MOST_ROWS)
    coalesced = await route.coalescer.submit(request, TIMEOUT_S)
    return wanted(coalesced.outputs, request, route.info)


async def _compare(copy: _Copy, other: Tensors) -> Comparison | None:
    if nbytes_to_compare(tuple(copy.answer.values())) <= IN_LOOP_BYTES:
        return compare(copy.answer, other, copy.shadow.tolerance)
    return await asyncio.to_thread(compare, copy.answer, other, copy.shadow.tolerance)


def _kept(tensors: Tensors) -> Tensors:
    """The tensors as they are now: whoever called from this very process may go on to write to its own arrays.

    A small part of something is copied too: it would keep all of that alive, such as the answers to a whole block.
    """
    return {
        name: array.copy() if array.flags.writeable or _is_small_part(array) else array
        for name, array in tensors.items()
    }


def _is_small_part(array: Array) -> bool:
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    try:
        whole = owner.nbytes if owner.base is None else memoryview(owner.base).nbytes
    except (TypeError, ValueError, BufferError):  # whatever owns it does not say how much that is
        return True
    return whole > 2 * array.nbytes
