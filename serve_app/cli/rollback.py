"""`serve-app rollback`: give a model back the traffic it had before its last rollout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from serve_app.cli.options import CLOCK, DEFAULT_DASHBOARD, Dashboard, TimeoutS, TokenEnv
from serve_app.cli.output import CommandError, errors_reported, say, say_error
from serve_app.cli.releases import Clock, Outage, Releases, actor, admin_token
from serve_app.cli.rollout_view import routing_text
from serve_app.cli.server import DEFAULT_URL, Server
from serve_app.errors import ConfigError
from serve_app.release.commands import RollBack
from serve_app.release.overview import RolloutState
from serve_app.release.records import Routing

if TYPE_CHECKING:
    from serve_app.cli.serve_rest import ServeRest

_POLL_S = 0.05
_PATIENCE_S = 60.0


def rollback(
    model: Annotated[str, typer.Argument(help="A served model.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept among the events.")] = "",
    url: Annotated[str, typer.Option(help="Where the gateway answers.")] = DEFAULT_URL,
    address: Dashboard = DEFAULT_DASHBOARD,
    token_env: TokenEnv = None,
    timeout_s: TimeoutS = 30.0,
) -> None:
    """Give a model back the traffic it had before its last rollout, under way or done.

    Then the old traffic is declared to Serve, so that a gateway that restarts without the controller has it too.
    """
    with errors_reported(), Server(url, timeout_s, admin_token(token_env, os.environ)) as server:
        releases = Releases(server)
        began = CLOCK.now()
        rollout = releases.start(RollBack(model=model, reason=reason, actor=actor()))
        live = until_back(releases, model, rollout, CLOCK)
        say(f"{model}: {routing_text(live)}, after {CLOCK.now() - began:.2f} s")
        try:
            _declare(releases, model, url, address, timeout_s)
        except (CommandError, ConfigError) as error:
            say_error(
                f"warning: the old traffic is in effect, but it could not be declared to Serve: {error}; until the "
                "next `serve-app apply`, a gateway that restarts without the controller has the other one"
            )


def until_back(releases: Releases, model: str, rollout: RolloutState, clock: Clock) -> Routing:
    """Wait until the traffic is what it was before, at every gateway; gives it.

    Raises:
        CommandError: It is not within a minute.
    """
    began, outage = clock.now(), Outage(clock)
    wanted = rollout.before.routing
    while True:
        overview = outage.repeated(releases.overview)
        state = overview.models.get(model)
        reached = all(one.revision >= overview.revision for one in overview.gateways)
        if state is not None and reached and Routing(state.traffic).agrees_with(Routing(wanted.traffic)):
            return state.live
        if clock.now() - began >= _PATIENCE_S:
            raise CommandError(f"{model} has not got its old traffic back within {_PATIENCE_S:g} s")
        clock.sleep(_POLL_S)


def _declare(releases: Releases, model: str, url: str, address: str, timeout_s: float) -> None:
    from serve_app.cli.serve_rest import ServeRest, dashboard, is_here  # noqa: PLC0415 - takes half a second to import

    if address == DEFAULT_DASHBOARD and not is_here(url):
        raise CommandError(f"--dashboard does not say where that of {url} is")
    with dashboard(address, os.environ, timeout_s) as rest:
        redeclare(ServeRest(rest), releases, model)


def redeclare(rest: ServeRest, releases: Releases, model: str) -> None:
    """Declare a model as it is live, and leave everything else as it is.

    Raises:
        CommandError: A server does not answer, or Serve does not take it.
        ConfigError: The table that is declared now cannot be read.
    """
    from serve_app.release.deploys import redeclared  # noqa: PLC0415 - as above

    config = redeclared(rest.running(), model, releases.overview())
    if config is not None:
        rest.deploy(config)
        say(f"{model}: declared to Serve too")
