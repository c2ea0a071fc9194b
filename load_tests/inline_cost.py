"""`python -m load_tests.inline_cost`: what digits v1 costs inside the gateway, beside a no-op and a FastAPI by hand.

One cluster runs the gateway, the release as an application of its own - once called over its socket, once by handle -
and the no-op ingress; FastAPI runs beside it. All take turns, round after round, under wrk.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests import wrk
from load_tests.models import cnn, digits
from load_tests.points import ClosedPoint
from load_tests.servers.fastapi_host import fastapi_host
from load_tests.servers.ray_clusters import inline_host
from load_tests.target import Target

LIMIT, RIVAL = "no-op ingress", "FastAPI by hand"
PROXY, EXPRESS = "inline", "inline, express door"
MAX_MORE_MS, MIN_SHARE = 0.6, 0.9
LONE, MANY = 1, 64
WARM_UP_S = 2.0
Points = Mapping[str, Sequence[ClosedPoint]]
"""Of each target, round by round."""


def measured(program: str, targets: Sequence[Target], rounds: int, seconds: float) -> dict[int, Points]:
    """Points by connections.

    Raises:
        LoadFailed: wrk gave no result.
        SystemExit: A request failed.
    """
    found: dict[int, dict[str, list[ClosedPoint]]] = {
        number: {target.name: [] for target in targets} for number in (LONE, MANY)
    }
    for target in targets:
        wrk.run(program, target, MANY, WARM_UP_S)
    for _ in track(range(rounds), "rounds"):
        for number, points in found.items():
            for target in targets:
                point = wrk.run(program, target, number, seconds)
                if point.failed or not point.answers:
                    raise SystemExit(f"{target.name}: {point.failed} of {point.answers} requests failed")
                points[target.name].append(point)
    return dict(found)


def more_ms(points: Points, name: str) -> float:
    """By how much a target's median latency is over the limit's, the median of the rounds."""
    pairs = zip(points[name], points[LIMIT], strict=True)
    return statistics.median(one.p50_ms - limit.p50_ms for one, limit in pairs)


def share(points: Points, name: str, of: str = RIVAL) -> float:
    """A target's requests a second over another's, the median of the rounds."""
    pairs = zip(points[name], points[of], strict=True)
    return statistics.median(one.requests_per_s / other.requests_per_s for one, other in pairs)


def table(found: Mapping[int, Points]) -> Table:
    """A row for each target."""
    lone, many = found[LONE], found[MANY]
    shown = Table("digits v1", f"p50 ms c{LONE}", "over the no-op", f"requests/s c{MANY}", "x no-op", "x FastAPI")
    for name in lone:
        p50_ms = statistics.median(point.p50_ms for point in lone[name])
        rate = statistics.median(point.requests_per_s for point in many[name])
        ratios = (f"{share(many, name, LIMIT):.2f}", f"{share(many, name):.2f}")
        shown.add_row(name, f"{p50_ms:.2f}", f"{more_ms(lone, name):+.2f}", f"{rate:,.0f}", *ratios)
    return shown


def is_well(found: Mapping[int, Points]) -> bool:
    """Whether one of the two doors is as fast as wanted, in both ways."""
    return any(
        more_ms(found[LONE], door) <= MAX_MORE_MS and share(found[MANY], door) >= MIN_SHARE for door in (PROXY, EXPRESS)
    )


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of each target and number of connections in a round.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 3,
) -> None:
    """Serve, measure, and exit 1 if digits v1 inside the gateway is slower than it may be."""
    program = wrk.needed_wrk()
    workloads = digits(), cnn()  # FastAPI's program has both
    with ExitStack() as stack:
        ours = stack.enter_context(inline_host(workloads[0]).running())
        theirs = stack.enter_context(fastapi_host(workloads).running())
        targets = [target for target in (*ours, *theirs) if target.workload == "digits"]
        found = measured(program, targets, rounds, seconds)
    console = Console()
    console.print(table(found))
    if not is_well(found):
        console.print(f"wanted at one door: <= {MAX_MORE_MS} ms over the no-op, and >= {MIN_SHARE} x FastAPI")
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
