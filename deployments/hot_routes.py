"""Infer routes at Serve's proxy, without what Serve does around every call of an ingress.

Behind HAProxy a request comes straight to the gateway replica's HTTP server, where Serve makes two tasks, a context and
records of its own for it before it calls the gateway: half of what a small request costs there. ASGI middlewares can be
put around that; this one takes the infer routes, for which the gateway does all of it itself, and leaves everything
else to Serve: its health checks, and pages.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ray import serve
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:  # Serve's proxies import this as well, and have no gateway
    from serve_app.transport.asgi import GatewayAsgi


class HotRoutes:
    """Calls the gateway of this process, if there is one, on infer routes, and Serve's application on all others.

    Serve does not see these requests: not where it scales the gateway by counting them, nor to hold them to
    `max_ongoing_requests` and `max_queued_requests`. So all go to Serve in the first case, and the gateway refuses what
    is beyond their sum in the second. `request_timeout_s` of `http_options` and a deployment's `backpressure_config`
    have no effect on them.
    """

    _gateway: GatewayAsgi | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @classmethod
    def use(cls, gateway: GatewayAsgi) -> None:
        """Have it called, by servers of the running event loop."""
        cls._gateway, cls._loop = gateway, asyncio.get_running_loop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection scope, as the ASGI specification 3.0 has it."""
        gateway = self._gateway
        if gateway is None or asyncio.get_running_loop() is not self._loop or not gateway.is_hot(scope):
            await self._app(scope, receive, send)
            return
        config = serve.get_replica_context()._deployment_config
        if config.autoscaling_config is not None:
            await self._app(scope, receive, send)
            return
        gateway.most_ongoing = config.max_ongoing_requests + max(0, config.max_queued_requests)  # as they are by now
        await gateway(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names in a configuration."""
    return [Middleware(HotRoutes)]
