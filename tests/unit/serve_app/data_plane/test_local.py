"""Releases in one process."""

from __future__ import annotations

from support.arithmetic import Executor, block, rows

from serve_app.data_plane.cluster import ReleaseState
from serve_app.data_plane.local import LocalCluster
from serve_app.types import Duration


async def test_loaded_releases_are_ready_and_failures_say_why():
    cluster = LocalCluster(Executor("v1"), failures={"arithmetic-v2": "it raised"})
    statuses = await cluster.statuses()
    assert statuses["arithmetic-v1"].state is ReleaseState.READY
    assert statuses["arithmetic-v2"].reason == "it raised"


async def test_a_client_reaches_its_release():
    client = LocalCluster(Executor("v1"), Executor("v2")).client("arithmetic-v2")
    assert (await client.describe()).version == "v2"
    assert (await client.statistics()).answered == Duration()
    (reply,) = await client.infer((block(rows(5)),), reply_bytes=0)
    assert reply.outputs["total"].tolist() == [15]
    assert (await client.statistics()).answered == Duration(1, 0.5)
