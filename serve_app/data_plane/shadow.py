"""Copies of requests to a version that is asked too: its answers are compared with the clients' and never returned.

A copy is made once the client has its answer, waits behind every client's request, and is given up rather than kept
waiting. It is no request of a client's: it is in no log and no metric of requests.

The copies of half a second leave together, in calls of as many rows as the release executes at a time, because a call
costs the gateway and the shadow's replica more than its rows. Each copy is validated and compared in a turn of the
event loop of its own, so that clients go on in between.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from serve_app.batching.coalescer import Coalesced
from serve_app.data_plane.answering import wanted
from serve_app.data_plane.arms import Arms
from serve_app.data_plane.comparing import Comparison, compare, nbytes_to_compare
from serve_app.data_plane.directory import Directory
from serve_app.data_plane.route import Route
from serve_app.data_plane.validation import validate
from serve_app.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded
from serve_app.release.counts import ArmCounts
from serve_app.release.messages import Shadow
from serve_app.types import MAX_PRIORITY, Array, InferenceRequest, InferenceResponse, Tensors, nbytes_of, release_name

logger = logging.getLogger("serve_app.shadow")

COLLECT_S = 0.5  # that a copy may wait for others to leave with
MOST_COPIES, MOST_ROWS, MOST_BYTES = 64, 1024, 64 * 2**20  # of one shadow, waiting or in flight; half leave at once
TIMEOUT_S = 10.0  # until the answer to a copy is of no more use
QUEUE_SHARE = 0.5  # of its release's queue that copies may fill; clients need the rest
IN_LOOP_BYTES = 2**20  # compared in the event loop; more is in a thread
TENANT = "(shadow)"
_TOO_SLOW = (Overloaded, DeadlineUnreachable, DeadlineExceeded)


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


@dataclass(slots=True)
class _Load:
    """What one shadow has waiting and in flight."""

    waiting: list[_Copy] = field(default_factory=list)
    is_enough: asyncio.Event = field(default_factory=asyncio.Event)
    copies: int = 0
    rows: int = 0
    nbytes: int = 0

    def has_room(self, rows: int, nbytes: int) -> bool:
        """Whether one more copy may wait."""
        return self.copies < MOST_COPIES and self.rows + rows <= MOST_ROWS and self.nbytes + nbytes <= MOST_BYTES

    def add(self, copy: _Copy) -> None:
        """Have a copy wait."""
        self.waiting.append(copy)
        self._count(copy, 1)
        rows, nbytes = sum(one.rows for one in self.waiting), sum(one.nbytes for one in self.waiting)
        if 2 * len(self.waiting) >= MOST_COPIES or 2 * rows >= MOST_ROWS or 2 * nbytes >= MOST_BYTES:
            self.is_enough.set()

    async def collected(self) -> list[_Copy]:
        """All that wait once there are enough, or after a while; they are in flight until they are told ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(COLLECT_S):
                await self.is_enough.wait()
        self.is_enough.clear()
        copies, self.waiting = self.waiting, []
        return copies

    def end(self, copy: _Copy) -> None:
        """A copy is not in flight any more."""
        self._count(copy, -1)

    def _count(self, copy: _Copy, sign: int) -> None:
        self.copies += sign
        self.rows += sign * copy.rows
        self.nbytes += sign * copy.nbytes


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
        release = release_name(request.model_name, shadow.to)
        load = self._loads.get(release) or _Load()
        if route is None or not load.has_room(rows, nbytes):
            if load.waiting:
                load.is_enough.set()  # it goes now, and leaves room
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
        self._loads[release] = load
        load.add(_Copy(again, _kept(answer), shadow, arm, rows, nbytes))
        if len(load.waiting) == 1:
            task = asyncio.get_running_loop().create_task(self._carry(release, load), context=self._context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, release: str, load: _Load) -> None:
        """Ask a shadow what waits for it, once that is enough."""
        copies = await load.collected()
        try:
            await self._ask(copies)
        finally:
            for copy in copies:
                load.end(copy)
            if not load.copies:
                self._loads.pop(release, None)

    async def _ask(self, copies: Sequence[_Copy]) -> None:
        route = self._directory.route(copies[0].request.model_name, copies[0].shadow.to)
        if route is None:  # it has gone meanwhile
            _drop(copies)
            return
        if route.info.decoupled:  # many responses are not compared
            for copy in copies:
                copy.arm.shadow_errors += 1
            return
        fitting = [copy for copy in copies if await _fits(copy, route)]
        for call in _calls(fitting, route.info.max_rows):
            if not _is_free(route, sum(copy.rows for copy in call)):
                _drop(call)
                continue
            answers = await route.coalescer.submit_all([copy.request for copy in call], TIMEOUT_S)
            for copy, answer in zip(call, answers, strict=True):
                await self._take(copy, answer, route)

    async def _take(self, copy: _Copy, answer: Coalesced | Exception, route: Route) -> None:
        await asyncio.sleep(0)
        try:
            if isinstance(answer, Exception):
                raise answer
            self._count(copy.arm, await _compare(copy, wanted(answer.outputs, copy.request, route.info)))
        except _TOO_SLOW:
            copy.arm.dropped += 1
        except Exception as error:  # whatever it is, it is the shadow's, and no client's
            _failed(copy, error)

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


def _calls(copies: Iterable[_Copy], max_rows: int) -> Iterator[list[_Copy]]:
    """The copies in calls of so many rows, which is as long as clients of the release may have to wait behind one."""
    call, rows = list[_Copy](), 0
    for copy in copies:
        if call and rows + copy.rows > max_rows:
            yield call
            call, rows = [], 0
        call.append(copy)
        rows += copy.rows
    if call:
        yield call


def _drop(copies: Iterable[_Copy]) -> None:
    for copy in copies:
        copy.arm.dropped += 1


def _is_free(route: Route, rows: int) -> bool:
    """Whether the release's queue has room for copies of so many rows beside what clients may need."""
    return route.coalescer.queued_rows + rows <= QUEUE_SHARE * route.coalescer.bounds.queue_rows


async def _fits(copy: _Copy, route: Route) -> bool:
    """Whether the shadow can be asked; if not, that is counted."""
    await asyncio.sleep(0)
    try:
        validate(copy.request, route.info, MOST_ROWS)
    except Exception as error:  # also one of its own: the other copies are asked all the same
        _failed(copy, error)
        return False
    return True


def _failed(copy: _Copy, error: Exception) -> None:
    copy.arm.shadow_errors += 1
    release = release_name(copy.request.model_name, copy.shadow.to)
    logger.info("%s did not answer the copy %s: %r", release, copy.request.request_id, error)


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
