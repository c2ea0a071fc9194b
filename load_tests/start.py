"""`python -m load_tests.start`: how long `serve-app serve` takes to the first right answer, and until all is ready."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import httpx
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.graph_rates import body_of
from load_tests.models import ROOT
from load_tests.servers.program import Program, started, wait_until
from load_tests.soak.production import is_ready
from load_tests.target import HostUnavailable
from serve_app.config.port_checks import DASHBOARD_PORT
from serve_app.samples.data import held_out

MOST_FIRST_S, MOST_READY_S = 45.0, 60.0
LIMIT_S, STOP_S, PROBE_S = 180.0, 60.0, 2.0


class Start(NamedTuple):
    """Seconds from the command until the default model answers right, and until every release is ready."""

    first_s: float
    ready_s: float


def is_right(url: str, row: list[float], label: int) -> bool:
    """Whether the digits model tells a held-out digit; False while nobody answers."""
    try:
        answer = httpx.post(f"{url}/v2/models/digits/infer", content=body_of(row), timeout=PROBE_S)
        return answer.status_code == httpx.codes.OK and answer.json()["outputs"][0]["data"] == [label]
    except httpx.HTTPError:
        return False


def seconds_until(claim: Callable[[], bool], begin: float, what: str) -> float:
    """Seconds from `begin` until the claim is true.

    Raises:
        HostUnavailable: It is not within the limit.
    """
    if not wait_until(claim, LIMIT_S):
        raise HostUnavailable(f"{what} did not come within {LIMIT_S:g} s")
    return time.perf_counter() - begin


def measured(config: Path) -> Start:
    """Start a file once and stop it again.

    Raises:
        HostUnavailable: It does not answer, or does not get ready.
    """
    http = yaml.safe_load(config.read_text())["http_options"]
    url = f"http://{http['host']}:{http['port']}"
    rows, labels = held_out("digits")
    row, label = rows[0].tolist(), int(labels[0])
    command = [str(Path(sys.executable).parent / "serve-app"), "serve", str(config.absolute())]
    begin = time.perf_counter()
    with started(Program("start", command, [http["port"], DASHBOARD_PORT], stop_s=STOP_S)):
        first_s = seconds_until(lambda: is_right(url, row, label), begin, "a right answer")
        return Start(first_s, seconds_until(lambda: is_ready(url), begin, "readiness"))


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    config: Annotated[Path, typer.Option(help="A serve file with a digits model.")] = ROOT / "configs/prod.yaml",
) -> None:
    """Start and stop it a few times; exit 1 if the medians are over what they may be."""
    starts = [measured(config) for _ in track(range(rounds), "starts")]
    table = Table("start", "first right answer, s", "all releases ready, s")
    for number, one in enumerate(starts, 1):
        table.add_row(str(number), f"{one.first_s:.1f}", f"{one.ready_s:.1f}")
    medians = Start(*(statistics.median(column) for column in zip(*starts, strict=True)))
    Console().print(table)
    Console().print(
        f"medians {medians.first_s:.1f} and {medians.ready_s:.1f} s; most {MOST_FIRST_S:g}, {MOST_READY_S:g}"
    )
    raise typer.Exit(0 if medians.first_s <= MOST_FIRST_S and medians.ready_s <= MOST_READY_S else 1)


if __name__ == "__main__":
    typer.run(main)
