"""The gateway's shell: the only deployment with a route."""

from __future__ import annotations

from collections.abc import Mapping

from deployments.cluster import RayCluster
from deployments.logs import use_serve_log
from deployments.metrics import RayMetrics, scrape_cluster
from serve_app.config.gateway import GatewayArgs
from serve_app.data_plane.plane import DataPlane
from serve_app.observability.request_log import RequestLog
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages
from serve_app.types import InferenceRequest, InferenceResponse


class Gateway:
    """Answers HTTP requests and Python handle calls; every decision is made in `serve_app`."""

    def __init__(self, args: GatewayArgs) -> None:
        use_serve_log()
        self._plane = DataPlane(RayCluster(), args.limits, RequestLog(RayMetrics()))

    def __serve_build_asgi_app__(self) -> GatewayAsgi:
        """The ASGI application; Serve calls this once the constructor is done."""
        pages = Pages(self._plane, scrape_cluster).app
        handler = InferHandler(self._plane)
        return GatewayAsgi(handler, pages, self._plane.limits.max_body_bytes, in_serve=True)

    async def reconfigure(self, user_config: Mapping[str, object]) -> None:
        """Take a new traffic table into use; nothing restarts, not even for a table that is wrong."""
        self._plane.configure(user_config)

    async def infer(self, request: InferenceRequest) -> InferenceResponse:
        """Answer a Python handle call."""
        return await self._plane.infer(request)
