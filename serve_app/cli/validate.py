"""`serve-app validate`: every fault of serve files at once, before anything is started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.artifacts import artifact_findings
from serve_app.cli.output import say, say_error, say_json
from serve_app.config.base import Fault
from serve_app.config.declared import ServeFile
from serve_app.config.serve_file import CheckedFile, ExtraCheck, read_serve_file


def validate_command(extra_checks: Sequence[ExtraCheck]) -> Callable[..., None]:
    """Build the command; `extra_checks` are those that this layer cannot import."""

    def validate(
        files: Annotated[list[Path], typer.Argument(help="Ray Serve YAML files.", metavar="FILE...")],
        artifacts: Annotated[
            bool, typer.Option(help="Also open and verify the models that are on this machine.")
        ] = True,
        as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON.")] = False,
    ) -> None:
        """Check serve files; prints each fault as `file:line: path: message` and exits 1 if there is one.

        What may surprise and is no fault is a line `warning: ...` on stderr.
        """
        checks = checks_of(extra_checks, artifacts)
        checked = {file: read_serve_file(file, checks) for file in files}
        faults = [fault for result in checked.values() for fault in result.faults]
        if as_json:
            say_json([{"file": f.file, "line": f.line, "path": f.path, "message": f.message} for f in faults])
        else:
            for file, result in checked.items():
                _report(file, result)
        for result in checked.values():
            for warning in result.warnings:
                say_error(f"warning: {warning}")
        if faults:
            raise typer.Exit(1)

    return validate


def checks_of(extra_checks: Sequence[ExtraCheck], artifacts: bool) -> list[ExtraCheck]:
    """The extra checks, with that of the artifacts if it is wanted."""
    return [*extra_checks, artifact_findings] if artifacts else [*extra_checks]


def report_faults(faults: Sequence[Fault]) -> None:
    """Write faults to stderr, one a line, and how many there are."""
    for fault in faults:
        say_error(str(fault))
    say_error(f"{len(faults)} fault{'s' if len(faults) != 1 else ''}")


def good_file(file: Path, checks: Sequence[ExtraCheck]) -> ServeFile:
    """What a file declares; one with faults ends the command after they are written."""
    checked = read_serve_file(file, checks)
    if checked.faults or checked.declared is None:
        report_faults(checked.faults)
        raise typer.Exit(1)
    return checked.declared


def _report(file: Path, result: CheckedFile) -> None:
    if result.faults or result.declared is None:
        report_faults(result.faults)
    else:
        releases = ", ".join(release.release for release in result.declared.releases) or "none"
        say(f"{file}: good; releases: {releases}")
