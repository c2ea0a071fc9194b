"""NVIDIA's own client against the gateway, over real sockets: binary tensors are its default."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from support.arithmetic import Executor
from support.doors import uvicorn_of
from support.gateway import plane_of, table
from support.triton_http import triton_client
from tritonclient.utils import InferenceServerException

from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.types import Tensors, TensorSpec

VALUES = {
    Datatype.BOOL: np.array([[True, False], [False, True]]),
    Datatype.UINT8: np.array([[0, 255], [1, 2]], np.uint8),
    Datatype.UINT16: np.array([[0, 2**16 - 1], [1, 2]], np.uint16),
    Datatype.UINT32: np.array([[0, 2**32 - 1], [1, 2]], np.uint32),
    Datatype.UINT64: np.array([[0, 2**64 - 1], [1, 2]], np.uint64),
    Datatype.INT8: np.array([[-128, 127], [1, 2]], np.int8),
    Datatype.INT16: np.array([[-(2**15), 2**15 - 1], [1, 2]], np.int16),
    Datatype.INT32: np.array([[-(2**31), 2**31 - 1], [1, 2]], np.int32),
    Datatype.INT64: np.array([[-(2**63), 2**63 - 1], [1, 2]], np.int64),
    Datatype.FP16: np.array([[0.5, -65504], [1, 2]], np.float16),
    Datatype.BF16: np.array([[0.5, -3], [1, 2]], ml_dtypes.bfloat16),
    Datatype.FP32: np.array([[0.1, -3], [1, 2]], np.float32),
    Datatype.FP64: np.array([[0.1, -3], [1, 2]], np.float64),
    Datatype.BYTES: np.array([[b"\xff\0", b""], [b"a", "é".encode()]], object),
}


RAW = {"Inference-Header-Content-Length": "0"}


def twice(inputs: Tensors) -> Tensors:
    return {"same": inputs["x"], "again": inputs["x"]}


@asynccontextmanager
async def client_of(datatype: Datatype):
    """A client, and the URL, of a gateway with a model that gives its input back under two names."""
    outputs = (TensorSpec("same", datatype, (-1, 2)), TensorSpec("again", datatype, (-1, 2)))
    inputs = (TensorSpec("x", datatype, (-1, 2)),)
    executor = Executor("v1", twice, model="echo", inputs=inputs, outputs=outputs, prediction="same")
    traffic = table("echo", echo={"traffic": {"v1": 100}})
    async with (
        plane_of(LocalCluster(executor), traffic) as plane,
        uvicorn_of(plane) as port,
        triton_client(f"127.0.0.1:{port}") as client,
    ):
        yield client, f"http://127.0.0.1:{port}"


def tensor(datatype: Datatype, *, binary: bool = True) -> triton.InferInput:
    values = VALUES[datatype]
    given = triton.InferInput("x", list(values.shape), datatype.value)
    return given.set_data_from_numpy(values, binary_data=binary)


@pytest.mark.parametrize("datatype", Datatype)
async def test_every_datatype_comes_back_as_it_was(datatype):
    async with client_of(datatype) as (client, _):
        result = await client.infer("echo", [tensor(datatype)], request_id="mine")
    assert result.get_response()["id"] == "mine"
    for name in ("same", "again"):
        assert result.get_output(name)["parameters"]["binary_data_size"] > 0
        np.testing.assert_array_equal(result.as_numpy(name), VALUES[datatype])


@pytest.mark.parametrize(("sends_binary", "wants_binary"), [(True, False), (False, True), (False, False)])
async def test_json_and_binary_go_together(sends_binary, wants_binary):
    wanted = [
        triton.InferRequestedOutput("again", binary_data=wants_binary),
        triton.InferRequestedOutput("same", binary_data=False),
    ]
    async with client_of(Datatype.INT32) as (client, _):
        given = tensor(Datatype.INT32, binary=sends_binary)
        result = await client.infer(
            "echo", [given], outputs=wanted, priority=1, timeout=5_000_000, headers={"x-tenant-id": "a"}
        )
    assert ("data" in result.get_output("again")) != wants_binary
    for name in ("again", "same"):
        np.testing.assert_array_equal(result.as_numpy(name), VALUES[Datatype.INT32])


async def test_the_client_reads_the_answer_to_a_raw_body():
    values = VALUES[Datatype.FP32]
    async with client_of(Datatype.FP32) as (_, url), httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/v2/models/echo/infer", content=values.tobytes(), headers=RAW)
    length = int(answer.headers["inference-header-content-length"])
    result = triton.InferenceServerClient.parse_response_body(answer.content, header_length=length)
    np.testing.assert_array_equal(result.as_numpy("same"), values)


async def test_the_client_reads_our_sentences():
    async with client_of(Datatype.FP32) as (client, _):
        with pytest.raises(InferenceServerException) as caught:
            await client.infer("echo", [tensor(Datatype.FP64)])
    assert caught.value.message() == "input 'x' has datatype FP64, FP32 is expected"
    assert caught.value.status() == "400"


async def test_the_server_lists_the_extension():
    async with client_of(Datatype.FP32) as (client, _):
        metadata = await client.call(triton.InferenceServerClient.get_server_metadata)
    assert "binary_tensor_data" in metadata["extensions"]


@asynccontextmanager
async def animals():
    """A client of a gateway with a model that gives its three numbers back as scores of animals."""
    executor = Executor(
        "v1",
        lambda inputs: {"score": inputs["x"]},
        model="animals",
        outputs=(TensorSpec("score", Datatype.FP32, (-1, 3), ("cat", "dog", "emu")),),
        prediction="score",
    )
    traffic = table(animals={"traffic": {"v1": 100}})
    async with (
        plane_of(LocalCluster(executor), traffic) as plane,
        uvicorn_of(plane) as port,
        triton_client(f"127.0.0.1:{port}") as client,
    ):
        yield client


def scores() -> triton.InferInput:
    values = np.array([[0.25, 0.5, 0], [3, 1, 2]], np.float32)
    return triton.InferInput("x", [2, 3], "FP32").set_data_from_numpy(values)


@pytest.mark.parametrize("binary", [True, False])
async def test_the_best_classes_come_with_their_labels(binary):
    wanted = [triton.InferRequestedOutput("score", binary_data=binary, class_count=2)]
    async with animals() as client:
        result = await client.infer("animals", [scores()], outputs=wanted)
    best = [["0.500000:1:dog", "0.250000:0:cat"], ["3.000000:0:cat", "2.000000:2:emu"]]
    assert [[as_text(item) for item in row] for row in result.as_numpy("score")] == best


def as_text(item: bytes | str) -> str:
    return item.decode() if isinstance(item, bytes) else item


async def test_the_client_reads_configuration_statistics_and_settings():
    async with animals() as client:
        await client.infer("animals", [scores()])
        config = await client.call(triton.InferenceServerClient.get_model_config, "animals")
        (figures,) = (await client.call(triton.InferenceServerClient.get_inference_statistics, "animals", "v1"))[
            "model_stats"
        ]
        every = await client.call(triton.InferenceServerClient.get_inference_statistics)
        index = await client.call(triton.InferenceServerClient.get_model_repository_index)
        trace = await client.call(triton.InferenceServerClient.get_trace_settings, "animals")
        log = await client.call(triton.InferenceServerClient.get_log_settings)
        regions = await client.call(triton.InferenceServerClient.get_system_shared_memory_status)
    assert (config["input"][0]["dims"], config["max_batch_size"]) == ([3], 8)
    assert (figures["inference_count"], figures["execution_count"]) == (2, 1)
    assert every["model_stats"] == [figures]
    assert [(entry["name"], entry["state"]) for entry in index] == [("animals", "READY")]
    assert (trace["trace_level"], log["log_error"], regions) == (["OFF"], True, [])


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.load_model("animals"),
        lambda client: client.unload_model("animals"),
        lambda client: client.update_trace_settings("animals", {"trace_level": ["TIMESTAMPS"]}),
        lambda client: client.update_log_settings({"log_verbose_level": 1}),
        lambda client: client.register_system_shared_memory("r", "/r", 64),
        lambda client: client.unregister_cuda_shared_memory(),
    ],
)
async def test_what_is_not_done_is_501_for_the_client(call):
    async with animals() as client:
        with pytest.raises(InferenceServerException) as caught:
            await client.call(call)
    assert caught.value.status() == "501"
