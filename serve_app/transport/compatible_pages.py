"""The routes off the hot path that clients of TensorFlow Serving and TorchServe know: status, metadata, description."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.data_plane.cluster import ReleaseState
from serve_app.data_plane.plane import DataPlane
from serve_app.data_plane.route import VersionStatus
from serve_app.errors import InvalidInput, NotSupported
from serve_app.protocol.tensorflow_rest import model_metadata

MAX_MODELS = 100  # in one page of TorchServe's list, as there
_TENSORFLOW_STATES = {
    ReleaseState.READY: "AVAILABLE",
    ReleaseState.LOADING: "LOADING",
    ReleaseState.UNAVAILABLE: "END",
}


class CompatiblePages:
    """Handlers of these routes.

    Args:
        plane: The data plane they tell about.

    Attributes:
        routes: For a Starlette application that answers `ServeAppError`.
    """

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        model = "/v1/models/{model}"
        self.routes = [
            *(
                route
                for path in (model, model + "/versions/{version}", model + "/labels/{version}")
                for route in (Route(path, self.status), Route(path + "/metadata", self.metadata))
            ),
            Route("/ping", self.ping),
            Route("/models", self.models),
            Route("/models/{model}", self.description),
            Route("/models/{model}/{version}", self.description),
        ]

    async def status(self, request: Request) -> Response:
        """`GET /v1/models/{m}[/versions/{v}|/labels/{l}]`: the state of each version, or of one."""
        name, version = request.path_params["model"], request.path_params.get("version", "")
        statuses = self._plane.directory.versions(name)
        if version:
            tag = self._plane.directory.version_of(name, version)
            statuses = [status for status in statuses if status.version == tag]
        return JSONResponse({"model_version_status": [_tensorflow_status(status) for status in statuses]})

    async def metadata(self, request: Request) -> Response:
        """`GET /v1/models/{m}[/versions/{v}|/labels/{l}]/metadata`: the signature."""
        info = await self._plane.describe(request.path_params["model"], request.path_params.get("version", ""))
        return JSONResponse(model_metadata(info))

    async def ping(self, request: Request) -> Response:
        """`GET /ping`: healthy once every model of the traffic table can be answered, else 500 as from TorchServe."""
        if self._plane.directory.is_ready():
            return JSONResponse({"status": "Healthy"})
        return JSONResponse({"status": "Unhealthy"}, HTTPStatus.INTERNAL_SERVER_ERROR)

    async def models(self, request: Request) -> Response:
        """`GET /models[?limit=&next_page_token=]`: the names, a page at a time."""
        names = self._plane.directory.models
        start = _number(request, "next_page_token", 0)
        end = start + min(_number(request, "limit", MAX_MODELS), MAX_MODELS)
        page: dict[str, object] = {"models": [{"modelName": name, "modelUrl": ""} for name in names[start:end]]}
        if start < end < len(names):
            page["nextPageToken"] = str(end)
        return JSONResponse(page)

    async def description(self, request: Request) -> Response:
        """`GET /models/{m}[/{v}|/all]`: what is known of the version with most traffic, of one, or of all."""
        name, version = request.path_params["model"], request.path_params.get("version", "")
        if request.query_params.get("customized", "false").lower() != "false":
            raise NotSupported("customized=true: releases have no description of their own; see GET /v2/models/{model}")
        statuses = self._plane.directory.versions(name)
        if not version:
            statuses = [max(statuses, key=lambda status: (status.effective, status.traffic))]
        elif version != "all":
            tag = self._plane.directory.version_of(name, version)
            statuses = [status for status in statuses if status.version == tag]
        return JSONResponse([await self._describe(status) for status in statuses])

    async def _describe(self, status: VersionStatus) -> dict[str, object]:
        """One version as TorchServe tells it, without what has no like here: one worker stands for all replicas."""
        description = {"modelName": status.model, "modelVersion": status.version, "modelUrl": "", "runtime": "python"}
        if status.state is not ReleaseState.READY:
            return {**description, "workers": []}
        info = await self._plane.describe(status.model, status.version)
        worker = {"id": info.release, "status": "READY", "gpu": info.device.startswith("cuda")}
        return {**description, "engine": info.platform, "batchSize": info.max_rows, "workers": [worker]}


def _tensorflow_status(status: VersionStatus) -> dict[str, object]:
    code = "OK" if status.state is not ReleaseState.UNAVAILABLE else "UNAVAILABLE"
    return {
        "version": status.version,
        "state": _TENSORFLOW_STATES[status.state],
        "status": {"error_code": code, "error_message": status.reason},
    }


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidInput(f"query parameter {name!r}", f"is {text[:40]!a}, must be a whole number")
    return int(text)
