"""`serve-app experiment`: what an A/B test has found so far."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.interval_plot import Interval, Panel, svg, text_lines
from serve_app.cli.options import TimeoutS, TokenEnv
from serve_app.cli.output import CommandError, errors_reported, say, say_json, say_table
from serve_app.cli.releases import ExperimentLine, ExperimentReport, Releases, admin_token
from serve_app.cli.server import DEFAULT_URL, Server

app = typer.Typer(help="A/B tests over the versions of a model.", no_args_is_help=True)

HEADERS = ("metric", "version", "n", "value", "interval", "difference", "its interval")


@app.callback()
def experiments() -> None:
    """A/B tests over the versions of a model."""


@app.command("show")
def show_experiment(
    name: Annotated[str, typer.Argument(help="The experiment's name in the traffic table.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's answer as JSON.")] = False,
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Also draw the intervals here.")] = None,
    url: Annotated[str, typer.Option(help="Where the gateway answers.")] = DEFAULT_URL,
    token_env: TokenEnv = None,
    timeout_s: TimeoutS = 10.0,
) -> None:
    """Show the metrics of each version with their intervals, and the differences from the control."""
    with errors_reported():
        token = admin_token(token_env, os.environ) if token_env else ""  # anyone may read it, so Ray's own stays here
        with Server(url, timeout_s, token) as server:
            document, report = Releases(server).experiment(name)
        panels = panels_of(report.metrics)
        if svg_file is not None:
            _write(svg_file, svg(_heading(report), panels))
        if as_json:
            say_json(document)
            return
        say(_heading(report))
        say_table(HEADERS, map(_cells, report.metrics))
        for line in text_lines(panels):
            say(line)


def panels_of(lines: Sequence[ExperimentLine]) -> list[Panel]:
    """One panel a metric, of the versions for which there is an interval."""
    panels = dict[str, list[Interval]]()
    for line in lines:
        if line.value is not None and line.low is not None and line.high is not None:
            low, high = min(line.low, line.value), max(line.high, line.value)
            panels.setdefault(line.metric, []).append(Interval(line.arm, line.value, low, high))
    return [Panel(metric, tuple(intervals)) for metric, intervals in panels.items()]


def _heading(report: ExperimentReport) -> str:
    return f"{report.name}: {report.model}, control {report.control}, {100 * report.confidence:g}% intervals"


def _cells(line: ExperimentLine) -> tuple[str, ...]:
    return (
        line.metric,
        line.arm,
        str(line.n),
        _number(line.value),
        _interval(line.low, line.high),
        _number(line.difference),
        _interval(line.difference_low, line.difference_high),
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:.4g}, {high:.4g}]"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
