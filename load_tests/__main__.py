"""`python -m load_tests`: one-row requests to the digits sample at rising numbers of connections, and a table.

Starts configs/prod.yaml by itself and stops it, unless `--url` names a server that runs.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.closed_loop import Result, run
from serve_app.samples.data import held_out

CONFIG = "configs/prod.yaml"
START_LIMIT_S = 120
WARM_UP_S = 2.0


def main(
    url: Annotated[str, typer.Option(help="A running server; without it one is started and stopped.")] = "",
    seconds: Annotated[float, typer.Option(help="Length of each point.")] = 6.0,
    connections: Annotated[str, typer.Option(help="Numbers of connections, by commas.")] = "1,16,64",
    version: Annotated[str, typer.Option(help="Version tag of digits.")] = "v1",
) -> None:
    """Measure throughput and latency; exit 1 if any request failed."""
    with _server(url) as base:
        target = f"{base}/v2/models/digits/versions/{version}/infer"
        bodies = _bodies()
        asyncio.run(run(target, bodies, 8, WARM_UP_S))
        points = [int(count) for count in connections.split(",")]
        results = [asyncio.run(run(target, bodies, count, seconds)) for count in track(points, "load")]
    Console().print(_table(version, results))
    raise typer.Exit(1 if any(result.failed for result in results) else 0)


@contextmanager
def _server(url: str) -> Iterator[str]:
    if url:
        yield url.rstrip("/")
        return
    command = [str(Path(sys.executable).parent / "serve-app"), "serve", CONFIG]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    base = "http://127.0.0.1:8000"
    try:
        _wait_until_ready(base, process)
        yield base
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _wait_until_ready(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.perf_counter() + START_LIMIT_S
    while time.perf_counter() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{base}/v2/health/ready").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise typer.Exit(1)


def _bodies() -> list[bytes]:
    """One-row V2 requests of the first 100 held-out digits."""
    pixels, _ = held_out("digits")
    return [
        json.dumps(
            {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": row.tolist()}]}
        ).encode()
        for row in pixels[:100]
    ]


def _table(version: str, results: list[Result]) -> Table:
    table = Table(title=f"digits {version}, one row a request, closed loop, {results[0].seconds:.0f} s a point")
    for column in ("connections", "requests/s", "p50 ms", "p99 ms", "failed"):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(
            str(result.connections),
            f"{result.requests_per_s:,.0f}",
            f"{result.median_ms:.2f}",
            f"{result.quantile_ms(0.99):.2f}",
            str(result.failed),
        )
    return table


if __name__ == "__main__":
    typer.run(main)
