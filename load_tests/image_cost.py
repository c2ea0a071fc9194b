"""`python -m load_tests.image_cost`: an image of [1, 3, 224, 224] FP32 in JSON and in binary, at a running server.

Both forms take turns, round after round, at both doors; the CPU is that of the gateway's replica, threads and all.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from load_tests import closed_loop, images
from load_tests.accounting import Account
from load_tests.http_wire import JSON
from load_tests.models import RAW_CONTENT_TYPE
from load_tests.points import ClosedPoint
from load_tests.target import Target

WARM_UP_S = 2.0
MAX_BINARY_MS, MIN_SPEEDUP = 1.3, 5.0
Rounds = list[tuple[float, float]]
"""Gateway CPU in milliseconds a request, and requests a second."""


def targets(url: str) -> Mapping[str, Target]:
    """The same image in both forms; its mean is asked for."""
    image = images.random_images(1)
    body, length = images.binary_body(image, images.MEAN)
    header = ((images.BINARY_LENGTH, str(length)),)
    path = url + images.PATH
    return {
        "JSON": Target("JSON", images.NAME, path, (images.json_body(image, images.MEAN),), JSON),
        "binary": Target("binary", images.NAME, path, (body,), RAW_CONTENT_TYPE, header),
    }


def measured(point: ClosedPoint, cpu_s: float) -> tuple[float, float]:
    """What a round cost and gave.

    Raises:
        SystemExit: A request failed.
    """
    if point.failed or not point.answers:
        raise SystemExit(f"{point.failed} of {point.answers} requests failed")
    return 1000 * cpu_s / point.answers, point.requests_per_s


def table(door: str, rounds: Mapping[str, Rounds]) -> Table:
    """A row for each form."""
    shown = Table("form", "gateway CPU ms", "requests/s", "x JSON", title=f"An image at the {door}")
    for form, figures in rounds.items():
        cpu_ms, rate = (statistics.median(column) for column in zip(*figures, strict=True))
        shown.add_row(form, f"{cpu_ms:.2f}", f"{rate:,.0f}", f"{speedup(rounds, form):.1f}")
    return shown


def speedup(rounds: Mapping[str, Rounds], form: str = "binary") -> float:
    """Requests a second of a form over those of JSON, the median of the rounds."""
    pairs = zip(rounds[form], rounds["JSON"], strict=True)
    return statistics.median(one / other for (_, one), (_, other) in pairs)


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of each form in a round.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="At each door.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="That send at a time.")] = 8,
) -> None:
    """Serve, measure, and exit 1 if binary costs more than it may."""
    is_well = True
    with images.serving_images() as server, Progress(refresh_per_second=1) as progress:
        task = progress.add_task("images", total=4 * rounds)
        for door, url in (("Serve proxy", server.url), ("express door", server.express_url)):
            found: dict[str, Rounds] = {"JSON": [], "binary": []}
            for target in targets(url).values():  # warm-up; a proxy that has just started still closes connections
                asyncio.run(closed_loop.run(target, connections, WARM_UP_S))
            for _ in range(rounds):
                for form, target in targets(url).items():
                    account = Account(server.gateway_pids())
                    point = asyncio.run(closed_loop.run(target, connections, seconds)).point
                    found[form].append(measured(point, account.close().cpu_s))
                    progress.advance(task)
            progress.console.print(table(door, found))
            cpu_ms = statistics.median(cost for cost, _ in found["binary"])
            is_well &= cpu_ms <= MAX_BINARY_MS and speedup(found) >= MIN_SPEEDUP
    Console().print("as wanted" if is_well else f"wanted: <= {MAX_BINARY_MS} ms and >= {MIN_SPEEDUP} x")
    raise typer.Exit(0 if is_well else 1)


if __name__ == "__main__":
    typer.run(main)
