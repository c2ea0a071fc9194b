"""The one place that knows how to infer; every protocol and the Python handle call it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from pydantic import ValidationError

from serve_app.config.gateway import LimitsConfig, TrafficTable
from serve_app.data_plane.accounting import Accounting
from serve_app.data_plane.answering import response_of, wanted
from serve_app.data_plane.cluster import Cluster
from serve_app.data_plane.directory import Directory
from serve_app.data_plane.exchange import Exchange
from serve_app.data_plane.inline import InlineReleases, JoinedCluster
from serve_app.data_plane.loop_lag import LoopLag
from serve_app.data_plane.route import Route
from serve_app.data_plane.second_try import Attempt, SecondTries
from serve_app.data_plane.stickiness import is_in_body, user_of
from serve_app.data_plane.streaming import Streaming
from serve_app.data_plane.validation import validate
from serve_app.errors import (
    DeadlineExceeded,
    DeadlineUnreachable,
    Forbidden,
    InvalidInput,
    InvalidTable,
    NotSupported,
    ReplicaLost,
    ServeAppError,
)
from serve_app.observability.request_log import UNKNOWN, RequestLog
from serve_app.protocol.call import Call
from serve_app.release.control import ReleaseControl
from serve_app.release.messages import Feedback
from serve_app.types import (
    DEFAULT_PRIORITY,
    InferenceRequest,
    InferenceResponse,
    ReleaseInfo,
)

logger = logging.getLogger("serve_app.data_plane")

DESCRIBE_TIMEOUT_S = 2.0

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Options:
    """What a data plane may have beside a cluster.

    Attributes:
        inline: The releases of this process; they come and go with the traffic table.
        explains: Whether requests may ask what was done for them.
        control: Who moves traffic between versions; without it the declared table holds.
    """

    inline: InlineReleases | None = None
    explains: bool = False
    control: ReleaseControl | None = None


NO_OPTIONS = Options()


class DataPlane:
    """Validates a request, chooses its release, has it executed and accounts for it.

    Args:
        cluster: Where the releases run.
        limits: Bounds on one request.
        log: Told once about every request, whatever became of it.
        random_point: Gives numbers in [0, 1) that choose among the shares of a traffic split, and what is copied.
        options: What there is beside.

    Attributes:
        control: As of `Options`.
        table_fault: Why the last `user_config` was not taken into use; empty if it was.
    """

    def __init__(
        self,
        cluster: Cluster,
        limits: LimitsConfig,
        log: RequestLog,
        random_point: Callable[[], float] = random.random,
        options: Options = NO_OPTIONS,
    ) -> None:
        self.inline, self.control = options.inline or InlineReleases(), options.control
        self.directory = Directory(JoinedCluster(cluster, self.inline))
        self.limits = limits
        self.table_fault = ""
        self._accounting = Accounting(log, self.directory, random_point)
        self._exchange = Exchange(self.control, self.directory, self._accounting) if self.control else None
        self._random_point, self._explains = random_point, options.explains
        self._id_prefix, self._ids = secrets.token_hex(6), itertools.count(1)
        self._watch: asyncio.Task[None] | None = None
        self._lag = LoopLag()
        self._streaming = Streaming(self._accounting, self._admit_stream, self._route_again, limits.timeout_s)
        self._second = SecondTries(self._route_anew, self.directory.changed, self._execute)

    def set_table(self, table: TrafficTable) -> None:
        """Take a new traffic table into use; the first time, start to watch the cluster and to ask the controller.

        Raises:
            InvalidTable: It changes a release of this process; the old table stays.
        """
        self.inline.declare(table.inline, self.directory.look)
        self.directory.set_table(table)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self.directory.watch())
            self._lag.start()
            if self._exchange is not None:
                self._exchange.start()

    def configure(self, user_config: Mapping[str, object]) -> None:
        """Take the traffic table of a `user_config` into use, or keep the old one and say why.

        Raises:
            InvalidTable: It breaks the schema and there is no older one to go on with.
        """
        try:
            self.set_table(_table_of(user_config))
        except InvalidTable as refused:
            if self._watch is None:
                raise
            self.table_fault = str(refused)
            logger.error("%s", refused)
        else:
            self.table_fault = ""

    async def close(self) -> None:
        """Stop watching the cluster and asking the controller, and write what the log holds back."""
        await self._accounting.close()
        if self._exchange is not None:
            await self._exchange.close()
        self._lag.stop()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
            self._watch = None
        await self.directory.close()
        await self.inline.close()

    @property
    def is_behind(self) -> bool:
        """Whether the event loop is so late that `turn_away` may refuse."""
        return self._lag.is_behind

    async def informed(self) -> None:
        """Return once the controller, if there is one, has said what should hold, or did not answer in time."""
        if self._exchange is not None:
            await self._exchange.asked()

    def is_settled(self) -> bool:
        """Whether it answers all that a gateway which started long ago would: what should hold, and the ways there."""
        return (self._exchange is None or self._exchange.was_asked) and self.directory.is_settled()

    def feedback(self, items: Sequence[Feedback]) -> None:
        """Count what became known about answers, here or at the gateway replica that gave them.

        Raises:
            InvalidInput: An item has an id, label or value out of bounds; none was counted.
        """
        self._accounting.feedback(items)

    def refused(self, model: str, request_id: str, error: Exception) -> None:
        """Account for a request that could not be decoded, or whose answer could not be encoded."""
        served = model if model in self.directory.models else UNKNOWN
        self._accounting.failed(InferenceRequest(served, {}, request_id=request_id), UNKNOWN, 0.0, error)

    def request_id(self, given: str = "") -> str:
        """The client's identity for a request where it can be logged and sent back, else one no other request has."""
        return given if given and _REQUEST_ID.fullmatch(given) else f"{self._id_prefix}{next(self._ids):08x}"

    def signature(self, model: str, version: str = "") -> ReleaseInfo:
        """What the release that would answer says about itself.

        Raises:
            ModelNotFound: There is no such model.
            VersionNotFound: The model has no such version or label.
            ModelNotReady: No release of it is ready.
        """
        return self.directory.resolve(model, version, 0.0).info

    async def describe(self, model: str, version: str = "") -> ReleaseInfo:
        """As `signature`, asked of the release itself, so that what it has learned since is in it.

        Raises:
            RequestError, ModelNotReady: As `signature`.
        """
        route = self.directory.resolve(model, version, 0.0)
        try:
            async with asyncio.timeout(DESCRIBE_TIMEOUT_S):
                return await route.client.describe()
        except Exception as error:  # Ray's errors have no common base; what it said when it was connected is still true
            logger.warning("%s does not describe itself: %r", route.info.release, error)
            return route.info

    def turn_away(self, call: Call) -> None:
        """Refuse a call that is not decoded yet, if it is one of those that have to go for the others to be in time.

        What else is wrong with it is said, and accounted for, once it is. Where it leaves its version to the split, the
        most patient one counts, so that all lose the same share and the split stays what it is.

        Raises:
            DeadlineUnreachable: It is; this is accounted for.
        """
        try:
            route = self.directory.resolve(call.model_name, call.model_version, self._random_point(), call.user)
            routes = (route,) if call.model_version else self.directory.answering(call.model_name)
            allowed_s = max(self._timeout_s(one, call.timeout_s) for one in routes)
        except ServeAppError:
            return
        if self._random_point() < self._lag.share_to_refuse(allowed_s):
            self._refuse(call, route, DeadlineUnreachable(route.info.release, self._lag.whole_wait_s, allowed_s))

    def refuse_hopeless(self, call: Call) -> None:
        """Refuse a call that could not be answered in time even if it had one row, before its body is decoded.

        Raises:
            DeadlineUnreachable: What is ahead takes longer than it allows; this is accounted for.
            RequestError, ModelNotReady: As `signature`.
        """
        if not call.model_version and is_in_body(self.directory.sticky(call.model_name)):
            return  # nobody knows yet where it goes
        route = self.directory.resolve(call.model_name, call.model_version, self._random_point(), call.user)
        try:
            route.coalescer.admit(1, DEFAULT_PRIORITY, self._time_left_s(route, call.timeout_s))
        except DeadlineUnreachable as error:
            self._refuse(call, route, error)

    def _refuse(self, call: Call, route: Route, error: DeadlineUnreachable) -> NoReturn:
        request = InferenceRequest(call.model_name, {}, call.model_version, request_id=call.request_id)
        self._accounting.failed(request, route.info.version, 0.0, error)
        raise error

    def infer(self, request: InferenceRequest) -> Coroutine[Any, Any, InferenceResponse]:
        """Answer one decoded request.

        Raises:
            RequestError: The request must change; it did not leave the gateway.
            CapacityError: It was refused or lost and may be repeated.
            ModelFailure: The model raised or gave a wrong answer.
            NotSupported: The model is decoupled.
            Forbidden: It asks for an explanation where that is not allowed.
        """
        return self._infer(request, self._random_point())  # a coroutine around it would cost every request

    async def _infer(self, request: InferenceRequest, point: float) -> InferenceResponse:
        started = time.perf_counter()
        if not request.request_id:
            request = replace(request, request_id=self.request_id())
        route: Route | None = None
        was_lost = False
        try:
            self._check_explained(request)
            route = self._route(request, point)
            validate(request, route.info, self.limits.max_request_rows)
            deadline = started + self._time_left_s(route, request.timeout_s)
            attempt = Attempt(route, route)
            try:
                response = await self._execute(attempt, request, deadline)
            except ReplicaLost as lost:
                if was_lost := lost.was_sent:
                    self._accounting.lost(request, route.info.version, lost)
                try:
                    response = await self._second.answer(lost, attempt, request, deadline)
                finally:
                    route = attempt.route
        except BaseException as error:  # also a client that left, and whatever is not ours: every request is counted
            version = route.info.version if route else getattr(error, "version", request.model_version)
            self._accounting.failed(request, version, time.perf_counter() - started, error, was_lost=was_lost)
            raise
        self._accounting.answered(request, response, time.perf_counter() - started, was_lost=was_lost)
        return response

    async def stream(self, request: InferenceRequest) -> AsyncGenerator[InferenceResponse, None]:
        """Answer one decoded request with every response of the model, as each comes; closing it stops the work.

        The request's deadline is the first response's; each later one has the gateway's `timeout_s`.

        Raises:
            RequestError, CapacityError, ModelFailure: As `infer`; also behind some of the responses.
        """
        point = self._random_point()
        try:
            route = self._route(request, point)
        except ServeAppError:
            route = None  # as for a model of one response, which says and accounts why
        if route is None or not route.info.decoupled:
            yield await self._infer(request, point)
            return
        if not request.request_id:
            request = replace(request, request_id=self.request_id())
        async with aclosing(self._streaming.answer(route, request)) as responses:
            async for response in responses:
                yield response

    def _route(self, request: InferenceRequest, point: float) -> Route:
        """Where a request goes: to the version that it names, else to its user's, else to the one `point` draws."""
        user = user_of(self.directory.sticky(request.model_name), request)
        return self.directory.resolve(request.model_name, request.model_version, point, user)

    def _route_anew(self, request: InferenceRequest) -> Route:
        route = self._route(request, self._random_point())
        validate(request, route.info, self.limits.max_request_rows)
        return route

    async def _route_again(self, lost: Route, request: InferenceRequest, deadline: float) -> Route:
        return await self._second.route_again(lost, request, deadline)

    async def _execute(self, attempt: Attempt, request: InferenceRequest, deadline: float) -> InferenceResponse:
        route = attempt.route
        if route.info.decoupled:
            raise NotSupported(
                f"model {request.model_name!r} has any number of responses to a request: ask it by gRPC "
                "ModelStreamInfer, or by POST to its /generate_stream"
            )
        left_s = max(0.0, deadline - time.perf_counter())
        try:
            coalesced = await route.coalescer.submit(request, left_s, alone=attempt.is_alone)
        except DeadlineExceeded as late:
            if late.is_limit or late.release != route.info.release:  # a node of a graph had less time
                raise
            allowed_s = self._timeout_s(attempt.first, request.timeout_s)  # the queue knows only what was left of it
            raise DeadlineExceeded(late.release, round(allowed_s, 3)) from None
        outputs = wanted(coalesced.outputs, request, route.info)
        return response_of(route, request, outputs, coalesced.result, coalesced.queued_s)

    def _admit_stream(self, route: Route, request: InferenceRequest) -> float:
        self._check_explained(request, is_decoupled=True)
        validate(request, route.info, self.limits.max_request_rows)
        return self._time_left_s(route, request.timeout_s)

    def _check_explained(self, request: InferenceRequest, *, is_decoupled: bool = False) -> None:
        if request.explain and not self._explains:
            raise Forbidden("explain", "args.explain: true of the gateway")
        if request.explain and is_decoupled:
            raise NotSupported(f"model {request.model_name!r} has any number of responses, which are not explained")

    def _time_left_s(self, route: Route, timeout_s: float | None) -> float:
        """Seconds the answer may take from here: without what was spent, and will be, waiting for the event loop.

        Raises:
            DeadlineUnreachable: Nothing is left.
        """
        self._lag.request_came()
        allowed_s, lost_s = self._timeout_s(route, timeout_s), self._lag.lost_s
        if lost_s >= allowed_s:
            raise DeadlineUnreachable(route.info.release, lost_s, allowed_s)
        return allowed_s - lost_s

    def _timeout_s(self, route: Route, timeout_s: float | None) -> float:
        """Seconds the answer may take: what the request says, within the release's objective or the limit."""
        slo_ms = route.info.slo_ms
        most = self.limits.timeout_s if slo_ms is None else slo_ms / 1000
        if timeout_s is None:
            return most
        if timeout_s <= 0:
            raise InvalidInput("parameter 'timeout'", f"is {timeout_s * 1e6:.0f} microseconds, must be over 0")
        return min(most, timeout_s)


def _table_of(user_config: Mapping[str, object]) -> TrafficTable:
    try:
        return TrafficTable.model_validate(user_config)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InvalidTable("; ".join(faults)) from None
