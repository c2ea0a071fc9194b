"""Which requests at Serve's proxy go past Serve's own application."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from deployments import hot_routes
from deployments.hot_routes import HotRoutes, middlewares
from serve_app.transport.asgi import GatewayAsgi

HOT = {"type": "http", "path": "/v2/models/digits/infer", "root_path": ""}


class App(GatewayAsgi):
    def __init__(self) -> None:
        self.most_ongoing, self.called = None, []

    async def __call__(self, scope, receive, send):
        self.called.append(scope)


@pytest.fixture
def replica(monkeypatch):
    """The settings of the deployment that this process would be a replica of."""
    config = SimpleNamespace(autoscaling_config=None, max_ongoing_requests=7, max_queued_requests=-1)
    monkeypatch.setattr(hot_routes.serve, "get_replica_context", lambda: SimpleNamespace(_deployment_config=config))
    monkeypatch.setattr(HotRoutes, "_gateway", None)
    monkeypatch.setattr(HotRoutes, "_loop", None)
    return config


async def taken_by_gateway(scope) -> App | None:
    """The gateway, if it was called and not Serve."""
    (middleware,) = middlewares()
    gateway, serves = App(), App()
    HotRoutes.use(gateway)
    await middleware.cls(serves, *middleware.args, **middleware.kwargs)(scope, None, None)
    assert gateway.called + serves.called == [scope]
    return gateway if gateway.called else None


@pytest.mark.parametrize("path", [HOT["path"], "/predict", "/v1/models/digits:predict", "/predictions/digits"])
async def test_infer_routes_go_to_the_gateway_which_holds_them_to_the_limit_of_the_deployment(replica, path):
    gateway = await taken_by_gateway({**HOT, "path": path})
    assert gateway.most_ongoing == 7
    replica.max_ongoing_requests, replica.max_queued_requests = 8, 3
    assert (await taken_by_gateway({**HOT, "path": path})).most_ongoing == 11


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/-/healthz"},
        {"path": "/-/routes"},
        {"path": "/v2"},
        {"path": "/metrics"},
        {"path": "/a" + HOT["path"]},
        {"type": "websocket"},
        {"root_path": "/a"},
    ],
)
async def test_all_else_goes_to_serve(replica, change):
    assert await taken_by_gateway({**HOT, **change}) is None


async def test_a_gateway_that_serve_scales_by_counting_requests_leaves_them_to_it(replica):
    replica.autoscaling_config = object()
    assert await taken_by_gateway(HOT) is None


async def test_a_process_without_a_gateway_has_serve_called(replica):
    serves = App()
    await HotRoutes(serves)(HOT, None, None)
    assert serves.called == [HOT]


def test_a_gateway_on_another_event_loop_is_not_called(replica):
    gateway, serves = App(), App()

    async def call() -> None:
        HotRoutes.use(gateway)

    asyncio.run(call())
    asyncio.run(HotRoutes(serves)(HOT, None, None))
    assert (gateway.called, serves.called) == ([], [HOT])
