"""`serve-app status`: every version the gateway knows, its state, and the traffic meant for it."""

from __future__ import annotations

from typing import Annotated

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError

from serve_app.cli.output import CommandError, errors_reported, say_error, say_json, say_table
from serve_app.cli.server import DEFAULT_URL, Server

READY = "READY"


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
    as_json: Annotated[bool, typer.Option("--json", help="Print the index as JSON.")] = False,
) -> None:
    """Show every version; exits 1 if one that traffic is meant for is not ready."""
    with errors_reported():
        with Server(url, timeout_s) as server:
            document = server.post("/v2/repository/index", {}).document
        lines = _lines(document)
    if as_json:
        say_json(document)
    else:
        say_table(("model", "version", "state", "traffic", "labels", "reason"), map(_cells, lines))
    missing = [line for line in lines if line.is_missing]
    for line in missing:
        say_error(f"{line.name} {line.version} should get {line.traffic:g}% and is {line.state}: {line.reason}")
    if missing:
        raise typer.Exit(1)


def _lines(document: object) -> list[VersionLine]:
    try:
        return TypeAdapter(list[VersionLine]).validate_python(document)
    except ValidationError:
        raise CommandError("the server's repository index is not one that this command can read") from None


def _cells(line: VersionLine) -> tuple[str, ...]:
    return line.name, line.version, line.state, f"{line.traffic:g}%", ", ".join(line.labels), line.reason or "-"
