"""The routes of releases: what is under way, commands to the controller, and feedback about answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serve_app.errors import CommandRefused, MalformedBody, ModelNotFound
from serve_app.protocol.v2_json import parse_object
from serve_app.release.messages import Feedback
from serve_app.release.parsing import command_of, feedback_of
from serve_app.transport.admin import Admin
from serve_app.transport.http import JSON


class TakesFeedback(Protocol):
    """The part of the data plane that these routes need."""

    def feedback(self, items: Sequence[Feedback]) -> None:
        """Count what became known about answers."""


class ReleasePages:
    """Handlers of these routes.

    Args:
        plane: Takes feedback.
        admin: The way to the controller.

    Attributes:
        routes: For a Starlette application that answers `ServeAppError`.
    """

    def __init__(self, plane: TakesFeedback, admin: Admin) -> None:
        self._plane, self._admin = plane, admin
        self.routes = [
            Route("/v2/releases", self.releases),
            Route("/v2/releases/{model}", self.release),
            Route("/v2/experiments/{name}", self.experiment),
            Route("/admin/commands", self.command, methods=["POST"]),
            Route("/v1/feedback", self.feedback, methods=["POST"]),
        ]

    async def releases(self, request: Request) -> Response:
        """`GET /v2/releases`: models, versions, rollouts, gates and the last events."""
        return JSONResponse(await self._admin.control.status())

    async def release(self, request: Request) -> Response:
        """`GET /v2/releases/{m}`: the model's part of it."""
        models, name = (await self._admin.control.status()).get("models"), request.path_params["model"]
        known: Mapping[str, object] = models if isinstance(models, Mapping) else {}
        if name not in known:
            raise ModelNotFound(name, tuple(known))
        return JSONResponse(known[name])

    async def experiment(self, request: Request) -> Response:
        """`GET /v2/experiments/{n}`: its metrics by version, with intervals; 404 if there is none of that name."""
        try:
            return JSONResponse(await self._admin.control.experiment(request.path_params["name"]))
        except CommandRefused as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.NOT_FOUND)

    async def command(self, request: Request) -> Response:
        """`POST /admin/commands`: one command of `serve_app.release.commands`; its `verb` says which."""
        self._admin.token.check(request.headers, "POST /admin/commands")
        content_type = request.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != JSON:
            raise MalformedBody(f"content-type must be {JSON}, not {content_type[:40]!a}")
        command = command_of(parse_object(await request.body()))
        return JSONResponse(await self._admin.command(command))

    async def feedback(self, request: Request) -> Response:
        """`POST /v1/feedback`: true labels of answers, or numbers that say how good they were, by `request_id`.

        An identity that no gateway knows (any more) is counted nowhere; that is not known here.
        """
        items = feedback_of(parse_object(await request.body()))
        self._plane.feedback(items)
        return JSONResponse({"accepted": len(items)})
