"""The routes off the hot path, as a Starlette application: metadata, readiness, the repository index and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.metadata import version as package_version

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.data_plane.cluster import ReleaseState
from serve_app.data_plane.plane import DataPlane
from serve_app.errors import RouteNotFound, ServeAppError
from serve_app.protocol.v2_json import model_metadata, parse_object
from serve_app.transport.admin import Admin
from serve_app.transport.compatible_pages import CompatiblePages
from serve_app.transport.generate import Generate
from serve_app.transport.http import error_response
from serve_app.transport.openapi import OpenApi
from serve_app.transport.release_pages import ReleasePages
from serve_app.transport.torchserve_admin import TorchserveAdmin
from serve_app.transport.triton_pages import TritonPages

SERVER_NAME = "serve-app"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
]
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Scrape = Callable[[], Awaitable[bytes]]
"""Gives all serving metrics in Prometheus' text format."""


class Pages:
    """Handlers of the cold routes.

    Args:
        plane: The data plane they tell about.
        scrape: What `/metrics` shows.
        admin: The way to the controller of releases; None where there is none.
    """

    def __init__(self, plane: DataPlane, scrape: Scrape, admin: Admin | None = None) -> None:
        self._plane, self._scrape = plane, scrape
        admin = admin or Admin()
        model = "/v2/models/{model}"
        self.app = Starlette(
            routes=[
                Route("/v2", self.server),
                Route("/v2/health/live", self.live),
                Route("/v2/health/ready", self.ready),
                Route("/v2/repository/index", self.index, methods=["POST"]),
                Route("/v2/repository/{repository}/index", self.index, methods=["POST"]),
                *TritonPages(plane, admin).routes,
                *Generate(plane).routes,
                *(
                    route
                    for path in (model, model + "/versions/{version}", model + "/labels/{version}")
                    for route in (Route(path, self.model), Route(path + "/ready", self.model_ready))
                ),
                Route("/metrics", self.metrics),
                *CompatiblePages(plane).routes,
                *TorchserveAdmin(plane, admin).routes,
                *ReleasePages(plane, admin).routes,
                *OpenApi().routes,
            ],
            exception_handlers={HTTPException: _http_error, ServeAppError: self._error, Exception: self._error},
        )
        self.app.router.redirect_slashes = False

    async def server(self, request: Request) -> Response:
        """`GET /v2`."""
        return JSONResponse({"name": SERVER_NAME, "version": package_version("serve-app"), "extensions": EXTENSIONS})

    async def live(self, request: Request) -> Response:
        """`GET /v2/health/live`: this answer is the proof."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """`GET /v2/health/ready`: 200 once every model of the traffic table can be answered.

        A table that was refused later does not make it less ready: the one before serves on, and `error` says so.
        """
        is_ready = self._plane.directory.is_ready()
        answer: dict[str, object] = {"live": True, "ready": is_ready}
        if self._plane.table_fault:
            answer["error"] = self._plane.table_fault
        return JSONResponse(answer, _ready_status(is_ready))

    async def model(self, request: Request) -> Response:
        """`GET /v2/models/{m}[/versions/{v}]`: the signature of the version named, or of one with traffic."""
        name, version = request.path_params["model"], request.path_params.get("version", "")
        info = await self._plane.describe(name, version)
        ready = [
            status.version for status in self._plane.directory.versions(name) if status.state is ReleaseState.READY
        ]
        return JSONResponse(model_metadata(info, tuple(ready)))

    async def model_ready(self, request: Request) -> Response:
        """`GET /v2/models/{m}[/versions/{v}]/ready`: 200 if it can be answered, else 503 with the reason."""
        name, version = request.path_params["model"], request.path_params.get("version", "")
        directory = self._plane.directory
        statuses = directory.versions(name)
        if version:
            tag = directory.version_of(name, version)
            statuses = [status for status in statuses if status.version == tag]
            is_ready = statuses[0].state is ReleaseState.READY
        else:
            is_ready = any(status.effective > 0 for status in statuses)
        answer: dict[str, object] = {"name": name, "ready": is_ready}
        if not is_ready:
            answer["error"] = "; ".join(
                f"{name} {status.version}: {status.reason}" for status in statuses if status.reason
            )
        return JSONResponse(answer, _ready_status(is_ready))

    async def index(self, request: Request) -> Response:
        """`POST /v2/repository[/{r}]/index`: every version with its state, as Triton lists it, and its traffic."""
        body = await request.body()
        only_ready = bool(parse_object(body).get("ready")) if body else False
        directory = self._plane.directory
        return JSONResponse(
            [
                {
                    "name": model,
                    "version": status.version,
                    "state": status.state,
                    "reason": status.reason,
                    "traffic": status.traffic,
                    "effective_traffic": status.effective,
                    "labels": list(status.labels),
                }
                for model in directory.models
                for status in directory.versions(model)
                if status.state is ReleaseState.READY or not only_ready
            ]
        )

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`: the whole cluster's serving metrics in one scrape."""
        return Response(await self._scrape(), media_type=METRICS_TYPE)

    async def _error(self, request: Request, error: Exception) -> Response:
        request_id = self._plane.request_id(request.headers.get("x-request-id", ""))
        response = error_response(error, request_id)
        headers = {name: value for name, value in response.headers.items() if name != "x-request-id"}
        return Response(response.body, response.status, headers)


def _ready_status(is_ready: bool) -> HTTPStatus:
    return HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    path = request.scope["path"]
    if status == HTTPStatus.NOT_FOUND:
        return JSONResponse({"error": str(RouteNotFound(path))}, status)
    headers = error.headers if isinstance(error, HTTPException) else None
    sentence = f"{request.method} {path[:200]}: {HTTPStatus(status).phrase.lower()}"
    return JSONResponse({"error": sentence}, status, headers)
