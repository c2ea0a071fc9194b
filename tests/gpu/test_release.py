"""Whole releases on a GPU: chosen by themselves, batched, measured and described there."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from load_tests.gpu_cost import export_program
from serve_app.config.release import BatchingConfig, ReleaseArgs, RuntimeConfig
from serve_app.dataflow.add import NewVersion, add_version
from serve_app.dataflow.block_server import BlockServer
from serve_app.observability.metrics import BATCH_ROWS
from serve_app.types import Block, BlockEntry

# PyTorch 2.11 warns once a process of the file's pages, which it only reads.
pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")]

MOST_ROWS = 32


class Metrics(list):
    def add(self, metric, value, *labels):
        self.append((metric.name, value))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    export_program(folder / "net.pt2", 64)
    add_version(folder, NewVersion(folder / "net.pt2", "net", "v1"))
    return folder


def release(repository, **changes) -> ReleaseArgs:
    settings = {"batching": BatchingConfig(max_rows=MOST_ROWS), "slo_ms": 10_000, **changes}
    return ReleaseArgs(model="net", version="v1", source=str(repository / "net/v1"), **settings)


def images(rows: int):
    return np.random.default_rng(rows).standard_normal((rows, 3, 64, 64), np.float32)


@pytest.mark.parametrize(("accelerator", "device"), [("auto", "cuda:0"), ("gpu", "cuda:0"), ("cpu", "cpu")])
def test_the_device_is_as_asked_and_is_told(repository, accelerator, device):
    server = BlockServer.load(release(repository, accelerator=accelerator), Metrics())
    assert server.info.device == device
    assert server.info.profile.keys() >= {1, MOST_ROWS}
    server.close()


@pytest.mark.parametrize("instances", [1, 2])
async def test_requests_of_many_share_batches_and_get_their_own_rows(repository, instances):
    x = images(200)
    alone = BlockServer.load(release(repository, accelerator="cpu"), Metrics())
    (expected,) = await alone.infer(Block({"input": x}, (BlockEntry(len(x)),)))
    alone.close()
    args = release(repository, accelerator="gpu", runtime=RuntimeConfig(instances=instances))
    server = BlockServer.load(args, metrics := Metrics())
    replies = await asyncio.gather(*(server.infer(Block({"input": row[None]}, (BlockEntry(1),))) for row in x))
    server.close()
    (output,) = expected.outputs
    ours = np.concatenate([reply.outputs[output] for (reply,) in replies])
    np.testing.assert_allclose(ours, expected.outputs[output], rtol=1e-4, atol=1e-5)
    rows = [value for name, value in metrics if name == BATCH_ROWS.name]
    assert sum(rows) == len(x)
    assert MOST_ROWS >= max(rows) > 1


async def test_several_releases_share_the_gpu(repository):
    servers = [BlockServer.load(release(repository, accelerator="gpu"), Metrics()) for _ in range(2)]
    replies = await asyncio.gather(*(server.infer(Block({"input": images(8)}, (BlockEntry(8),))) for server in servers))
    for server in servers:
        server.close()
    first, second = (next(iter(reply.outputs.values())) for (reply,) in replies)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
