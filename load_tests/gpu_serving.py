"""`python -m load_tests.gpu_serving`: what HTTP clients get of a GPU through the whole server.

The gateway of configs/prod.yaml and releases of the nets of `gpu_cost`, placed by Ray; closed loops of raw images at
both doors. The first answers are compared with those of the same net on the CPU.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.gpu_cost import Load, images, release, repository_at
from load_tests.images import BINARY_LENGTH
from load_tests.instruments import Instruments, RealInstruments
from load_tests.models import RAW_CONTENT_TYPE, ROOT
from load_tests.servers.ray_yaml import release_application
from load_tests.soak.production import serving
from load_tests.target import Target
from load_tests.wrk import find_wrk
from serve_app.config.release import ReleaseArgs
from serve_app.dataflow.model import load_model

LOADS = (Load(1, 1), Load(64, 1), Load(256, 1), Load(64, 16))
BODIES, CHECKED_ROWS = 4, 4
WARM_UP_S = 2.0


def config_of(production: Mapping[str, Any], releases: Sequence[ReleaseArgs], state: Path) -> dict[str, Any]:
    """The gateway of configs/prod.yaml with other releases.

    Args:
        production: The content of that file.
        releases: Of each model, the first has the traffic.
        state: Where the gateway's controller keeps what it knows.
    """
    config = copy.deepcopy(dict(production))
    gateway = config["applications"][0]
    gateway["args"]["releases"] = {"state_url": f"sqlite:///{state}"}
    models: dict[str, Any] = {}
    for one in releases:
        traffic = models.setdefault(one.model, {"traffic": {}})["traffic"]
        traffic[one.version] = 0 if traffic else 100
    gateway["deployments"][0]["user_config"] = {"models": models}
    all_args = [one.model_dump(mode="json", exclude_unset=True) for one in releases]
    config["applications"] = [gateway, *map(release_application, all_args)]
    return config


def target_of(url: str, one: ReleaseArgs, side: int, rows: int, pids: tuple[int, ...] = ()) -> Target:
    """Requests of so many images of a side to a release, their bytes and nothing else."""
    bodies = [images(rows, side, seed).astype("<f4").tobytes() for seed in range(BODIES)]
    where = f"{url}/v2/models/{one.model}/versions/{one.version}/infer"
    return Target(one.release, one.model, where, bodies, RAW_CONTENT_TYPE, ((BINARY_LENGTH, "0"),), pids)


def check_answers(target: Target, one: ReleaseArgs, side: int, rows: int) -> None:
    """Compare the answers of a release with those of its net on the CPU.

    Raises:
        AssertionError: They are further apart than 1e-4 of a logit and 1e-5.
    """
    with closing(load_model(release(Path(one.source), "cpu", max_rows=rows))) as alone:
        for seed, body in enumerate(target.bodies):
            headers = {"content-type": target.content_type, **dict(target.headers)}
            answer = httpx.post(target.url, content=body, headers=headers, timeout=60).raise_for_status()
            (expected,) = alone.predict({alone.info.inputs[0].name: images(rows, side, seed)}).values()
            ours = np.frombuffer(answer.content[int(answer.headers[BINARY_LENGTH]) :], "<f4")
            np.testing.assert_allclose(ours, expected.ravel(), rtol=1e-4, atol=1e-5)


def measured(instruments: Instruments, target: Target, load: Load, seconds: float) -> Iterator[str]:
    """The cells of a closed loop."""
    instruments.closed(target, load.clients, WARM_UP_S)
    point, cost = instruments.cost_of(target, lambda: instruments.closed(target, load.clients, seconds))
    yield f"{load.clients} x {load.rows}"
    yield f"{point.requests_per_s * load.rows:,.0f}"
    yield from (f"{ms:.1f}" for ms in (point.p50_ms, point.p99_ms))
    yield f"{cost.cpu_s_per_1000(point.answers * load.rows):.3f}"
    yield f"{point.failed:,}"


def main(
    seconds: Annotated[float, typer.Option(min=1, help="Of each measurement.")] = 4.0,
    device: Annotated[str, typer.Option(help="`gpu`, or `cpu` to try this program where there is none.")] = "gpu",
    formats: Annotated[str, typer.Option(help="With commas between them.")] = "torch_export,onnx",
    side: Annotated[int, typer.Option(min=16, help="Of the images.")] = 64,
) -> None:
    """Serve the nets, check and measure, and print a table."""
    table = Table("model", "door", "connections x rows", "rows/s", "p50 ms", "p99 ms", "CPU s/1,000 rows", "failed")
    instruments = RealInstruments(find_wrk())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = repository_at(folder, formats.split(","), (side,)).values()
        releases = [release(source, "auto" if device == "gpu" else device) for source in sources]
        production = yaml.safe_load((ROOT / "configs/prod.yaml").read_text())
        config = config_of(production, releases, folder / "state.db")
        path = folder / "serve.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        express = f"http://127.0.0.1:{config['applications'][0]['args']['express']['port']}"
        with serving(path) as server:
            pids = server.started.root_pids()
            for one in track(releases, "nets"):
                told = httpx.get(f"{server.url}/v2/models/{one.model}").raise_for_status().json()
                place = told["parameters"]["device"]
                if not place.startswith("cuda" if device == "gpu" else "cpu"):
                    raise typer.BadParameter(f"{one.model} runs on {place}, not on a {device}")
                for door, url in (("Serve proxy", server.url), ("express", express)):
                    check_answers(target_of(url, one, side, CHECKED_ROWS), one, side, CHECKED_ROWS)
                    for load in LOADS:
                        target = target_of(url, one, side, load.rows, pids)
                        table.add_row(one.model, door, *measured(instruments, target, load, seconds))
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(main)
