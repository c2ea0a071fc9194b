"""`serve-app status`: every version the gateway knows, its state, the traffic meant for it, and rollouts under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Annotated

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from serve_app.cli.output import (
    CommandError,
    errors_reported,
    printable,
    say,
    say_error,
    say_json,
    say_table,
    stdout_console,
)
from serve_app.cli.releases import Releases, may_pass
from serve_app.cli.rollout_view import drawn, missing_versions, release_lines, version_rows
from serve_app.cli.server import DEFAULT_URL, Refused, Server
from serve_app.release.overview import Overview

READY = "READY"
HEADERS = ("model", "version", "state", "declared", "live", "labels", "reason")
_REDRAWN_S = 1.0


class VersionLine(BaseModel):
    """One entry of the repository index; servers may say more than this."""

    name: str
    version: str
    state: str
    reason: str = ""
    traffic: float = 0.0
    labels: tuple[str, ...] = ()

    @property
    def is_missing(self) -> bool:
        """Whether traffic is meant for it and it cannot take it."""
        return self.traffic > 0 and self.state != READY


def status(
    url: Annotated[str, typer.Option(help="Where the server answers.")] = DEFAULT_URL,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for an answer, in seconds.")] = 10.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the controller's status, or where there is none the index, as JSON.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second until Ctrl-C.")] = False,
) -> None:
    """Show every version, its traffic, and rollouts; exits 1 if one that traffic is meant for is not ready."""
    with errors_reported(), Server(url, timeout_s) as server:  # read by anyone, so without a token
        if watch and as_json:
            raise CommandError("--watch draws and --json is for programs: give one of them")
        if watch:
            _watch(Releases(server), time.sleep)
            return
        document = _released(server)
        missing = _show_index(server, as_json) if document is None else _show_releases(document, as_json)
        for sentence in missing:
            say_error(sentence)
        if missing:
            raise typer.Exit(1)


def _released(server: Server) -> object | None:
    """The controller's status; None where the server has none, or it is away, which is said."""
    try:
        return Releases(server).document()
    except Refused as error:
        if error.status == 404:
            return None
        if may_pass(error):
            say_error(f"{error}; what follows is the gateway's own view")
            return None
        raise


def _show_releases(document: object, as_json: bool) -> list[str]:
    try:
        overview = Overview.model_validate(document)
    except ValidationError:
        raise CommandError("the server's status of releases is not one that this command can read") from None
    if as_json:
        say_json(document)
    else:
        say_table(HEADERS, version_rows(overview))
        for line in release_lines(overview):
            say(line)
        if overview.database:
            say_error(f"the database of releases is away: {overview.database}")
    return list(missing_versions(overview))


def _show_index(server: Server, as_json: bool) -> list[str]:
    document = server.post("/v2/repository/index", {}).document
    lines = _lines(document)
    if as_json:
        say_json(document)
    else:
        say_table(("model", "version", "state", "traffic", "labels", "reason"), map(_cells, lines))
    return [
        f"{line.name} {line.version} should get {line.traffic:g}% and is {line.state}: {line.reason}"
        for line in lines
        if line.is_missing
    ]


def _watch(releases: Releases, sleep: Callable[[float], object]) -> None:
    """Redraw until Ctrl-C, or write what changes where there is no terminal; a server that is away is shown as that."""
    releases.overview()  # a server without a controller, or none at all, is an error at once
    console = stdout_console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    with live or nullcontext(), suppress(KeyboardInterrupt):
        written = ""
        while True:
            picture = _picture(releases)
            if live is not None:
                live.update(picture, refresh=True)
            elif (text := _text_of(picture, console)) != written:
                say(text)
                written = text
            sleep(_REDRAWN_S)


def _text_of(picture: Group, console: Console) -> str:
    with console.capture() as captured:
        console.print(picture)
    return captured.get()


def _picture(releases: Releases) -> Group:
    try:
        overview = releases.overview()
    except CommandError as error:
        return drawn([str(error)])
    table = Table(*HEADERS)
    for row in version_rows(overview):
        table.add_row(*map(printable, row))
    return Group(table, drawn([*release_lines(overview), *missing_versions(overview)]))


def _lines(document: object) -> list[VersionLine]:
    try:
        return TypeAdapter(list[VersionLine]).validate_python(document)
    except ValidationError:
        raise CommandError("the server's repository index is not one that this command can read") from None


def _cells(line: VersionLine) -> tuple[str, ...]:
    return line.name, line.version, line.state, f"{line.traffic:g}%", ", ".join(line.labels), line.reason or "-"
