"""The `load` and `open` commands: load on a server that runs, and a table of what it did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests import generators
from load_tests.arrivals import Phase, trace
from load_tests.http_wire import address
from load_tests.instruments import RealInstruments
from load_tests.models import digits
from load_tests.open_loop import OpenLoad, with_deadline
from load_tests.points import ClosedPoint, LoadFailed, OpenPoint
from load_tests.target import Target
from load_tests.wrk import find_wrk

_WARM_UP_CONNECTIONS = 8
_WARM_UP_S = 2.0

Url = Annotated[str, typer.Argument(help="A running server, e.g. http://127.0.0.1:8000.")]
Version = Annotated[str, typer.Option(help="Version tag of digits.")]


def load(
    url: Url,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each point.")] = 6.0,
    connections: Annotated[str, typer.Option(help="Numbers of connections, by commas.")] = "1,16,64",
    version: Version = "v1",
) -> None:
    """Closed loop: each connection sends its next request when the last is answered."""
    target, instruments = digits_target(url, version), RealInstruments(find_wrk())
    counts = [int(count) for count in numbers(connections, "--connections")]
    try:
        instruments.closed(target, _WARM_UP_CONNECTIONS, _WARM_UP_S)
        points = [instruments.closed(target, count, seconds) for count in track(counts, "load")]
    except LoadFailed as error:
        raise typer.BadParameter(str(error)) from None
    Console().print(closed_table(target.name, points))
    raise typer.Exit(1 if any(point.failed for point in points) else 0)


def open_loop(
    url: Url,
    rate: Annotated[float, typer.Option(min=0, help="Requests per second, Poisson arrivals.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=0, help="For how long, with --rate; 6 if not given.")] = 0.0,
    rates: Annotated[str, typer.Option(help="Instead of --rate: the rate of each second, by commas.")] = "",
    slo_ms: Annotated[
        float, typer.Option(min=0.1, help="An answer later than this is not in time; the server is told.")
    ] = 50.0,
    version: Version = "v1",
) -> None:
    """Open loop: requests are due at scheduled times, and latency counts from those."""
    target, phases = digits_target(url, version), phases_of(rate, seconds, rates)
    load = OpenLoad(with_deadline(target, slo_ms), phases, slo_ms=slo_ms)
    point = generators.run(load).point(load)
    Console().print(open_table(target.name, slo_ms, point))
    raise typer.Exit(1 if point.failed else 0)


def digits_target(url: str, version: str) -> Target:
    """One-row requests to a version of the digits sample.

    Raises:
        typer.BadParameter: It is not the URL of a server.
    """
    base = url.rstrip("/")
    try:
        address(base)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return Target(
        f"digits {version} at {base}",
        "digits",
        f"{base}/v2/models/digits/versions/{version}/infer",
        digits().json_bodies(),
    )


def phases_of(rate_per_s: float, seconds: float, rates: str) -> tuple[Phase, ...]:
    """One rate for a time, or a rate for each second.

    Raises:
        typer.BadParameter: Neither is given, or both.
    """
    if bool(rate_per_s) == bool(rates):
        raise typer.BadParameter("give either --rate or --rates")
    if rates and seconds:
        raise typer.BadParameter("--rates has a rate for each second; --seconds goes with --rate")
    return trace(numbers(rates, "--rates")) if rates else (Phase(rate_per_s, seconds or 6.0),)


def numbers(text: str, option: str) -> list[float]:
    """The numbers of a list by commas.

    Raises:
        typer.BadParameter: One of them is none, or below 0.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [-1.0]
    if any(value < 0 or not math.isfinite(value) for value in values):
        raise typer.BadParameter(f"{option} is {text!r}, must be numbers of 0 or more by commas")
    return values


def closed_table(name: str, points: Sequence[ClosedPoint]) -> Table:
    """A row for each number of connections."""
    table = Table(title=f"{name}, one row a request, closed loop, {points[0].tool}")
    for column in ("connections", "requests/s", "p50 ms", "p90 ms", "p99 ms", "failed"):
        table.add_column(column, justify="right")
    for point in points:
        latencies = (f"{ms:.2f}" for ms in (point.p50_ms, point.p90_ms, point.p99_ms))
        table.add_row(str(point.connections), f"{point.requests_per_s:,.0f}", *latencies, f"{point.failed:,}")
    return table


def open_table(name: str, slo_ms: float, point: OpenPoint) -> Table:
    """A row for each figure."""
    table = Table(title=f"{name}, one row a request, open loop", show_header=False)
    for figure, value in (
        ("offered per s", f"{point.offered_per_s:,.0f}"),
        (f"answered within {slo_ms:g} ms, per s", f"{point.goodput_per_s:,.0f}"),
        ("share in time", f"{point.in_time_share:.2%}"),
        ("p50 / p99 ms", f"{point.p50_ms:.2f} / {point.p99_ms:.2f}"),
        ("refused per s", f"{point.refused_per_s:,.0f}"),
        ("refusals' p50 / p99 ms", f"{point.refused_p50_ms:.2f} / {point.refused_p99_ms:.2f}"),
        ("failed", f"{point.failed:,}"),
        ("generator's lateness, p99 ms", f"{point.late_p99_ms:.2f}"),
    ):
        table.add_row(figure, value)
    return table
