"""Nodes on replicas of their own, called over handles: by a real block server behind a handle without a cluster."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest
from support.versions import doubling, write_version

from deployments.nodes import connect
from serve_app.config.release import ReleaseArgs
from serve_app.data_plane import parcel
from serve_app.data_plane.parcel import Inbox
from serve_app.dataflow.block_server import BlockServer
from serve_app.errors import DeadlineExceeded, ModelRaised
from serve_app.observability.metrics import NoMetrics


class Handle:
    """What of a deployment handle is used, with the deployment in this very process."""

    def __init__(self, server: BlockServer) -> None:
        self._server, self._inbox = server, Inbox()
        self.describe = SimpleNamespace(remote=self._describe)
        self.infer = SimpleNamespace(remote=self._infer, options=self._options_of_infer)
        self.told: list[dict[str, object]] = []

    def options(self, **options):
        self.told.append(options)
        return self

    def _options_of_infer(self, **options):
        self.told.append(options)
        return self.infer

    async def _describe(self):
        return self._server.info

    async def _infer(self, *sent):
        return await self._server.infer(*self._inbox.open_all(sent))


@pytest.fixture
def server(tmp_path):
    source = str(write_version(tmp_path, doubling(), {}))
    args = ReleaseArgs(model="m.a", version="v1", source=source, accelerator="cpu")
    running = BlockServer.load(args, NoMetrics())
    yield running
    running.close()


async def test_a_node_is_called_from_the_graphs_loop_and_says_where_its_time_went(server):
    node = (await connect("m-v1", {"a": Handle(server)}))["a"]
    assert [spec.name for spec in node.outputs] == ["y"]
    assert (node.version, node.device, node.predict) == ("m.a-v1", "cpu", None)
    assert 0 < node.profile[1] < 1
    called = await asyncio.to_thread(asyncio.run, node.call({"x": np.ones((3, 2), np.float32)}, 5.0))
    np.testing.assert_array_equal(called.outputs["y"], np.full((3, 2), 2))
    assert (called.timings.batch_rows, called.timings.compute_s > 0) == (3, True)


async def test_calls_are_pickled_the_short_way_and_big_ones_go_by_reference(server, monkeypatch):
    monkeypatch.setattr(parcel, "BY_REFERENCE_BYTES", 1000)
    handle = Handle(server)
    node = (await connect("m-v1", {"a": handle}))["a"]
    for rows in (1, 200):  # of 8 bytes there and 8 back
        await asyncio.to_thread(asyncio.run, node.call({"x": np.ones((rows, 2), np.float32)}, 30.0))
    assert handle.told == [{"request_serialization": "pickle"}, {"_by_reference": True}]


async def test_the_nodes_error_is_the_calls(server):
    node = (await connect("m-v1", {"a": Handle(server)}))["a"]
    with pytest.raises(DeadlineExceeded):
        await asyncio.to_thread(asyncio.run, node.call({"x": np.ones((3, 2), np.float32)}, 0.0))


async def test_what_ray_raises_is_the_nodes_failure(server):
    handle = Handle(server)

    async def broken(*sent):
        raise RuntimeError("of the cluster")

    handle.infer = SimpleNamespace(remote=broken)
    node = (await connect("m-v1", {"a": handle}))["a"]
    with pytest.raises(ModelRaised, match="m-v1 node a failed: RuntimeError: of the cluster"):
        await asyncio.to_thread(asyncio.run, node.call({"x": np.ones((1, 2), np.float32)}, None))
