"""`python -m load_tests.graph_rates`: served graphs beside single models, and what nodes on replicas of their own cost.

One cluster with configs/prod.yaml and two more releases: the chain of `load_tests.graph_cost` in one process, and the
same chain with every node on a replica of its own. All take turns, round after round, at the express door.
"""

from __future__ import annotations

import asyncio
import copy
import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from load_tests import closed_loop
from load_tests.graph_cost import chain
from load_tests.http_wire import JSON
from load_tests.models import BENCH, ROOT
from load_tests.points import ClosedPoint
from load_tests.soak.production import serving
from load_tests.target import Target
from serve_app.samples.data import held_out

FUSED, SPREAD, VERSION = "chain-fused", "chain-own", "v1"
MODELS = ("digits/versions/v1", "digits/versions/v2", "digits-ensemble", "digits-cascade", FUSED, SPREAD)
NODE_CPUS = 0.05
MIN_ENSEMBLE = 0.5
WARM_UP_S = 2.0
ROWS = 64

Rounds = Mapping[str, Sequence[ClosedPoint]]
"""By model, a point a round."""


def chained(model: str, placement: str) -> dict[str, Any]:
    """The chain as a release of that model, each node placed so."""
    args = chain().model_dump(mode="json", exclude_unset=True)
    nodes = [{**node, "placement": placement} for node in args["graph"]["nodes"]]
    args |= {"model": model, "slo_ms": 2000, "graph": {**args["graph"], "nodes": nodes}}
    own = [node["name"] for node in nodes] if placement == "own" else []
    return {
        "name": f"{model}-{VERSION}",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": args,
        "deployments": [{"name": name, "ray_actor_options": {"num_cpus": NODE_CPUS}} for name in (model, *own)],
    }


def config_with_chains(config: Mapping[str, Any]) -> dict[str, Any]:
    """The content of configs/prod.yaml with both chains, and their traffic."""
    changed = copy.deepcopy(dict(config))
    models = changed["applications"][0]["deployments"][0]["user_config"]["models"]
    for model, placement in ((FUSED, "fused"), (SPREAD, "own")):
        models[model] = {"traffic": {VERSION: 100}}
        changed["applications"].append(chained(model, placement))
    return changed


def targets(url: str) -> Mapping[str, Target]:
    """One-row requests of held-out digits to each model."""
    bodies = [body_of(row) for row in held_out("digits")[0][:ROWS].tolist()]
    return {model: Target(model, "digits", f"{url}/v2/models/{model}/infer", bodies, JSON) for model in MODELS}


def body_of(row: Sequence[float]) -> bytes:
    """A V2 request of one row."""
    numbers = ",".join(f"{number:g}" for number in row)
    return (
        b'{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,64],"data":[%s]}],"outputs":[{"name":"label"}]}'
        % numbers.encode()
    )


def ratio(rounds: Rounds, model: str, other: str) -> float:
    """Requests a second of a model over those of another, the median of the rounds."""
    pairs = zip(rounds[model], rounds[other], strict=True)
    return statistics.median(one.requests_per_s / two.requests_per_s for one, two in pairs)


def table(lone: Rounds, many: Rounds, connections: int) -> Table:
    """A row for each model."""
    shown = Table("model", "p50 ms, 1 connection", f"requests/s, {connections} connections", "p99 ms", "x digits v1")
    for model in MODELS:
        shown.add_row(
            model,
            f"{statistics.median(point.p50_ms for point in lone[model]):.2f}",
            f"{statistics.median(point.requests_per_s for point in many[model]):,.0f}",
            f"{statistics.median(point.p99_ms for point in many[model]):.1f}",
            f"{ratio(many, model, MODELS[0]):.2f}",
        )
    return shown


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of each point.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    connections: Annotated[int, typer.Option(min=2)] = 64,
) -> None:
    """Serve, measure, and exit 1 if a request failed or the ensemble is slower than it may be."""
    config = config_with_chains(yaml.safe_load((ROOT / "configs/prod.yaml").read_text()))
    path = BENCH / "graph-rates.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    lone: dict[str, list[ClosedPoint]] = {model: [] for model in MODELS}
    many: dict[str, list[ClosedPoint]] = {model: [] for model in MODELS}
    with serving(path), Progress(refresh_per_second=1) as progress:
        door = f"http://127.0.0.1:{config['applications'][0]['args']['express']['port']}"
        task = progress.add_task("graphs", total=2 * rounds * len(MODELS))
        for target in targets(door).values():
            asyncio.run(closed_loop.run(target, connections, WARM_UP_S))
        for _ in range(rounds):
            for points, count in ((lone, 1), (many, connections)):
                for model, target in targets(door).items():
                    points[model].append(asyncio.run(closed_loop.run(target, count, seconds)).point)
                    progress.advance(task)
    failed = sum(point.failed for points in (lone, many) for rows in points.values() for point in rows)
    Console().print(table(lone, many, connections))
    is_well = failed == 0 and ratio(many, "digits-ensemble", MODELS[0]) >= MIN_ENSEMBLE
    Console().print(f"{failed} requests failed; wanted: none, and the ensemble >= {MIN_ENSEMBLE} x digits v1")
    raise typer.Exit(0 if is_well else 1)


if __name__ == "__main__":
    typer.run(main)
