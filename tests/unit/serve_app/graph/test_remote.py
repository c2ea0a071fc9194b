"""Remote nodes against our own gateway, another V2 server, and against servers that do not do as they should."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager

import numpy as np
import pytest
from support.arithmetic import Executor
from support.datatype_values import VALUES
from support.doors import free_port, grpc_of, uvicorn_of
from support.gateway import plane_of, table
from support.http_servers import answer, answering, serving

from serve_app.config.graph import RemoteNode
from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError, ModelRaised, RemoteUnavailable
from serve_app.graph.remote import RemoteModel
from serve_app.types import TensorSpec

PROTOCOLS = ("grpc", "http")
X = {"x": np.array([[1, 2]], np.float32)}


def node(port: int, protocol: str, datatype: Datatype = Datatype.FP32, **changes) -> RemoteNode:
    output = {"name": "same", "source": "y", "datatype": datatype, "shape": [-1, 2]}
    declared = {"model": "echo", "inputs": {"x": "x"}, "outputs": [output], **changes}
    url = f"127.0.0.1:{port}"
    return RemoteNode.model_validate({"kind": "remote", "name": "far", "url": url, "protocol": protocol, **declared})


@asynccontextmanager
async def remote_of(remote: RemoteNode):
    model = RemoteModel(remote, "m-v1")
    try:
        yield model
    finally:
        await model.close()


@asynccontextmanager
async def echo(protocol: str, datatype: Datatype = Datatype.FP32, **changes):
    """A remote node, and the gateway behind it with a model that gives its input back."""
    tensors = {name: (TensorSpec(one, datatype, (-1, 2)),) for name, one in (("inputs", "x"), ("outputs", "y"))}
    executor = Executor("v1", lambda inputs: {"y": inputs["x"]}, model="echo", prediction="y", **tensors)
    door = grpc_of if protocol == "grpc" else uvicorn_of
    async with (
        plane_of(LocalCluster(executor), table("echo", echo={"traffic": {"v1": 100}})) as plane,
        door(plane) as port,
        remote_of(node(port, protocol, datatype, **changes)) as remote,
    ):
        yield remote


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("datatype", Datatype)
async def test_every_datatype_comes_back_as_it_was(protocol, datatype):
    async with echo(protocol, datatype) as remote:
        called = await remote.call({"x": VALUES[datatype]}, 60.0)
    assert list(called.outputs) == ["same"]
    assert called.outputs["same"].dtype == datatype.dtype
    np.testing.assert_array_equal(called.outputs["same"], VALUES[datatype])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_the_server_refuses_is_told_in_its_words(protocol):
    async with echo(protocol) as remote:
        with pytest.raises(ModelRaised, match=r"m-v1 node far failed: 127\.0\.0\.1:\d+ says: .*FP64, FP32 is expected"):
            await remote.call({"x": np.ones((1, 2))}, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("changes", "words"),
    [({"model": "cats"}, "model 'cats' is not served here"), ({"version": "v9"}, "has no version or label 'v9'")],
    ids=["model", "version"],
)
async def test_what_is_not_there_may_come(protocol, changes, words):
    async with echo(protocol, **changes) as remote:
        with pytest.raises(
            RemoteUnavailable, match=rf"m-v1 node far cannot be answered by 127\.0\.0\.1:\d+: .*{words}"
        ):
            await remote.call(X, None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nobody_there_is_told_at_once(protocol):
    async with remote_of(node(free_port(), protocol)) as remote:
        with pytest.raises(RemoteUnavailable, match=r"(?i)connect"):
            await remote.call(X, None)


FAR = {"x": TensorSpec("x", Datatype.FP32, (-1, 2))}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_has_what_the_graph_declares_passes(protocol, caplog):
    async with echo(protocol) as remote:
        await remote.check(FAR)
    assert caplog.text == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("known", "changes", "difference"),
    [
        (TensorSpec("x", Datatype.INT8, (-1, 2)), {}, "input 'x' is given INT8 [-1, 2], it is FP32 [-1, 2] there"),
        (TensorSpec("x", Datatype.FP32, (-1,)), {}, "input 'x' is given FP32 [-1], it is FP32 [-1, 2] there"),
        (FAR["x"], {"inputs": {"z": "x"}}, "it has no input 'z'; it has: x"),
        (
            FAR["x"],
            {"outputs": [{"name": "y", "datatype": "INT64", "shape": [-1, 2]}]},
            "output 'y' is declared as INT64 [-1, 2], it is FP32 [-1, 2] there",
        ),
        (
            FAR["x"],
            {"outputs": [{"name": "z", "datatype": "FP32", "shape": [-1]}]},
            "it has no output 'z'; it has: y",
        ),
    ],
    ids=["datatype", "shape", "input", "output", "another output"],
)
async def test_a_server_that_has_something_else_is_a_fault(protocol, known, changes, difference):
    async with echo(protocol, **changes) as remote:
        with pytest.raises(ConfigError) as raised:
            await remote.check({"x": known})
    url = remote._node.url
    assert str(raised.value) == f"m-v1 node far is not what {url} has as 'echo': {difference}"


async def test_a_free_axis_fits_any_other():
    async with echo("http", outputs=[{"name": "y", "datatype": "FP32", "shape": [-1, -1]}]) as remote:
        await remote.check({"x": TensorSpec("x", Datatype.FP32, (-1, -1))})


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_server_that_cannot_be_asked_is_a_warning(protocol, caplog):
    async with remote_of(node(free_port(), protocol)) as remote:
        await remote.check(FAR)
    assert "m-v1 node far cannot be answered by" in caplog.text
    assert "could not be compared with what the graph declares" in caplog.text


@pytest.mark.parametrize(
    ("page", "is_told"),
    [
        (b"<html>", True),
        (b'{"name": "echo", "inputs": [{}]}', True),
        (b'{"name": "echo"}', False),  # a server that says nothing about its models' tensors
    ],
    ids=["no JSON", "no name", "nothing"],
)
async def test_metadata_that_cannot_be_read_is_a_warning(page, is_told, caplog):
    with serving() as server:
        server.pages["/v2/models/echo"] = page
        async with remote_of(node(int(server.url.rpartition(":")[2]), "http")) as remote:
            await remote.check(FAR)
    assert ("could not be compared" in caplog.text) == is_told


Y = {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}


async def test_one_connection_serves_all_calls_and_the_server_is_told_the_time_left():
    async with (
        answering(lambda _: answer(200, json.dumps({"outputs": [Y]}).encode())) as (target, seen),
        remote_of(node(int(target.url.split(":")[2].partition("/")[0]), "http")) as remote,
    ):
        for left_s in (0.25, None, 0.0):
            called = await remote.call(X, left_s)
            np.testing.assert_array_equal(called.outputs["same"], X["x"])
    assert seen.connections == 1
    told = [json.loads(body[: body.rindex(b"}") + 1]).get("parameters", {}) for body in seen.bodies]
    assert [one.get("timeout") for one in told] == [250_000, None, 1]


@pytest.mark.parametrize(
    ("said", "error", "text"),
    [
        (answer(503, b'{"error": "loading"}'), RemoteUnavailable, "loading"),
        (answer(429, b'{"error": "full"}'), RemoteUnavailable, "full"),
        (answer(500, b'{"error": "KeyError\\n in model.py"}'), ModelRaised, "says: KeyError$"),
        (answer(200, b"<html>"), ModelRaised, "cannot be read: "),
        (answer(200, b'{"outputs": []}'), ModelRaised, "cannot be read: there is no output 'y'"),
        (None, RemoteUnavailable, "disconnected"),
    ],
    ids=["503", "429", "500", "no JSON", "no output", "hangs up"],
)
async def test_other_answers_are_the_servers_faults(said, error, text):
    async with (
        answering(lambda _: said) as (target, _),
        remote_of(node(int(target.url.split(":")[2].partition("/")[0]), "http")) as remote,
    ):
        with pytest.raises(error, match=text):
            await remote.call(X, None)


def test_a_protocol_whose_library_is_missing_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tritonclient.http.aio", None)  # what the import system leaves for a missing one
    with pytest.raises(ConfigError, match=r"m-v1 node far: protocol http needs the package tritonclient\[http\]"):
        RemoteModel(node(1, "http"), "m-v1")
