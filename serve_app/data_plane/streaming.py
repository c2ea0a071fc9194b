"""Answers of decoupled models: any number of responses to a request, each as it comes, one line in the log for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from serve_app.data_plane.answering import response_of, wanted
from serve_app.data_plane.route import Route
from serve_app.errors import DeadlineExceeded, ReplicaLost
from serve_app.types import Block, BlockEntry, EntryResult, InferenceRequest, InferenceResponse


class Log(Protocol):
    """Told once about every request, as `observability.request_log.RequestLog`."""

    def answered(self, request: InferenceRequest, response: InferenceResponse, seconds: float) -> None:
        """A request was answered after `seconds` in the gateway."""

    def failed(self, request: InferenceRequest, version: str, seconds: float, error: BaseException) -> None:
        """A request ended with an error after `seconds` in the gateway."""


Admit = Callable[[Route, InferenceRequest], float]
"""Checks a request before it leaves; the seconds that its first response may take."""

RouteAgain = Callable[[Route, InferenceRequest, float], Awaitable[Route]]
"""A route for a request whose replica died, until its deadline (`time.perf_counter`)."""


class Streaming:
    """Has decoupled models answer.

    Args:
        log: Told once about every request.
        admit: Checks a request; what it raises is accounted for.
        route_again: Finds another replica for a request that lost its own before the first response.
        later_s: Seconds that each response behind the first may take.
    """

    def __init__(self, log: Log, admit: Admit, route_again: RouteAgain, later_s: float) -> None:
        self._log, self._admit, self._route_again, self._later_s = log, admit, route_again, later_s

    async def answer(self, route: Route, request: InferenceRequest) -> AsyncGenerator[InferenceResponse, None]:
        """The responses of a decoupled model; closing it stops the work.

        Raises:
            RequestError, CapacityError, ModelFailure: As `DataPlane.infer`; also behind some of the responses.
        """
        started = time.perf_counter()
        total = response_of(route, request, {}, EntryResult())
        try:
            deadline = started + self._admit(route, request)
            async with aclosing(self._responses(route, request, deadline)) as responses:
                async for response in responses:
                    total.model_version = response.model_version
                    total.timings = total.timings.then(response.timings)
                    yield response
        except BaseException as error:  # also a client that left, and whatever is not ours: every request is counted
            self._log.failed(request, total.model_version, time.perf_counter() - started, error)
            raise
        self._log.answered(request, total, time.perf_counter() - started)

    async def _responses(
        self, route: Route, request: InferenceRequest, deadline: float
    ) -> AsyncGenerator[InferenceResponse, None]:
        """The responses of a decoupled model; a replica lost before the first one costs nothing but time."""
        has_begun = False
        try:
            async with aclosing(self._streamed(route, request, deadline)) as responses:
                async for response in responses:
                    has_begun = True
                    yield response
            return
        except ReplicaLost:
            if has_begun or not route.info.idempotent:
                raise
        again = await self._route_again(route, request, deadline)
        if not again.info.decoupled:
            raise ReplicaLost(route.info.release)
        async with aclosing(self._streamed(again, request, deadline)) as responses:
            async for response in responses:
                yield response

    async def _streamed(
        self, route: Route, request: InferenceRequest, deadline: float
    ) -> AsyncGenerator[InferenceResponse, None]:
        """What one release responds.

        Raises:
            DeadlineExceeded: The next response takes too long.
        """
        left_s = max(0.0, deadline - time.perf_counter())
        entry = BlockEntry(request.rows, request.request_id, left_s, request.parameters, request.priority)
        async with aclosing(route.client.stream(Block(request.inputs, (entry,)))) as replies:
            while True:
                try:
                    async with asyncio.timeout(left_s):
                        reply = await anext(replies, None)
                except TimeoutError:
                    raise DeadlineExceeded(route.info.release, round(left_s, 3)) from None
                if reply is None:
                    return
                (result,) = reply.results
                if result.error is not None:
                    raise result.error
                yield response_of(route, request, wanted(reply.outputs, request, route.info), result)
                left_s = self._later_s
