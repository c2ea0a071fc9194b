"""The gateway's shell: the only deployment with a route."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

import ray
from ray.serve.handle import DeploymentHandle

from deployments.cluster import RayCluster
from deployments.control import HandleControl
from deployments.grpc import GrpcMethods
from deployments.hot_routes import HotRoutes
from deployments.logs import use_request_log, use_serve_log
from deployments.memory import GATEWAY_GC_THRESHOLD, freeze_heap, keep_freed_pages
from deployments.metrics import RayMetrics
from deployments.starting import lead
from serve_app.config.gateway import ExpressConfig, GatewayArgs
from serve_app.data_plane.inline import InlineReleases
from serve_app.data_plane.plane import DataPlane, Options
from serve_app.dataflow.block_server import BlockServer
from serve_app.observability.request_log import RequestLog
from serve_app.observability.scrape import bracketed, scrape_nodes
from serve_app.transport.admin import Admin
from serve_app.transport.admin_token import AdminToken
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.express import ExpressDoor
from serve_app.transport.grpc import GrpcHandler
from serve_app.transport.grpc_health import HealthHandler
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages
from serve_app.transport.rsgi import GatewayRsgi
from serve_app.types import InferenceRequest, InferenceResponse


class Gateway(GrpcMethods):
    """Answers HTTP requests, gRPC and Python handle calls; every decision is made in `serve_app`.

    Args:
        args: Its settings.
        releases: The controller of releases; the gateway goes on without it.
    """

    _door: ExpressDoor | None = None
    _is_started = False

    def __init__(self, args: GatewayArgs, releases: DeploymentHandle) -> None:
        use_serve_log()
        use_request_log()
        keep_freed_pages()
        self._cluster = RayCluster()
        metrics = RayMetrics()
        inline = InlineReleases(partial(BlockServer.load, metrics=metrics))
        control = HandleControl(releases)
        options = Options(inline, args.explain, control)
        self._plane = DataPlane(self._cluster, args.limits, RequestLog(metrics), options=options)
        admin = Admin(control, AdminToken.of(args, os.environ), args.admin)
        self._pages, self._handler = Pages(self._plane, _scrape_cluster, admin).app, InferHandler(self._plane)
        self._grpc = GrpcHandler(self._plane, admin)
        self._health = HealthHandler(self._plane.directory, self._cluster.stopping)
        self._door = self._express(args.express) if args.express else None
        lead()

    def __serve_build_asgi_app__(self) -> GatewayAsgi:
        """The ASGI application; Serve calls this once the constructor is done."""
        if self._door:
            self._door.start()
            self._leaving = asyncio.get_running_loop().create_task(self._close_in_time(self._door))
        HotRoutes.use(GatewayAsgi(self._handler, self._pages, self._plane.limits))
        return GatewayAsgi(self._handler, self._pages, self._plane.limits, in_serve=True)

    async def reconfigure(self, user_config: Mapping[str, object]) -> None:
        """Take a new traffic table into use; nothing restarts, not even for a table that is wrong.

        The first time, Serve calls the replica running, and may end others for it, once this returns.
        """
        self._plane.configure(user_config)
        await asyncio.gather(self._plane.inline.first_loaded(), self._plane.informed())
        if not self._is_started:
            self._is_started = True
            freeze_heap(GATEWAY_GC_THRESHOLD)
        if self._door:
            await self._door.opened()

    async def check_health(self) -> None:
        """Have Serve replace the replica if its express door was shut by a fault."""
        lead()  # of the threads that were begun since
        if self._door:
            self._door.check()

    async def __del__(self) -> None:
        """Serve calls this last of all, with its own proxy's requests answered."""
        if self._door:
            await self._door.close()

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Answer a Python handle call."""
        return await self._plane.infer(request)

    async def stream(self, request: InferenceRequest) -> AsyncGenerator[InferenceResponse, None]:
        """Answer a Python handle call with every response of the model."""
        async with aclosing(self._plane.stream(request)) as responses:
            async for response in responses:
                yield response

    def _express(self, config: ExpressConfig) -> ExpressDoor:
        app = GatewayRsgi(self._handler, self._pages, self._plane.limits)
        return ExpressDoor(config, app, self._plane.is_settled)

    async def _close_in_time(self, door: ExpressDoor) -> None:
        """Behind HAProxy Serve uses up all of a stopping replica's time before it calls `__del__`."""
        await self._cluster.stopping.wait()
        await door.close()


async def _scrape_cluster() -> bytes:
    """The serving metrics of every node that is alive, in Prometheus' text format."""
    return await scrape_nodes(
        [
            f"http://{bracketed(node['NodeManagerAddress'])}:{node['MetricsExportPort']}/metrics"
            for node in ray.nodes()
            if node["Alive"]
        ]
    )
