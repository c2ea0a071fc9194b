"""TorchServe's management verbs, over the same controller as everything that changes what is served."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.data_plane.plane import DataPlane
from serve_app.errors import InvalidInput, VersionNotFound
from serve_app.transport.admin import READY_WITHIN_S, Admin, until_ready

_MAX_DIGITS = 6


class TorchserveAdmin:
    """Handlers of these routes; they are switched on by `args.admin` of the gateway and need its token.

    A version is a folder with a `model.yaml`, `<model>/<version>`, not an archive; `url` is its path or URL. What a
    call registers, scales or removes lasts until the serve file is applied again.

    Args:
        plane: Knows the models.
        admin: The way to the controller.

    Attributes:
        routes: For a Starlette application that answers `ServeAppError`.
    """

    def __init__(self, plane: DataPlane, admin: Admin) -> None:
        self._plane, self._admin = plane, admin
        model = "/models/{model}"
        self.routes = [
            Route("/models", self.register, methods=["POST"]),
            Route(model + "/{version}/set-default", self.set_default, methods=["PUT"]),
            *(
                route
                for path in (model, model + "/{version}")
                for route in (
                    Route(path, self.scale, methods=["PUT"]),
                    Route(path, self.unregister, methods=["DELETE"]),
                )
            ),
        ]

    async def register(self, request: Request) -> Response:
        """`POST /models?url=[&model_name=&initial_workers=&synchronous=]`: one worker more is one replica more."""
        self._admin.check_verb(request.headers, "registering a model by a call")
        given = _query(request, "url", "model_name", "initial_workers", "synchronous")
        url = given.get("url", "")
        folders = PurePosixPath((url.partition("://")[2] or url).strip("/")).parts
        if len(folders) < 2:
            raise InvalidInput("query parameter 'url'", "must be given: a folder <model>/<version> with a model.yaml")
        model, version = given.get("model_name", folders[-2]), folders[-1]
        replicas = _number(given, "initial_workers", 1)
        await self._admin.verb("register", model=model, version=version, source=url, replicas=replicas)
        if given.get("synchronous", "false").lower() == "true":
            await until_ready(self._plane.directory, model, version, READY_WITHIN_S)
        return _status(f'Model "{model}" Version: {version} registered with {replicas} initial workers')

    async def scale(self, request: Request) -> Response:
        """`PUT /models/{m}[/{v}]?min_worker=[&max_worker=]`: replicas come and go while the others go on."""
        self._admin.check_verb(request.headers, "scaling a model by a call")
        name, version = self._named(request)
        given = _query(request, "min_worker", "max_worker")
        least = _number(given, "min_worker", 1)
        most = _number(given, "max_worker", least)
        await self._admin.verb("scale", model=name, version=version, min_replicas=least, max_replicas=most)
        return _status(f'Model "{name}": workers are being scaled to {least} .. {most}')

    async def set_default(self, request: Request) -> Response:
        """`PUT /models/{m}/{v}/set-default`: all traffic goes to that version."""
        self._admin.check_verb(request.headers, "moving traffic by a call")
        name, version = self._named(request)
        await self._admin.verb("set-default", model=name, version=version)
        return _status(f'Default version successfully updated for model "{name}" to "{version}"')

    async def unregister(self, request: Request) -> Response:
        """`DELETE /models/{m}[/{v}]`: refused while it has traffic."""
        self._admin.check_verb(request.headers, "unregistering a model by a call")
        name, version = self._named(request)
        await self._admin.verb("unregister", model=name, version=version)
        return _status(f'Model "{name}" unregistered')

    def _named(self, request: Request) -> tuple[str, str | None]:
        """The model and version of the URL; a label stands for its version.

        Raises:
            ModelNotFound: The traffic table does not have the model.
        """
        name, version = request.path_params["model"], request.path_params.get("version")
        self._plane.directory.versions(name)
        if version is None:
            return name, None
        try:
            return name, self._plane.directory.version_of(name, version)
        except VersionNotFound:  # it may be deployed all the same, which the controller knows
            return name, version


def _status(sentence: str) -> Response:
    return JSONResponse({"status": sentence})


def _query(request: Request, *known: str) -> Mapping[str, str]:
    for name in request.query_params:
        if name not in known:
            said = f"has no effect here; there are: {', '.join(known)}"
            raise InvalidInput(f"query parameter {name[:40]!a}", said)
    return request.query_params


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "")
    if not text and name not in given:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidInput(f"query parameter {name!r}", f"is {text[:40]!a}, must be a whole number")
    if int(text) == 0:
        said = "is 0: a release without replicas gets no traffic that could wake it; unregister it instead"
        raise InvalidInput(f"query parameter {name!r}", said)
    return int(text)
