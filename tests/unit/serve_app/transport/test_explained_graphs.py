"""What requests are told of the graphs that they went through, from the protocols down to the nodes."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager

import grpc
import httpx
import numpy as np
import pytest
from support.arithmetic import Executor
from support.decoupled import Counting, server_of
from support.doors import express_of, uvicorn_of
from support.gateway import client_of, plane_of, table
from tritonclient.grpc import service_pb2 as pb

from serve_app.config.graph import GraphConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.errors import ModelRaised
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel, Plan
from serve_app.graph.planner import plan_graph
from serve_app.transport.grpc import GrpcHandler
from serve_app.types import Tensors, TensorSpec, Timings

X, P = TensorSpec("x", Datatype.FP32, (-1, 3)), TensorSpec("p", Datatype.FP32, (-1, 3))
INFER = "/v2/models/graph/infer"
TRAFFIC = table("graph", graph={"traffic": {"v1": 100}})
FORBIDDEN = "explain is not allowed here; the operator allows it with args.explain: true of the gateway"


def same(inputs: Tensors) -> Tensors:
    """The rows themselves, as scores."""
    return {"p": inputs["x"] + 0}


def model(name: str, **more: object) -> dict[str, object]:
    return {"kind": "model", "name": name, "source": f"models/{name}", **more}


def fused(name: str) -> NodeModel:
    return NodeModel((X,), (P,), predict=same, version=f"models/{name}")


def plan_of(models: dict[str, NodeModel], *nodes: dict[str, object], answer: str) -> Plan:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    graph = GraphConfig.model_validate({"inputs": inputs, "nodes": nodes, "outputs": {"p": answer}})
    plan = plan_graph(graph, models)
    assert plan.findings == []
    return plan


def cascade() -> Plan:
    """Rows of numbers under 0.5 go on from `small` to a split, which has them all done by `big`."""
    models = {name: fused(name) for name in ("small", "big", "other")}
    return plan_of(
        models,
        *map(model, models),
        {"kind": "split", "name": "tried", "weights": {"big": 1e9, "other": 1e-9}},
        {
            **{"kind": "cascade", "name": "sure", "first": "small", "then": "tried"},
            **{"confidence": "p", "threshold": 0.5},
        },
        answer="sure.p",
    )


@asynccontextmanager
async def gateway(plan: Plan, *, explains: bool = True, max_rows: int = 8):
    release = Executor("v1", plan.run, model="graph", inputs=(X,), outputs=(P,), prediction="p", max_rows=max_rows)
    async with plane_of(LocalCluster(release), TRAFFIC, explains=explains) as plane:
        yield plane


@asynccontextmanager
async def client(plan: Plan, **options):
    async with gateway(plan, **options) as plane, client_of(plane) as http:
        yield http


def rows(*values: float) -> list[list[float]]:
    return [[value] * 3 for value in values]


def body(*values: float, **more: object) -> dict[str, object]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [len(values), 3], "data": rows(*values)}], **more}


def explanation(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    length = response.headers.get("inference-header-content-length")
    document = json.loads(response.content[: int(length)] if length else response.content)
    told = json.loads(document["parameters"]["explanation"])
    holds(told)
    return told


def holds(told: dict[str, object]) -> None:
    """What is true of the times of each explanation."""
    nodes = told["nodes"]
    assert sum(node["critical_ms"] for node in nodes) <= told["compute_ms"] + 1e-9
    assert max(node["begin_ms"] + node["ms"] for node in nodes) <= told["compute_ms"] + 0.002
    assert [node["begin_ms"] for node in nodes] == sorted(node["begin_ms"] for node in nodes)
    assert all(node["critical_ms"] <= node["ms"] for node in nodes)


def durations(response: httpx.Response) -> dict[str, float]:
    found = re.findall(r"([\w-]+);dur=([\d.]+)", response.headers["server-timing"])
    return {name: float(ms) for name, ms in found}


def without_times(told: dict[str, object]) -> list[dict[str, object]]:
    return [{name: value for name, value in node.items() if not name.endswith("_ms")} for node in nodes_of(told)]


def nodes_of(told: dict[str, object]) -> list[dict[str, object]]:
    return [{name: value for name, value in node.items() if name != "ms"} for node in told["nodes"]]


async def test_each_request_of_a_batch_is_told_its_own_way():
    async with client(cascade()) as http:
        sure, unsure = await asyncio.gather(
            http.post(INFER + "?explain=1", json=body(0.9)),
            http.post(INFER, json=body(0.7, 0.1), headers={"x-explain": "true"}),
        )
    told = explanation(sure)
    assert (told["release"], told["batch_rows"]) == ("graph-v1", 3)
    small = {"kind": "model", "version": "models/small", "device": "cpu", "placement": "fused"}
    router = {"placement": "fused"}
    assert without_times(told) == [
        {"node": "small", **small, "rows": 1, "batch_rows": 3},
        {"node": "sure", "kind": "cascade", **router, "rows": 1, "batch_rows": 3, "chosen": {"small": 1}},
    ]
    assert without_times(explanation(unsure)) == [
        {"node": "small", **small, "rows": 2, "batch_rows": 3},
        {"node": "sure", "kind": "cascade", **router, "rows": 2, "batch_rows": 3, "chosen": {"small": 1, "tried": 1}},
        {
            **{"node": "tried", "kind": "split", **router, "inside": "sure"},
            **{"rows": 1, "batch_rows": 1, "chosen": {"big": 1}},
        },
        {"node": "big", **small, "version": "models/big", "inside": "tried", "rows": 1, "batch_rows": 1},
    ]
    for response in (sure, unsure):
        told_ms = durations(response)
        waited = {name: ms for name, ms in told_ms.items() if name.startswith("node-")}
        assert sum(waited.values()) <= told_ms["compute"]
        assert list(waited) == [f"node-{node['node']}" for node in explanation(response)["nodes"]]


async def test_who_does_not_ask_is_told_nothing():
    async with client(cascade()) as http:
        asked, other = await asyncio.gather(
            http.post(INFER, json=body(0.9, parameters={"explain": True})),
            http.post(INFER + "?explain=0", json=body(0.9)),
        )
    assert explanation(asked)["batch_rows"] == 2
    assert "parameters" not in other.json()
    assert list(durations(other)) == ["gateway", "queue", "batch", "compute"]


async def test_v2_tells_the_same_however_tensors_travel():
    x = np.array(rows(0.9, 0.1), "<f4")
    parameter = pb.InferParameter(bool_param=True)
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[2, 3])
    message = pb.ModelInferRequest(model_name="graph", inputs=[tensor], raw_input_contents=[x.tobytes()])
    by_parameter = pb.ModelInferRequest(
        model_name="graph", inputs=[tensor], raw_input_contents=[x.tobytes()], parameters={"explain": parameter}
    )
    async with gateway(cascade()) as plane, client_of(plane) as http:
        told = without_times(explanation(await http.post(INFER, json=body(0.9, 0.1, parameters={"explain": True}))))
        binary = {"binary_data_output": True, "explain": True}
        mixed = await http.post(INFER, json=body(0.9, 0.1, parameters=binary))
        raw = await http.post(
            INFER + "?explain=true", content=x.tobytes(), headers={"inference-header-content-length": "0"}
        )
        infer = GrpcHandler(plane)
        answers = [
            await infer("ModelInfer", message.SerializeToString(), (("x-explain", "1"),)),
            await infer("ModelInfer", by_parameter.SerializeToString(), ()),
        ]
    assert [node["node"] for node in told] == ["small", "sure", "tried", "big"]
    assert [without_times(explanation(response)) for response in (mixed, raw)] == [told, told]
    for answer in answers:
        assert answer.code is grpc.StatusCode.OK
        assert without_times(json.loads(answer.message.parameters["explanation"].string_param)) == told


OTHERS = {
    "/predict": {"input": rows(0.9)},
    "/v1/models/graph:predict": {"instances": rows(0.9)},
    "/predictions/graph": rows(0.9),
}


@pytest.mark.parametrize("path", OTHERS)
async def test_other_protocols_tell_it_in_server_timing(path):
    async with client(cascade()) as http:
        response = await http.post(f"{path}?x=1&explain=1", json=OTHERS[path])
        plain = await http.post(path, json=OTHERS[path])
    assert (response.status_code, response.content) == (200, plain.content)
    assert list(durations(response))[4:] == ["node-small", "node-sure"]
    assert list(durations(plain))[4:] == []


async def test_generate_says_that_it_has_no_room_for_it():
    async with client(cascade()) as http:
        for query, flat in (("?explain=1", {"x": [1, 1, 1]}), ("", {"x": [1, 1, 1], "explain": True})):
            response = await http.post(f"/v2/models/graph/generate{query}", json=flat)
            assert (response.status_code, "has no room" in response.text) == (501, True)


async def test_a_release_of_one_model_is_one_node():
    traffic = table("arithmetic", arithmetic={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(Executor()), traffic, explains=True) as plane, client_of(plane) as http:
        response = await http.post("/v2/models/arithmetic/infer?explain=1", json=body(1, 2))
    told = explanation(response)
    assert without_times(told) == [
        {"node": "arithmetic", "kind": "model", "version": "v1", "device": "cpu", "rows": 2, "batch_rows": 2}
    ]
    assert told["nodes"][0]["critical_ms"] == told["compute_ms"]
    assert durations(response)["node-arithmetic"] <= durations(response)["compute"] + 0.001


async def test_a_request_in_several_batches_is_told_all_of_them():
    async with client(cascade(), max_rows=2) as http:
        told = explanation(await http.post(INFER + "?explain=1", json=body(0.9, 0.1, 0.2)))
    assert [(node["node"], node["rows"], node["batch_rows"]) for node in told["nodes"]] == [
        *(("small", 2, 2), ("sure", 2, 2), ("tried", 1, 1), ("big", 1, 1)),
        *(("small", 1, 1), ("sure", 1, 1), ("tried", 1, 1), ("big", 1, 1)),
    ]


@pytest.mark.parametrize(
    ("path", "headers", "parameters", "named"),
    [
        (INFER + "?explain=yes", {}, {}, "query parameter 'explain' is 'yes', must be 1, true, 0 or false"),
        (INFER + "?explain", {}, {}, "query parameter 'explain' is ''"),
        (INFER, {"x-explain": "on"}, {}, "header 'x-explain' is 'on'"),
        (INFER, {}, {"explain": 2}, "parameter 'explain' is '2'"),
        (INFER, {}, {"explain": "True"}, "parameter 'explain' is 'True'"),
    ],
)
async def test_what_is_neither_yes_nor_no_is_named(path, headers, parameters, named):
    async with client(cascade()) as http:
        response = await http.post(path, headers=headers, json=body(1, parameters=parameters))
    assert response.status_code == 400
    assert named in response.json()["error"]


@pytest.mark.parametrize("path", [INFER, *OTHERS])
async def test_without_permission_nothing_is_told(path):
    content = OTHERS.get(path, body(0.9))
    async with client(cascade(), explains=False) as http:
        asked, other = await http.post(path + "?explain=1", json=content), await http.post(path, json=content)
    assert (asked.status_code, asked.json()) == (403, {"error": FORBIDDEN})
    assert other.status_code == 200


async def test_grpc_refuses_without_permission_too():
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 3])
    message = pb.ModelInferRequest(model_name="graph", inputs=[tensor], raw_input_contents=[bytes(12)])
    async with gateway(cascade(), explains=False) as plane:
        answer = await GrpcHandler(plane)("ModelInfer", message.SerializeToString(), (("x-explain", "1"),))
    assert (answer.code, answer.details) == (grpc.StatusCode.PERMISSION_DENIED, FORBIDDEN)


async def test_a_model_of_many_responses_says_that_it_is_not_explained():
    release, traffic = server_of(Counting()), table(count={"traffic": {"v1": 100}})
    tensor = pb.ModelInferRequest.InferInputTensor(name="upto", datatype="INT64", shape=[1])
    message = pb.ModelInferRequest(model_name="count", inputs=[tensor], raw_input_contents=[b"\1" + bytes(7)])

    async def messages():
        yield message.SerializeToString()

    async with plane_of(LocalCluster(release), traffic, explains=True) as plane:
        answers = [answer async for answer in GrpcHandler(plane).stream(messages(), (("x-explain", "1"),))]
    release.close()
    assert [answer.error_message for answer in answers] == [
        "model 'count' has any number of responses, which are not explained"
    ]


@pytest.mark.parametrize("asked", ["query", "header"])
async def test_both_doors_read_what_is_asked(asked):
    query, headers = ("?explain=1", {}) if asked == "query" else ("", {"x-explain": "1"})
    async with (
        gateway(cascade()) as plane,
        uvicorn_of(plane) as port,
        express_of(plane) as door,
        httpx.AsyncClient() as http,
    ):
        for number in (port, door.port):
            url = f"http://127.0.0.1:{number}{INFER}"
            assert len(explanation(await http.post(url + query, headers=headers, json=body(0.9)))["nodes"]) == 2
            wrong = await http.post(url + "?explain=perhaps", json=body(0.9))
            assert wrong.status_code == 400


def elsewhere(call) -> NodeModel:
    return NodeModel((X,), (P,), call=call, version="graph.far-v1", device="cuda:0")


async def test_nodes_side_by_side_take_no_longer_than_the_whole():
    together = asyncio.Barrier(2)

    async def call(inputs: Tensors, left_s: float | None) -> Called:
        """Neither ends before the other has begun."""
        await together.wait()
        return Called(same(inputs), Timings(0.002, 0.001, 0.004, 32))

    plan = plan_of(
        {"one": elsewhere(call), "two": elsewhere(call)},
        model("one", placement="own"),
        model("two", placement="own"),
        {"kind": "ensemble", "name": "mean", "method": "mean", "members": ["one.p", "two.p"]},
        answer="mean.y",
    )
    async with client(plan) as http:
        told = explanation(await http.post(INFER + "?explain=1", json=body(0.9, 0.8)))
    one, two, mean = sorted(told["nodes"], key=lambda node: ("one", "two", "mean").index(node["node"]))
    assert (one["placement"], one["device"], one["version"]) == ("own", "cuda:0", "graph.far-v1")
    assert (one["rows"], one["batch_rows"], one["queue_ms"], one["compute_ms"]) == (2, 32, 2.0, 4.0)
    assert one["begin_ms"] < two["begin_ms"] + two["ms"]
    assert two["begin_ms"] < one["begin_ms"] + one["ms"]
    waited = [node["node"] for node in (one, two) if node["critical_ms"] > 0]
    assert len(waited) == 1
    assert mean["begin_ms"] >= max(one["begin_ms"] + one["ms"], two["begin_ms"] + two["ms"]) - 0.002


async def test_members_that_were_late_or_failed_are_told_with_why():
    async def late(inputs: Tensors, left_s: float | None) -> Called:
        await asyncio.Event().wait()
        raise AssertionError

    async def broken(inputs: Tensors, left_s: float | None) -> Called:
        raise ModelRaised("graph.broken-v1", "it raised ValueError")

    async def good(inputs: Tensors, left_s: float | None) -> Called:
        return Called(same(inputs))

    calls = {"late": late, "broken": broken, "good": good}
    members = {"members": [f"{name}.p" for name in calls], "quorum": 1, "timeout_ms": 20}
    plan = plan_of(
        {name: elsewhere(call) for name, call in calls.items()},
        *(model(name, placement="own") for name in calls),
        {"kind": "ensemble", "name": "mean", "method": "mean", **members},
        answer="mean.y",
    )
    async with client(plan) as http:
        response = await http.post(INFER + "?explain=1", json=body(0.9))
    nodes = {node["node"]: node for node in explanation(response)["nodes"]}
    assert {name: node.get("error", "") for name, node in nodes.items()} == {
        **{"late": "cancelled", "broken": "ModelRaised"},
        **{"good": "", "mean": ""},
    }
    assert {node["inside"] for name, node in nodes.items() if name != "mean"} == {"mean"}
    assert nodes["late"]["critical_ms"] >= 19
    assert nodes["good"]["critical_ms"] == 0
    assert response.headers["x-left-out"] == "mean.late, mean.broken"


async def test_the_node_that_lost_a_race_was_not_waited_for():
    begun = asyncio.Event()

    async def slow(inputs: Tensors, left_s: float | None) -> Called:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def quick(inputs: Tensors, left_s: float | None) -> Called:
        await begun.wait()
        return Called(same(inputs))

    plan = plan_of(
        {"slow": elsewhere(slow), "quick": elsewhere(quick)},
        model("slow", placement="own"),
        model("quick", placement="own"),
        {"kind": "race", "name": "first", "targets": ["slow", "quick"]},
        answer="first.p",
    )
    async with client(plan) as http:
        told = explanation(await http.post(INFER + "?explain=1", json=body(0.9)))
    nodes = {node["node"]: node for node in told["nodes"]}
    assert nodes["first"]["chosen"] == {"quick": 1}
    assert (nodes["slow"]["error"], nodes["slow"]["critical_ms"]) == ("cancelled", 0)
    assert nodes["quick"]["critical_ms"] > 0
