"""Requests whose replica died are tried again: once, and one at a time, so that the one it died of is found.

A replica that dies takes all that it works on with it, and nothing tells which request was the reason. Tried again
together they would all die with that one. So each is tried again in a call of its own while the model's other lost ones
wait: only the guilty one is lost twice, and that is final. What had not left for the replica is under no suspicion and
goes where it can.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from serve_app.data_plane.route import Route
from serve_app.errors import ModelNotReady, ReplicaLost, RequestError
from serve_app.types import InferenceRequest, InferenceResponse

PATIENCE = (
    0.5  # of the time that is left: who waited so long for a call of its own goes with others, rather than too late
)


@dataclass(slots=True)
class Attempt:
    """Where a request went last and first, and whether it is to have a call of its own."""

    route: Route
    first: Route
    is_alone: bool = False


Execute = Callable[[Attempt, InferenceRequest, float], Awaitable[InferenceResponse]]
"""Executes a request where the attempt says, until a deadline (of `time.perf_counter`); raises `ReplicaLost`."""


class SecondTries:
    """The second tries of one gateway.

    Args:
        route_of: Gives the route a request may take now; raises `ModelNotReady`, or `RequestError` if it fits none.
        changed: Returns at the next change of routes, or raises TimeoutError after so many seconds.
        execute: Executes a request.
    """

    def __init__(
        self,
        route_of: Callable[[InferenceRequest], Route],
        changed: Callable[[float], Awaitable[None]],
        execute: Execute,
    ) -> None:
        self._route_of, self._changed, self._execute = route_of, changed, execute
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by model

    async def answer(
        self, lost: ReplicaLost, attempt: Attempt, request: InferenceRequest, deadline: float
    ) -> InferenceResponse:
        """Answer a request that was lost.

        Args:
            lost: What its first attempt ended with.
            attempt: The first one; then always the last one.
            request: A request.
            deadline: On the clock of `time.perf_counter`; there is an answer or an error by then.

        Raises:
            ReplicaLost: It was lost again, may not be repeated, or has no route before its deadline.
            ServeAppError: As of the execution.
        """
        while not lost.was_sent:
            attempt.route = await self.route_again(attempt.route, request, deadline)
            try:
                return await self._execute(attempt, request, deadline)
            except ReplicaLost as again:
                lost = again
        if not attempt.route.info.idempotent:
            raise ReplicaLost(lost.release, may_repeat=False) from None
        while True:
            attempt.route = await self.route_again(attempt.route, request, deadline)
            async with self._turn(request.model_name, deadline) as attempt.is_alone:
                if (route := self._ready_route(attempt.route, request)) is None:
                    continue  # the one before it killed the replica: nobody's turn passes while one is started
                attempt.route = route
                try:
                    return await self._execute(attempt, request, deadline)
                except ReplicaLost as again:
                    if again.was_sent:
                        raise

    async def route_again(self, lost: Route, request: InferenceRequest, deadline: float) -> Route:
        """A route for a request whose replica died, waiting for one until its deadline if there is none.

        Raises:
            ReplicaLost: There was none, or the request fits none.
        """
        while (route := self._ready_route(lost, request)) is None:
            try:
                await self._changed(deadline - time.perf_counter())
            except TimeoutError:
                raise ReplicaLost(lost.info.release) from None
        return route

    def _ready_route(self, lost: Route, request: InferenceRequest) -> Route | None:
        try:
            return self._route_of(request)
        except ModelNotReady:
            return None
        except RequestError:  # it was right for the version that died; it is not the caller's to change
            raise ReplicaLost(lost.info.release) from None

    @asynccontextmanager
    async def _turn(self, model: str, deadline: float) -> AsyncIterator[bool]:
        """Wait for the model's turn; false without having got it, once half of the time that is left is over."""
        turn, is_mine = self._turns[model], False
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE * (deadline - time.perf_counter())):
                is_mine = await turn.acquire()
        try:
            yield is_mine
        finally:
            if is_mine:
                turn.release()
