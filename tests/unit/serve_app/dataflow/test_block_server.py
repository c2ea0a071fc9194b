"""A release's core: a real ONNX model behind its batcher, alone and as a whole server in one process."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace

import httpx
import numpy as np
import pytest
import uvicorn
from onnx import TensorProto, helper
from support.gateway import plane_of, scrape, table
from support.versions import doubling, onnx_model, write_version

from serve_app.config.release import BatchingConfig, ReleaseArgs
from serve_app.data_plane.local import LocalCluster
from serve_app.dataflow.block_server import BlockServer
from serve_app.dataflow.model import load_model
from serve_app.errors import ArtifactMismatch, ConfigError
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
    (reply,) = await server.infer(Block({"x": x}, (BlockEntry(1), BlockEntry(5))))
    server.close()
    np.testing.assert_array_equal(reply.outputs["y"], 2 * x)
    rows = [value for name, value, _ in metrics if name == BATCH_ROWS.name]
    assert sum(rows) == 6
    assert max(rows) <= 4
    assert {labels for _, _, labels in metrics} == {("double", "v1")}
    assert {name for name, _, _ in metrics} == {BATCH_ROWS.name, COMPUTE.name}


async def test_only_outputs_that_a_request_wants_travel(tmp_path):
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2])  # noqa: E731
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    outputs = [{"name": name, "datatype": "FP32", "shape": [-1, 2]} for name in "yz"]
    write_version(tmp_path / "v1", onnx_model(nodes, [value("x")], [value("y"), value("z")]), {"outputs": outputs})
    server = BlockServer.load(ReleaseArgs(model="two", version="v1", source=str(tmp_path / "v1")), Metrics())
    x = np.ones((1, 2), np.float32)
    wanted = ((), ("z",), ("z", "y"))
    replies = [
        reply for names in wanted for reply in await server.infer(Block({"x": x}, (BlockEntry(1),), outputs=names))
    ]
    (late,) = await server.infer(Block({"x": x}, (BlockEntry(1, timeout_s=0),), outputs=("z",)))
    server.close()
    assert [{*reply.outputs} for reply in replies] == [{"y", "z"}, {"z"}, {"z", "y"}]
    assert replies[1].outputs["z"].tolist() == [[-1, -1]]
    assert late.outputs == {}
    assert late.results[0].error is not None


async def test_what_was_executed_is_counted(args):
    server = BlockServer.load(args, Metrics())
    x = np.arange(12, dtype=np.float32).reshape(6, 2)
    await server.infer(
        Block({"x": x}, (BlockEntry(1), BlockEntry(5))), Block({"x": x[:1]}, (BlockEntry(1, timeout_s=0),))
    )
    server.close()
    counted = server.statistics
    assert (counted.answered.count, counted.failed.count, counted.replicas) == (2, 1, 1)
    assert sum(rows * size.compute.count for rows, size in counted.sizes.items()) == 6
    assert counted.answered.seconds >= counted.queue.seconds / 2 > 0
    assert counted.last_executed_s > 1e9


def test_a_release_that_fails_its_checks_is_not_made(args, tmp_path):
    (tmp_path / "v1/model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactMismatch, match="the manifest says"):
        BlockServer.load(args, Metrics())


async def test_gateway_and_release_run_in_one_process_under_uvicorn(args):
    """What the edge and embedded use do: no Ray anywhere."""
    server = BlockServer.load(args, Metrics())
    traffic = table(double={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(server), traffic) as plane:
        app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)
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


def config(**batching) -> dict:
    return {"batching": batching}


async def test_batching_is_tuned_without_a_restart_and_shown(args):
    server = BlockServer.load(args, metrics := Metrics())
    before = server.info.revision
    server.configure({"slo_ms": 70, **config(max_rows=2, max_queue_rows=9)})
    assert (server.info.max_rows, server.info.max_queue_rows, server.info.slo_ms) == (2, 9, 70)
    (reply,) = await server.infer(Block({"x": np.ones((6, 2), np.float32)}, (BlockEntry(6),)))
    assert max(value for name, value, _ in metrics if name == BATCH_ROWS.name) == 2
    assert reply.revision == server.info.revision != before
    server.configure({})
    assert (server.info.max_rows, server.info.slo_ms, server.info.revision) == (4, 5000, before)
    server.close()


async def test_sizes_that_suit_the_model_go_with_the_rows_that_are_tuned(args):
    model = load_model(args)
    model = replace(model, batching=model.batching.in_few_sizes(), has_own_sizes=True)
    server = BlockServer(model, Metrics())
    for tuning, sizes in (({"max_rows": 3}, (1, 2, 3)), ({}, (1, 2, 4)), ({"allowed_rows": [4]}, (4,))):
        server.configure(config(**tuning))
        assert server.info.allowed_rows == sizes
    server.close()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (config(max_rows=5), "max_rows 5 is over the 4 that were warmed up"),
        (config(max_rows=4, max_queue_rows=3), "a batch could never fill"),
        (config(max_row=4), "batching.max_row: Extra inputs are not permitted"),
        (config(ragged={"lengths": [1], "pad": {"x": 0}}), "ragged is part of the signature"),
    ],
)
async def test_a_wrong_user_config_is_refused_at_the_start_and_kept_out_later(args, wrong, reason):
    server = BlockServer.load(args, Metrics())
    with pytest.raises(ConfigError, match=reason):
        server.configure(wrong)
    server.configure(config(max_rows=2))
    server.configure(wrong)
    assert server.info.max_rows == 2
    assert reason in server.info.tuning_fault
    server.configure(config(max_rows=3))
    assert (server.info.max_rows, server.info.tuning_fault) == (3, "")
    server.close()


async def test_the_latencies_it_learns_are_part_of_what_it_says(args):
    server = BlockServer.load(args, Metrics())
    await server.infer(Block({"x": np.ones((3, 2), np.float32)}, (BlockEntry(3),)))
    assert {1, 2, 4} <= set(server.info.profile)
    assert min(server.info.profile.values()) > 0
    server.close()
