"""`serve-app promote`: let a rollout that waits go on."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from serve_app.cli.options import TimeoutS, TokenEnv
from serve_app.cli.output import errors_reported, say
from serve_app.cli.releases import Releases, actor, admin_token
from serve_app.cli.rollout_view import rollout_lines
from serve_app.cli.server import DEFAULT_URL, Server
from serve_app.release.commands import Promote


def promote(
    model: Annotated[str, typer.Argument(help="A served model.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Go on at once, before the step's time and the gates' samples are there.")
    ] = False,
    url: Annotated[str, typer.Option(help="Where the gateway answers.")] = DEFAULT_URL,
    token_env: TokenEnv = None,
    timeout_s: TimeoutS = 30.0,
) -> None:
    """Let a model's rollout that is paused at the end of a step go on."""
    with errors_reported(), Server(url, timeout_s, admin_token(token_env, os.environ)) as server:
        for line in rollout_lines(model, Releases(server).start(Promote(model=model, force=force, actor=actor()))):
            say(line)
