"""What every door to the controller of releases shares: its token, the operator's sources, and a limit in time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from serve_app.config.gateway import AdminConfig
from serve_app.data_plane.cluster import ReleaseState
from serve_app.data_plane.directory import Directory
from serve_app.errors import ModelNotReady, NotSupported
from serve_app.release.commands import Command, Register
from serve_app.release.control import Document, ReleaseControl
from serve_app.release.parsing import command_of
from serve_app.release.sources import allowed_source
from serve_app.transport.admin_token import AdminToken

READY_WITHIN_S = 45.0  # of a release that a call loads; clients of Triton wait for 60 s
_LOOK_S = 0.5
NO_CONTROLLER = "this gateway has no controller of releases, which moves traffic: it is not run by Ray Serve"
ACTOR = "admin token"


class Admin:
    """The way from a request to the controller.

    Args:
        control: The controller; None where there is none.
        token: Who may send commands.
        config: Switches on the verbs of other servers.
    """

    def __init__(
        self,
        control: ReleaseControl | None = None,
        token: AdminToken | None = None,
        config: AdminConfig | None = None,
    ) -> None:
        self.token = token or AdminToken()
        self._control, self._config = control, config

    @property
    def control(self) -> ReleaseControl:
        """The controller.

        Raises:
            NotSupported: There is none.
        """
        if self._control is None:
            raise NotSupported(NO_CONTROLLER)
        return self._control

    async def command(self, command: Command) -> Document:
        """Have the controller do what somebody with a token asks.

        Raises:
            Forbidden, InvalidInput: It registers a model from elsewhere than the operator's sources.
            CommandRefused, ControllerAway, NotSupported: As the controller says.
        """
        control = self.control
        if isinstance(command, Register):
            sources = self._config.sources if self._config else ()
            source = await asyncio.to_thread(allowed_source, command.source, sources)
            command = command.model_copy(update={"source": source})
        return await control.command(command)

    def check_verb(self, headers: Mapping[str, str], subject: str) -> None:
        """Let a verb of another server pass.

        Raises:
            NotSupported: The operator has not switched them on.
            Forbidden, Unauthorized: As `AdminToken.check`.
        """
        if self._config is None:
            raise NotSupported(
                f"{subject} is switched off: change the applications in the serve YAML and apply the file, or switch "
                "it on with args.admin of the gateway"
            )
        self.token.check(headers, subject)

    async def verb(self, name: str, **arguments: object) -> Document:
        """Have the controller do what a verb says; `check_verb` comes first.

        Raises:
            MalformedBody: An argument is wrong.
            CommandRefused, ControllerAway, Forbidden, InvalidInput, NotSupported: As `command`.
        """
        return await self.command(command_of({"verb": name, "actor": ACTOR, **arguments}))

    async def load(self, directory: Directory, model: str) -> None:
        """Deploy a model that was unloaded, and return once it can be answered.

        Raises:
            ModelNotFound: The traffic table does not have it.
            ModelNotReady: It is deployed, and cannot be answered.
            CommandRefused, ControllerAway, MalformedBody, NotSupported: As `verb`.
        """
        directory.versions(model)
        await self.verb("load", model=model)
        await until_ready(directory, model, "", READY_WITHIN_S)

    async def unload(self, directory: Directory, model: str) -> None:
        """Delete a model's applications, which `load` brings back.

        Raises:
            ModelNotFound: The traffic table does not have it.
            CommandRefused, ControllerAway, MalformedBody, NotSupported: As `verb`.
        """
        directory.versions(model)
        await self.verb("unload", model=model)
        directory.look()


async def until_ready(directory: Directory, model: str, version: str, within_s: float) -> None:
    """Return once a version, or any of the model's, can be called.

    Args:
        directory: Its view of the cluster may be older than what was done just now, so a fresh one comes first.
        model: One of the traffic table.
        version: Empty: any.
        within_s: Seconds.

    Raises:
        ModelNotFound: The traffic table does not have the model.
        ModelNotReady: It was loading and now is not, or `within_s` is over.
    """
    deadline, was_loading = time.perf_counter() + within_s, False
    for _ in range(2):  # the first one may be that of a look that was under way
        await _news(directory, _LOOK_S)
    while True:
        statuses = [status for status in directory.versions(model) if version in ("", status.version)]
        states = {status.state for status in statuses}
        if ReleaseState.READY in states:
            return
        left_s = deadline - time.perf_counter()
        if left_s <= 0 or (was_loading and ReleaseState.LOADING not in states):
            reasons = "; ".join(f"{status.version}: {status.reason}" for status in statuses)
            raise ModelNotReady(model, version, reasons or "it is not known yet")
        was_loading = ReleaseState.LOADING in states
        await _news(directory, min(left_s, _LOOK_S))


async def _news(directory: Directory, within_s: float) -> None:
    directory.look()
    try:
        await directory.changed(within_s)
    except TimeoutError:
        return
