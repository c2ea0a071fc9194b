"""The controller of releases as the commands see it: status, commands and experiments over the gateway's HTTP."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from serve_app.cli.output import CommandError
from serve_app.cli.server import Refused, Server, Unreachable
from serve_app.config.ray_token import users_token
from serve_app.release.commands import Command
from serve_app.release.overview import Overview, RolloutState

STATUS_PATH, COMMANDS_PATH = "/v2/releases", "/admin/commands"
TOKEN_VARIABLE = "SERVE_APP_ADMIN_TOKEN"  # noqa: S105 - the variable's name

_T = TypeVar("_T", bound=BaseModel)


class ExperimentLine(BaseModel):
    """One metric of one version, and how it differs from the control's."""

    metric: str
    arm: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class ExperimentReport(BaseModel):
    """An A/B test so far; intervals have the given confidence."""

    name: str
    model: str = ""
    control: str = ""
    confidence: float = 0.95
    metrics: tuple[ExperimentLine, ...] = ()


class LockAnswer(BaseModel):
    """Who may apply a file, and for how long."""

    acquired: bool
    owner: str = ""
    expires_in_s: float = 0.0


class Releases:
    """Requests to one gateway about releases."""

    def __init__(self, server: Server) -> None:
        self._server = server

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return self._server.url

    def document(self) -> object:
        """The status of all releases as JSON.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """
        return self._server.get(STATUS_PATH).document

    def overview(self) -> Overview:
        """The same as it is read here.

        Raises:
            CommandError: As above, or the answer is another thing.
        """
        try:
            return self._overview()
        except Refused as error:
            if error.status == 404:
                sentence = f"the server at {self.url} has no controller of releases; is it an older one?"
                raise Refused(sentence, error.status, error.body) from None
            raise

    def start(self, command: Command) -> RolloutState:
        """Send a command that is answered with a rollout.

        Raises:
            CommandError: Nobody answers, or it is refused.
        """
        answer = self.send(command)
        if not isinstance(answer, Mapping):
            raise CommandError(_odd("rollout"))
        try:
            return RolloutState.model_validate(answer)
        except ValidationError:
            raise CommandError(_odd("rollout")) from None

    def lock(self, command: Command) -> LockAnswer:
        """Send `Lock`.

        Raises:
            CommandError: Nobody answers, or it is refused.
        """
        return _read(LockAnswer, self.send(command), "lock")

    def send(self, command: Command) -> object:
        """Send any command; gives the JSON of its answer.

        Raises:
            CommandError: Nobody answers, or it is refused.
        """
        try:
            return self._server.post(COMMANDS_PATH, command.model_dump(mode="json")).document
        except Refused as error:
            if error.status == 401:
                hint = f"give the token by --token-env, {TOKEN_VARIABLE}, or as Ray's own (RAY_AUTH_TOKEN)"
                raise Refused(f"{error}; {hint}", error.status, error.body) from None
            raise

    def experiment(self, name: str) -> tuple[object, ExperimentReport]:
        """An experiment's JSON, and the same as it is read here.

        Raises:
            CommandError: Nobody answers, or there is none of that name.
        """
        document = self._server.get(f"/v2/experiments/{quote(name, safe='')}").document
        return document, _read(ExperimentReport, document, "experiment")

    def _overview(self) -> Overview:
        document = self.document()
        try:
            return Overview.model_validate(document)
        except ValidationError:
            raise CommandError(_odd("status of releases")) from None


def admin_token(variable: str | None, environment: Mapping[str, str]) -> str:
    """The token of commands: of the named variable, else of SERVE_APP_ADMIN_TOKEN, else Ray's own; "" without one.

    Raises:
        CommandError: The named variable is not set.
    """
    if variable is not None:
        if not (given := environment.get(variable, "").strip()):
            raise CommandError(f"--token-env names {variable}, which is not set")
        return given
    return environment.get(TOKEN_VARIABLE, "").strip() or users_token(environment)


def actor() -> str:
    """Who runs this command, as events name them."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without an entry in the system's list, as in many containers
        user = "unknown"
    return "".join(c if " " <= c <= "~" else "?" for c in f"{user}@{socket.gethostname()}")[:150]


@dataclass(frozen=True, slots=True)
class Clock:
    """Time, for waits that tests need not sit through.

    Attributes:
        now: Seconds that only grow.
        sleep: Waits so many seconds.
    """

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(slots=True)
class Outage:
    """How long a server has been away; one that restarts is waited for.

    Attributes:
        clock: What measures it.
        patience_s: The longest that is waited, in seconds.
    """

    clock: Clock
    patience_s: float = 120.0
    _since: float | None = None

    def passed(self) -> None:
        """The server answered."""
        self._since = None

    def met(self, error: CommandError) -> None:
        """The server did not answer, or with an error that may pass.

        Raises:
            CommandError: The error, if it will not pass, or has lasted for too long.
        """
        if not may_pass(error):
            raise error
        now = self.clock.now()
        self._since = now if self._since is None else self._since
        if now - self._since >= self.patience_s:
            raise CommandError(f"{error}; waited {self.patience_s:g} s for it to come back") from None

    def repeated(self, request: Callable[[], _R]) -> _R:
        """The request's answer, asked for again while the server is away."""
        while True:
            try:
                answer = request()
            except CommandError as error:
                self.met(error)
                self.clock.sleep(1.0)
            else:
                self.passed()
                return answer


_R = TypeVar("_R")


def may_pass(error: CommandError) -> bool:
    """Whether the same request may be answered in a while."""
    return isinstance(error, Unreachable) or (isinstance(error, Refused) and error.status in (429, 502, 503, 504))


def _read(schema: type[_T], document: object, what: str) -> _T:
    try:
        return schema.model_validate(document)
    except ValidationError:
        raise CommandError(_odd(what)) from None


def _odd(what: str) -> str:
    return f"the server's {what} is not one that this command can read"
