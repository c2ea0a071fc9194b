"""A controller of releases that notes what it is asked, and the way to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serve_app.config.gateway import AdminConfig
from serve_app.errors import CommandRefused
from serve_app.release.commands import Command
from serve_app.release.control import ApplicationConfig
from serve_app.release.messages import LiveTable
from serve_app.release.records import Routing, UnloadedApplication
from serve_app.transport.admin import Admin
from serve_app.transport.admin_token import AdminToken

TOKEN = "s3cret"  # noqa: S105 - of a test
BEARER = {"authorization": f"Bearer {TOKEN}"}


class FakeControl:
    """Refuses every command with `refusal`, if that is given."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.commands: list[Command] = []
        self._refusal = refusal

    async def exchange(self, report):
        return LiveTable(7)

    async def command(self, command):
        self.commands.append(command)
        if self._refusal:
            raise self._refusal
        return {"done": command.verb}

    async def status(self):
        return {"models": {"arithmetic": {"traffic": {"v1": 100}}}, "events": []}

    async def experiment(self, name):
        if name != "layout":
            raise CommandRefused(f"there is no experiment {name!r}")
        return {"name": name}


def admin_of(control: FakeControl | None, *sources: object, is_on: bool = True, token: str = TOKEN) -> Admin:
    allowed = tuple(map(str, sources))
    config = AdminConfig(token_env="ADMIN", sources=allowed) if is_on else None  # noqa: S106 - a variable's name
    return Admin(control, AdminToken((token,)), config)


class FakeApplications:
    """Applications that are only noted."""

    def __init__(self, *configs: ApplicationConfig) -> None:
        self.now: dict[str, ApplicationConfig] = {config["name"]: config for config in configs}

    async def running(self) -> Mapping[str, ApplicationConfig]:
        return dict(self.now)

    async def deploy(self, applications: Sequence[ApplicationConfig]) -> None:
        self.now |= {config["name"]: config for config in applications}

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self.now.pop(name, None)


class KeptInMemory:
    """What calls unloaded."""

    def __init__(self) -> None:
        self.kept: dict[str, UnloadedApplication] = {}

    async def remember(self, applications: Sequence[UnloadedApplication]) -> None:
        self.kept |= {application.name: application for application in applications}

    async def recall(self) -> Sequence[UnloadedApplication]:
        return tuple(self.kept.values())

    async def forget(self, names: Sequence[str]) -> None:
        for name in names:
            self.kept.pop(name, None)


class Table:
    """The routing of models, as the controller would change it."""

    def __init__(self, **models: Routing) -> None:
        self.models = models
        self.refusal: Exception | None = None
        self.actors: list[str] = []

    async def move(self, model: str, routing: Routing, actor: str) -> None:
        if self.refusal:
            raise self.refusal
        self.actors.append(actor)
        self.models[model] = routing
