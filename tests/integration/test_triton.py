"""`remote` nodes against a real Triton: while it is there, while it is not, and when it is back."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np
import pytest
from support.triton_server import ROOT, TritonServer
from support.waiting import graph_threads, until

from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import load_model, release_args
from serve_app.errors import ConfigError, DeadlineExceeded, ModelRaised
from serve_app.observability.metrics import NoMetrics
from serve_app.samples.data import split
from serve_app.types import Array, Block, BlockEntry, EntryResult, Tensors

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="Triton is there for Linux on x86-64 only"
)
PROTOCOLS = ("grpc", "http")
TIMEOUT_MS = 1000  # a machine with other work may take a while
PIXELS = {"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}
SCORES = {"name": "probabilities", "source": "scores", "datatype": "FP32", "shape": [-1, 10]}


@pytest.fixture(scope="module")
def weights() -> Array:
    """The least squares from a digit's pixels to its class, eight times as sure."""
    parts = split("digits")
    return 8 * np.linalg.lstsq(parts.train_inputs, np.eye(10)[parts.train_labels])[0]


def softmax(pixels: Array, weights: Array) -> Array:
    scores = np.exp(pixels @ weights)
    return scores / scores.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory, weights: Array) -> Iterator[TritonServer]:
    server = TritonServer(tmp_path_factory.mktemp("triton"), weights)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """Threads end, once the connections have."""
    before = graph_threads()
    yield
    await until(lambda: not graph_threads() - before)


@pytest.fixture
def running(triton: TritonServer) -> TritonServer:
    if not triton.is_running:
        triton.start()
    return triton


def remote(triton: TritonServer, protocol: str, name: str = "far", **changes: object) -> dict[str, object]:
    return {
        "kind": "remote",
        "name": name,
        "url": f"127.0.0.1:{triton.ports[protocol]}",
        "protocol": protocol,
        "model": "digits",
        "inputs": {"pixels": "pixels"},
        "outputs": [SCORES],
        "timeout_ms": TIMEOUT_MS,
        **changes,
    }


def release(nodes: list[dict[str, object]], outputs: dict[str, str], inputs: dict[str, object] = PIXELS):
    graph = {"inputs": [inputs], "nodes": nodes, "outputs": outputs}
    return release_args(model="m", version="v1", accelerator="cpu", batching={"max_rows": 64}, graph=graph)


def alone(node: dict[str, object]):
    """Nothing but a remote node."""
    return release([node], {"probabilities": "far.probabilities"})


def covered(*far: dict[str, object]):
    """A fallback, and an ensemble that one of two members is enough for, with digits v1 in this process."""
    near = [{"kind": "model", "name": name, "source": str(ROOT / "models/digits/v1")} for name in ("near", "member")]
    members = [f"{far[1]['name']}.probabilities", "member.probabilities"]
    nodes = [
        *far,
        *near,
        {"kind": "fallback", "name": "first", "targets": [far[0]["name"], "near"]},
        {"kind": "ensemble", "name": "both", "method": "mean", "members": members, "quorum": 1},
    ]
    return release(nodes, {"first": "first.probabilities", "both": "both.y"})


class Client:
    """Sends the held-out digits to a release, some rows a request, one request after the other; all are answered."""

    def __init__(self, server: BlockServer, pixels: Array) -> None:
        self._server, self._at, self._pixels = server, 0, pixels
        self.slow = 0

    async def ask(self) -> tuple[Array, Tensors, EntryResult]:
        rows = self._pixels[self._at : self._at + 3]
        self._at = (self._at + 3) % 300
        begin = time.perf_counter()
        (reply,) = await self._server.infer(Block({"pixels": rows}, (BlockEntry(len(rows)),)))
        self.slow += time.perf_counter() - begin >= TIMEOUT_MS / 1000
        (result,) = reply.results
        assert result.error is None
        return rows, reply.outputs, result

    async def ask_until(self, left_out: set[str], seconds: float = 10.0) -> None:
        """Send requests until an answer was made without just those."""
        deadline = time.perf_counter() + seconds
        while set((await self.ask())[2].left_out) != left_out:
            assert time.perf_counter() < deadline

    async def ask_while(self, claim: Callable[[], bool]) -> None:
        while claim():
            await self.ask()


async def test_a_member_on_triton_is_left_out_while_it_is_away_and_used_again_by_itself(triton, weights):
    """Through both protocols: the fallback's first node is called over gRPC, the ensemble's member over HTTP.

    Others send requests all the time; none of theirs fails either.
    """
    bare = load_model(release_args(model="d", version="v1", source=str(ROOT / "models/digits/v1"), accelerator="cpu"))
    away = {"first.far", "both.other"}
    args = covered(remote(triton, "grpc"), remote(triton, "http", "other"))

    async def check(client: Client, is_used: bool) -> None:
        for _ in range(20):
            rows, outputs, result = await client.ask()
            near = bare.predict({"pixels": rows})["probabilities"]
            far = softmax(rows, weights) if is_used else near
            np.testing.assert_allclose(outputs["first"], far, atol=1e-5)
            np.testing.assert_allclose(outputs["both"], (near + far) / 2, atol=1e-5)
            assert set(result.left_out) == (set() if is_used else away)

    server = BlockServer.load(args, NoMetrics())  # nobody is there yet
    pixels, over = split("digits").held_out_inputs, asyncio.Event()
    client, *others = [Client(server, pixels) for _ in range(4)]
    await check(client, is_used=False)
    async with asyncio.TaskGroup() as load:
        for other in others:
            load.create_task(other.ask_while(lambda: not over.is_set()))
        await asyncio.to_thread(triton.start)
        await client.ask_until(set())
        await check(client, is_used=True)
        client.slow = 0
        await asyncio.to_thread(triton.kill)
        await client.ask_until(away)
        await check(client, is_used=False)
        assert client.slow < 5  # a refused connection takes no time
        await asyncio.to_thread(triton.start)
        await client.ask_until(set())
        await check(client, is_used=True)
        triton.hang()
        await client.ask_until(away)
        client.slow = 0
        for _ in range(100):
            assert (await client.ask())[2].left_out
        assert client.slow < 20  # one batch in a second looks whether it is back, the others do not wait for it
        triton.go_on()
        await client.ask_until(set())
        await check(client, is_used=True)
        over.set()
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_graph_that_cannot_do_without_triton_uses_it(running, weights, protocol):
    server = BlockServer.load(alone(remote(running, protocol)), NoMetrics())
    rows, outputs, _ = await Client(server, split("digits").held_out_inputs).ask()
    np.testing.assert_allclose(outputs["probabilities"], softmax(rows, weights), atol=1e-5)
    server.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "cats"}, "m-v1: warm-up with 1 rows: m-v1 node far cannot be answered by .*'cats'"),
        ({"version": "7"}, "m-v1: warm-up with 1 rows: m-v1 node far cannot be answered by .*'digits'"),
        (
            {"outputs": [{**SCORES, "shape": [-1, 9]}]},
            r"m-v1 node far is not what 127.0.0.1:\d+ has as 'digits': output 'scores' is declared as FP32 \[-1, 9\], "
            r"it is FP32 \[-1, 10\] there",
        ),
        ({"outputs": [{**SCORES, "datatype": "FP64"}]}, r"declared as FP64 \[-1, 10\], it is FP32 \[-1, 10\] there"),
        ({"outputs": [{**SCORES, "source": "score"}]}, "it has no output 'score'; it has: scores"),
        ({"inputs": {"image": "pixels"}}, "it has no input 'image'; it has: pixels"),
        (
            {"model": "moody", "inputs": {"x": "pixels"}},
            r"input 'x' is given FP32 \[-1, 64\], it is FP32 \[-1, 1\] there",
        ),
    ],
    ids=["no such model", "no such version", "shape", "datatype", "output", "input", "what the graph gives"],
)
async def test_what_triton_does_not_have_is_said_at_load(running, protocol, changes, reason):
    with pytest.raises(ConfigError, match=reason):
        load_model(alone(remote(running, protocol, **changes)))


MOODY_INPUT = {"name": "x", "datatype": "FP32", "shape": [-1, 1]}
MOODY = {"model": "moody", "inputs": {"x": "x"}, "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_triton_refuses_and_what_takes_too_long_are_that_requests_errors(running, protocol):
    args = release([remote(running, protocol, **MOODY)], {"y": "far.y"}, MOODY_INPUT)
    server = BlockServer.load(args, NoMetrics())

    async def ask(value: float) -> EntryResult:
        (reply,) = await server.infer(Block({"x": np.array([[value]], np.float32)}, (BlockEntry(1),)))
        return reply.results[0]

    refused = (await ask(-1)).error
    assert isinstance(refused, ModelRaised)
    assert "a negative number" in str(refused)
    late = (await ask(2 * TIMEOUT_MS / 1000)).error
    assert isinstance(late, DeadlineExceeded)
    assert str(late) == f"far could not answer within {TIMEOUT_MS / 1000:g} s"
    while isinstance((await ask(0)).error, DeadlineExceeded):  # it still sleeps for the one before
        pass
    assert (await ask(0)).error is None
    server.close()
