"""A release's core: a real ONNX model behind its batcher, alone and as a whole server in one process."""

from __future__ import annotations

import asyncio
import json
import socket

import httpx
import numpy as np
import pytest
import uvicorn
from support.gateway import plane_of, scrape, table
from support.versions import doubling, write_version

from serve_app.config.release import BatchingConfig, ReleaseArgs
from serve_app.data_plane.local import LocalCluster
from serve_app.dataflow.block_server import BlockServer
from serve_app.errors import ArtifactMismatch
from serve_app.observability.metrics import BATCH_ROWS, COMPUTE
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages
from serve_app.types import Block, BlockEntry


class Metrics(list):
    def add(self, metric, value, *labels):
        self.append((metric.name, value, labels))


@pytest.fixture
def args(tmp_path):
    write_version(tmp_path / "v1", doubling(), {})
    return ReleaseArgs(
        model="double", version="v1", source=str(tmp_path / "v1"), batching=BatchingConfig(max_rows=4), slo_ms=5000
    )


async def test_blocks_are_batched_and_executed(args):
    metrics = Metrics()
    server = BlockServer.load(args, metrics)
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    reply = await server.infer(Block({"x": x}, (BlockEntry(1), BlockEntry(5))))
    server.close()
    np.testing.assert_array_equal(reply.outputs["y"], 2 * x)
    rows = [value for name, value, _ in metrics if name == BATCH_ROWS.name]
    assert sum(rows) == 6
    assert max(rows) <= 4
    assert {labels for _, _, labels in metrics} == {("double", "v1")}
    assert {name for name, _, _ in metrics} == {BATCH_ROWS.name, COMPUTE.name}


def test_a_release_that_fails_its_checks_is_not_made(args, tmp_path):
    (tmp_path / "v1/model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactMismatch, match="the manifest says"):
        BlockServer.load(args, Metrics())


async def test_gateway_and_release_run_in_one_process_under_uvicorn(args):
    """What the edge and embedded use do: no Ray anywhere."""
    server = BlockServer.load(args, Metrics())
    traffic = table(double={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(server), traffic) as plane:
        app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits.max_body_bytes)
        web = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            running = asyncio.create_task(web.serve(sockets=[listener]))
            async with httpx.AsyncClient(base_url=url, transport=httpx.AsyncHTTPTransport(retries=5)) as client:
                tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}
                body = json.dumps({"inputs": [tensor]})
                answers = await asyncio.gather(
                    *(client.post("/v2/models/double/infer", content=body) for _ in range(9))
                )
                web.should_exit = True
            await running
    server.close()
    assert [answer.json()["outputs"][0]["data"] for answer in answers] == [[2, 4]] * 9
