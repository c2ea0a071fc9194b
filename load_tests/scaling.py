"""`python -m load_tests.scaling`: how many replicas steady rates get, and whether the number stays.

A release whose model takes 20 ms a row without using a CPU may have one or two replicas. Each rate lasts for longer
than it takes to go up and to come down; after the settling time the number must not change any more, and every
request must be answered. It starts at one replica, goes up through the rates and down again.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.arrivals import Phase
from load_tests.generators import run as run_load
from load_tests.models import BENCH, ROOT
from load_tests.open_loop import OpenLoad, OpenResult
from load_tests.soak.production import serving
from load_tests.target import Target
from serve_app.types import Tensors

MODEL = "sleeper"
ROW_S = 0.02
ONE_REPLICA_PER_S = 1 / ROW_S
SHARES = (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 0.7, 0.3)
"""Rates to offer, as shares of what one replica can execute."""

SLO_MS = 5000.0
_POLL_S = 0.5
_READY_S = 60.0

_MANIFEST = {
    "format": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}
_AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": 2,
    "metrics_interval_s": 1,
    "look_back_period_s": 10,
    "upscale_delay_s": 1,
    "downscale_delay_s": 8,
    "policy": {"policy_function": "deployments.autoscaling:RowAwarePolicy"},
}


class Sleeper:
    """The model: y = 2 x, 20 ms a row."""

    def predict(self, inputs: Tensors) -> Tensors:
        """Take the time of so many rows."""
        x = inputs["x"]
        threading.Event().wait(ROW_S * len(x))
        return {"y": 2 * x}


@dataclass(slots=True)
class Step:
    """What one steady rate did.

    Attributes:
        replicas: How many there were, at each look from the end of the settling time on.
        changes: How often that number changed in the settling time, and afterwards.
        lost: Requests without an answer of status 200.
    """

    rate_per_s: float
    replicas: list[int] = field(default_factory=list)
    changes: tuple[int, int] = (0, 0)
    sent: int = 0
    lost: int = 0

    @property
    def is_steady(self) -> bool:
        """One change at the most, and that while it settled; nothing lost."""
        return self.changes[0] <= 1 and not self.changes[1] and not self.lost


def serve_file(production: dict[str, Any], source: Path) -> dict[str, Any]:
    """The production file with the sleeping release instead of its own."""
    gateway = production["applications"][0]
    table = {"models": {MODEL: {"traffic": {"v1": 100}}}}
    deployment = {**gateway["deployments"][0], "user_config": table}
    release = {
        "name": f"{MODEL}-v1",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "runtime_env": {"env_vars": {"PYTHONPATH": str(ROOT)}},
        "args": {
            "model": MODEL,
            "version": "v1",
            "source": str(source),
            "python_class": "load_tests.scaling:Sleeper",
            "batching": {"max_rows": 8},
        },
        "deployments": [{"name": MODEL, "autoscaling_config": _AUTOSCALING}],
    }
    return {**production, "applications": [{**gateway, "deployments": [deployment]}, release]}


def changes(numbers: Sequence[int]) -> int:
    """How often a number is another than the one before."""
    return sum(one != other for one, other in pairwise(numbers))


async def steady(url: str, rate_per_s: float, seconds: float, settle_s: float) -> Step:
    """Offer one rate, and look at the number of replicas meanwhile."""
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1.0]}]}
    target = Target(MODEL, MODEL, f"{url}/v2/models/{MODEL}/infer", (orjson.dumps(body),))
    load = OpenLoad(target, (Phase(rate_per_s, seconds),), slo_ms=SLO_MS, grace_s=SLO_MS / 1000)
    begin, seen = time.perf_counter(), [await asyncio.to_thread(replicas, url)]
    loading = asyncio.create_task(asyncio.to_thread(run_load, load))
    settled = 0
    while not loading.done():
        await asyncio.wait([loading], timeout=_POLL_S)
        seen.append(await asyncio.to_thread(replicas, url))
        if time.perf_counter() - begin < settle_s:
            settled = len(seen) - 1
    return _step(rate_per_s, seen, settled, await loading)


def replicas(url: str) -> int:
    """How many replicas the release has now."""
    stats = httpx.get(f"{url}/v2/models/{MODEL}/stats", timeout=_READY_S).raise_for_status().json()
    number: int = stats["model_stats"][0]["replicas"]
    return number


def _step(rate_per_s: float, seen: Sequence[int], settled: int, result: OpenResult) -> Step:
    lost = result.offered - result.statuses[httpx.codes.OK]
    after = list(seen[settled:])
    return Step(rate_per_s, after, (changes(seen[: settled + 1]), changes(after)), result.offered, lost)


def _table(steps: Sequence[Step]) -> Table:
    table = Table("rows/s", "of one replica's", "replicas", "changes while settling", "afterwards", "requests", "lost")
    for step in steps:
        share = f"{step.rate_per_s / ONE_REPLICA_PER_S:.0%}"
        numbers = " ".join(map(str, sorted(set(step.replicas))))
        counts = (*step.changes, step.sent, step.lost)
        table.add_row(f"{step.rate_per_s:g}", share, numbers, *map(str, counts))
    return table


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Length of each rate.")] = 30.0,
    settle_s: Annotated[float, typer.Option(min=0, help="Of which the number may change, once.")] = 20.0,
) -> None:
    """Offer steady rates; exit 1 if the number of replicas does not stay, or a request is lost."""
    folder = BENCH / "scaling"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.yaml").write_text(yaml.safe_dump(_MANIFEST))
    file = folder / "serve.yaml"
    production = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
    file.write_text(yaml.safe_dump(serve_file(production, folder)))
    os.chdir(ROOT)
    with serving(file) as server:
        rates = [share * ONE_REPLICA_PER_S for share in SHARES]
        steps = [asyncio.run(steady(server.url, rate, seconds, settle_s)) for rate in track(rates, "rates")]
    Console().print(_table(steps))
    raise typer.Exit(0 if all(step.is_steady for step in steps) else 1)


if __name__ == "__main__":
    typer.run(main)
