"""Serve's REST API on the Ray dashboard: what runs, and what shall run."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from serve_app.cli.output import CommandError
from serve_app.cli.server import Refused, Server
from serve_app.config.ray_token import users_token
from serve_app.data_plane.cluster import last_sentence
from serve_app.release.applications import Running, RunningApplication
from serve_app.release.deploys import ServeConfig

_PATH = "/api/serve/applications/"
_MOST_CHARACTERS = 600


class ServeRest:
    """Requests to one dashboard."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def running(self) -> Running:
        """Every application and the options that Serve was started with.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        try:
            details = _Details.model_validate(self._asked())
        except ValidationError:
            raise CommandError(f"{self._server.url} answers as no Ray dashboard does; name it by --dashboard") from None
        applications = {
            name: RunningApplication(name, one.deployed_app_config, one.status, one.reason)
            for name, one in details.applications.items()
        }
        options = {
            key: value for key, value in details.model_dump(exclude={"applications"}).items() if value is not None
        }
        return Running(applications, options)

    def deploy(self, config: ServeConfig) -> None:
        """Have Serve run what a config says and delete every other application that a file deployed.

        Raises:
            CommandError: Nobody answers, or Serve cannot take it.
        """
        try:
            self._server.put(_PATH, config)
        except Refused as error:
            raise _explained(error) from None

    def _asked(self) -> object:
        try:
            return self._server.get(_PATH).document
        except Refused as error:
            raise _explained(error) from None


def dashboard(address: str, environment: Mapping[str, str], timeout_s: float) -> Server:
    """The way to a dashboard, with Ray's token if there is one.

    Raises:
        CommandError: The address is no URL.
    """
    if not address.startswith(("http://", "https://")):
        raise CommandError(f"--dashboard must begin with http:// or https://, not be {address!r}")
    return Server(address, timeout_s, users_token(environment))


def is_here(url: str) -> bool:
    """Whether a URL is this machine's own: localhost, or an address of its loopback."""
    try:
        host = httpx.URL(url).host
        return host == "localhost" or ip_address(host).is_loopback
    except (httpx.InvalidURL, ValueError):
        return False


class _Deployment(BaseModel):
    message: str = ""


class _Application(BaseModel):
    status: str
    message: str = ""
    deployed_app_config: dict[str, Any] | None = None
    deployments: dict[str, _Deployment] = {}

    @property
    def reason(self) -> str:
        """Why it is not running: its deployments know, where the application only says that they failed."""
        return (
            "; ".join(filter(None, (last_sentence(one.message) for one in self.deployments.values()))) or self.message
        )


class _Details(BaseModel):
    applications: dict[str, _Application]
    proxy_location: str | None = None
    http_options: dict[str, Any] | None = None
    grpc_options: dict[str, Any] | None = None
    target_capacity: float | None = None


def _explained(error: Refused) -> Refused:
    """The refusal with what Serve said: the end of it, where a traceback has its reason."""
    if error.status in (401, 403):
        hint = "set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, or have the token in ~/.ray/auth_token"
        return Refused(f"the Ray dashboard refuses us (status {error.status}): {hint}", error.status, error.body)
    said = " ".join(error.body.split())
    short = said if len(said) <= _MOST_CHARACTERS else f"…{said[-_MOST_CHARACTERS:]}"
    return Refused(f"Serve does not take this (status {error.status}): {short or error}", error.status, error.body)
