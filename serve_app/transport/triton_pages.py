"""The routes off the hot path that clients of Triton know beside V2's own: configuration, statistics and settings."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.statistics import statistics_of
from serve_app.errors import InvalidInput, NotSupported
from serve_app.protocol.v2_config import model_config
from serve_app.protocol.v2_json import NO_SHARED_MEMORY, parse_object
from serve_app.protocol.v2_statistics import model_statistics
from serve_app.transport.admin import Admin

TRACE_SETTINGS = {
    "trace_level": ["OFF"],
    "trace_rate": "1000",
    "trace_count": "-1",
    "log_frequency": "0",
    "trace_file": "",
}
"""Nothing is traced in Triton's way."""

_SERVER_LOG = logging.getLogger("serve_app")


class TritonPages:
    """Handlers of these routes.

    Args:
        plane: The data plane they tell about.
        admin: The way to the controller, for load and unload.

    Attributes:
        routes: For a Starlette application that answers `ServeAppError`; before those of `/v2/models/{model}`.
    """

    def __init__(self, plane: DataPlane, admin: Admin) -> None:
        self._plane, self._admin = plane, admin
        model = "/v2/models/{model}"
        self.routes = [
            Route("/v2/models", self.models),
            Route("/v2/models/stats", self.statistics),
            *(
                route
                for path in (model, model + "/versions/{version}", model + "/labels/{version}")
                for route in (Route(path + "/config", self.config), Route(path + "/stats", self.statistics))
            ),
            *(
                Route(f"{repository}/models/{{model}}/{verb}", handler, methods=["POST"])
                for repository in ("/v2/repository", "/v2/repository/{repository}")
                for verb, handler in (("load", self.load), ("unload", self.unload))
            ),
            *(Route(path + "/trace/setting", self.trace, methods=["GET", "POST"]) for path in ("/v2", model)),
            Route("/v2/logging", self.logging, methods=["GET", "POST"]),
            *(
                route
                for kind in ("/v2/systemsharedmemory", "/v2/cudasharedmemory")
                for path in (kind, kind + "/region/{region}")
                for route in (
                    Route(path + "/status", self.shared_memory),
                    Route(path + "/register", self.register, methods=["POST"]),
                    Route(path + "/unregister", self.register, methods=["POST"]),
                )
            ),
        ]

    async def models(self, request: Request) -> Response:
        """`GET /v2/models`: the names, as KServe lists them."""
        return JSONResponse({"models": list(self._plane.directory.models)})

    async def config(self, request: Request) -> Response:
        """`GET /v2/models/{m}[/versions/{v}]/config`: Triton's model configuration of the version named, or of one."""
        info = await self._plane.describe(request.path_params["model"], request.path_params.get("version", ""))
        return JSONResponse(model_config(info))

    async def statistics(self, request: Request) -> Response:
        """`GET /v2/models[/{m}[/versions/{v}]]/stats`: what the ready versions have executed."""
        name, version = request.path_params.get("model", ""), request.path_params.get("version", "")
        counted = await statistics_of(self._plane.directory, name, version)
        return JSONResponse({"model_stats": [model_statistics(info, figures) for info, figures in counted]})

    async def load(self, request: Request) -> Response:
        """`POST /v2/repository[/{r}]/models/{m}/load`: deploy what was unloaded; answered once it can be called.

        What is deployed is what the serve file declared, so the body has no parameters.
        """
        self._admin.check_verb(request.headers, "loading a model by a call")
        body = await request.body()
        check_parameters(bool(body and parse_object(body).get("parameters")))
        await self._admin.load(self._plane.directory, request.path_params["model"])
        return JSONResponse({})

    async def unload(self, request: Request) -> Response:
        """`POST /v2/repository[/{r}]/models/{m}/unload`: delete the model's applications until it is loaded again."""
        self._admin.check_verb(request.headers, "unloading a model by a call")
        await self._admin.unload(self._plane.directory, request.path_params["model"])
        return JSONResponse({})

    async def trace(self, request: Request) -> Response:
        """`GET /v2[/models/{m}]/trace/setting`: that nothing is traced."""
        if "model" in request.path_params:
            self._plane.directory.versions(request.path_params["model"])
        if request.method == "POST":
            raise NotSupported("trace settings cannot be changed: nothing is traced in Triton's way; see GET /metrics")
        return JSONResponse(TRACE_SETTINGS)

    async def logging(self, request: Request) -> Response:
        """`GET /v2/logging`: what the log of this gateway takes."""
        if request.method == "POST":
            raise NotSupported("log settings cannot be changed by a call: set logging_config in the serve YAML")
        levels = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
        taken = {f"log_{name}": _SERVER_LOG.isEnabledFor(level) for name, level in levels.items()}
        verbose = int(_SERVER_LOG.isEnabledFor(logging.DEBUG))
        return JSONResponse({"log_file": "", **taken, "log_verbose_level": verbose, "log_format": "default"})

    async def shared_memory(self, request: Request) -> Response:
        """`GET /v2/{system|cuda}sharedmemory[/region/{r}]/status`: no region is registered."""
        region = request.path_params.get("region")
        if region is not None:
            raise InvalidInput(f"shared memory region {region[:128]!r}", f"is not registered: {NO_SHARED_MEMORY}")
        return JSONResponse([])

    async def register(self, request: Request) -> Response:
        """`POST /v2/{system|cuda}sharedmemory[/region/{r}]/{register|unregister}`: refused for good.

        A region that a client names and the server opens has led to running a client's code (CVE-2025-23319).
        """
        raise NotSupported(f"shared memory is not supported: {NO_SHARED_MEMORY}")


def check_parameters(has_any: bool) -> None:
    """Refuse a load whose parameters would change what the operator declared.

    Raises:
        NotSupported: There are any.
    """
    if has_any:
        raise NotSupported("a load takes no parameters here: what is loaded is what the serve file declared")
