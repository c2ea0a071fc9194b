"""`python -m load_tests.json_speed`: ways to read a tensor's numbers from JSON, and JSON beside binary tensors.

The first table has what each library takes to make a float32 array of the `data` of a V2 infer body, the second what a
whole request takes in a gateway and a release of one process, from the body to the answer's bytes, with a model that
does next to nothing. All ways take turns, round after round; times are of the process's CPU.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson
import simdjson
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from serve_app.config.gateway import LimitsConfig, TrafficTable
from serve_app.config.release import BatchingConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.plane import DataPlane
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import LoadedModel
from serve_app.datatypes import Datatype
from serve_app.observability.metrics import NoMetrics
from serve_app.observability.request_log import RequestLog
from serve_app.protocol import v2_json
from serve_app.protocol.call import Call
from serve_app.transport.http import InferHandler, InferRoute, RequestHead
from serve_app.types import Array, ReleaseInfo, Tensors, TensorSpec

SIZES = (64, 12_288)
IMAGE = (1, 3, 224, 224)
ROUND_S = 0.2  # what one way is given in a round

Read = Callable[[bytes], Array]


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[float]


class _Body(msgspec.Struct):
    inputs: list[_Tensor]


_TYPED = msgspec.json.Decoder(_Body)
_PARSER: Any = simdjson.Parser()  # its stubs do not tell what a document is made of


def with_orjson(body: bytes) -> Array:
    """A Python float for each number."""
    return np.array(orjson.loads(body)["inputs"][0]["data"], np.float32)


def with_msgspec(body: bytes) -> Array:
    """The same, checked while it is parsed."""
    return np.array(_TYPED.decode(body).inputs[0].data, np.float32)


def with_simdjson(body: bytes) -> Array:
    """No Python object for a number: its flat array becomes a buffer of doubles."""
    data = _PARSER.parse(body)["inputs"][0]["data"].as_buffer(of_type="d")
    return np.frombuffer(data, np.float64).astype(np.float32)


def with_ours(body: bytes) -> Array:
    """The gateway's whole decoder: what orjson gives, with every field and number checked."""
    request, _ = v2_json.decode_request(body, Call("m"))
    return request.inputs["x"]


READERS: Mapping[str, Read] = {
    "orjson": with_orjson,
    "msgspec, typed": with_msgspec,
    "pysimdjson, buffer": with_simdjson,
    "ours (orjson, all checked)": with_ours,
}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a request."""

    body: bytes
    head: RequestHead


def json_body(array: Array) -> bytes:
    """A V2 infer body of one FP32 input `x`, its data flat."""
    tensor = {"name": "x", "datatype": "FP32", "shape": array.shape, "data": array.ravel()}
    return orjson.dumps({"inputs": [tensor]}, option=orjson.OPT_SERIALIZE_NUMPY)


def forms(array: Array) -> dict[str, Form]:
    """The request in JSON, and with its tensor as bytes behind the JSON."""
    size = {"binary_data_size": array.nbytes}
    head = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": array.shape, "parameters": size}]})
    return {
        "JSON": Form(json_body(array), RequestHead()),
        "binary": Form(head + array.tobytes(), RequestHead(json_length=str(len(head)))),
    }


def main(rounds: Annotated[int, typer.Option(min=3, help="Of each way.")] = 10) -> None:
    """Measure, and print both tables."""
    console = Console()
    console.print(_readers(rounds))
    console.print(asyncio.run(_requests(rounds)))


def _readers(rounds: int) -> Table:
    table = Table("numbers", "way", "us", "x orjson", title="Reading the numbers of a V2 infer body")
    rng = np.random.default_rng(0)
    for size in SIZES:
        body = json_body(rng.random((1, size), np.float32))
        taken: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in track(range(rounds), f"{size} numbers"):
            for name, read in READERS.items():
                taken[name].append(_cpu_s(partial(read, body)))
        for name in READERS:
            ratio = statistics.median(a / b for a, b in zip(taken[name], taken["orjson"], strict=True))
            table.add_row(str(size), name, f"{1e6 * statistics.median(taken[name]):,.1f}", f"{ratio:.2f}")
    return table


async def _requests(rounds: int) -> Table:
    table = Table("form", "CPU ms", "x JSON", title=f"A whole request of {list(IMAGE)} FP32")
    plane = _plane()
    await plane.directory.refresh()
    handler, route = InferHandler(plane), InferRoute("m")
    ways = forms(np.random.default_rng(0).random(IMAGE, np.float32))
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in track(range(rounds), "requests"):
        for name, form in ways.items():
            taken[name].append(await _request_cpu_s(partial(handler, route, form.head, form.body)))
    for name in ways:
        ratio = statistics.median(a / b for a, b in zip(taken[name], taken["JSON"], strict=True))
        table.add_row(name, f"{1e3 * statistics.median(taken[name]):.2f}", f"{ratio:.3f}")
    await plane.close()
    return table


def _plane() -> DataPlane:
    info = ReleaseInfo(
        "m",
        "v1",
        "python",
        "cpu",
        (TensorSpec("x", Datatype.FP32, (-1, *IMAGE[1:])),),
        (TensorSpec("first", Datatype.FP32, (-1,)),),
        "first",
        8,
        64,
    )
    batching = BatchingConfig(max_rows=info.max_rows, max_queue_rows=info.max_queue_rows)
    release = BlockServer(LoadedModel(info, (_first,), batching, {}, threads=1), NoMetrics())
    plane = DataPlane(LocalCluster(release), LimitsConfig(), RequestLog(NoMetrics()))
    plane.set_table(TrafficTable.model_validate({"models": {"m": {"traffic": {"v1": 100}}}}))
    return plane


def _first(inputs: Tensors) -> Tensors:
    return {"first": inputs["x"][:, 0, 0, 0].copy()}


def _cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of one call, from as many as fit into a round."""
    work()
    begin, cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begin + ROUND_S:
        work()
        calls += 1
    return (time.process_time() - cpu) / calls


async def _request_cpu_s(ask: Callable[[], Awaitable[object]]) -> float:
    await ask()
    begin, cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begin + ROUND_S:
        await ask()
        calls += 1
    return (time.process_time() - cpu) / calls


if __name__ == "__main__":
    typer.run(main)
