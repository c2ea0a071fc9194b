"""The ONNX project's own models and numbers, through REST JSON, REST binary and gRPC: real graphs of 1 to 5 axes."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tritonclient.http as triton
import yaml
from onnx import numpy_helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_state
from support.gateway import client_of, plane_of, table
from tritonclient.grpc import service_pb2 as pb
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

from serve_app.config.gateway import LimitsConfig
from serve_app.config.release import ReleaseArgs
from serve_app.data_plane.local import LocalCluster
from serve_app.dataflow.block_server import BlockServer
from serve_app.datatypes import datatype_of
from serve_app.observability.metrics import NoMetrics
from serve_app.transport.grpc import GrpcHandler

DATA = Path(onnx.__file__).parent / "backend/test/data"
KINDS = ("pytorch-converted", "pytorch-operator", "simple")
REFUSALS = ort_state.Fail, ort_state.InvalidArgument, ort_state.InvalidGraph, ort_state.NotImplemented


class Vector(NamedTuple):
    """A graph with inputs and what it must answer."""

    file: Path
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    @property
    def rows(self) -> set[int]:
        """The lengths of axis 0 of its tensors; 0 for a scalar."""
        return {len(array) if array.ndim else 0 for array in (*self.inputs.values(), *self.outputs.values())}


def read(folder: Path) -> Vector:
    graph = onnx.load(folder / "model.onnx").graph
    constants = {constant.name for constant in graph.initializer}
    names = [value.name for value in graph.input if value.name not in constants]

    def arrays(kind: str, names: list[str]) -> dict[str, np.ndarray]:
        files = [folder / f"test_data_set_0/{kind}_{index}.pb" for index in range(len(names))]
        read = [numpy_helper.to_array(onnx.load_tensor(file)) for file in files]
        return dict(zip(names, read, strict=True))

    return Vector(
        folder / "model.onnx", arrays("input", names), arrays("output", [value.name for value in graph.output])
    )


def is_tensors(folder: Path) -> bool:
    """Whether all that goes in and out are tensors, and not sequences of them."""
    graph = onnx.load(folder / "model.onnx").graph
    return all(value.type.HasField("tensor_type") for value in (*graph.input, *graph.output))


def runs(vector: Vector) -> bool:
    """Whether ONNX Runtime has the graph's operators in the version it was written with, and the numbers are right."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        answer = ort.InferenceSession(vector.file, options, ["CPUExecutionProvider"]).run(
            list(vector.outputs), vector.inputs
        )
    except REFUSALS:
        return False
    return all(map(is_close, answer, vector.outputs.values()))


def is_close(answer: np.ndarray, expected: np.ndarray) -> bool:
    if expected.dtype == object:
        return np.array_equal(answer.astype(str), expected.astype(str))
    if expected.dtype.kind != "f":
        return np.array_equal(answer, expected)
    return answer.shape == expected.shape and np.allclose(answer, expected, rtol=1e-3, atol=1e-5)


def vectors() -> dict[str, Vector]:
    """Those whose tensors agree in axis 0, which is our batch axis."""
    folders = sorted(file.parent for kind in KINDS for file in (DATA / kind).glob("*/model.onnx"))
    read_all = {folder.name: read(folder) for folder in folders if is_tensors(folder)}
    return {name: v for name, v in read_all.items() if len(v.rows) == 1 and 0 not in v.rows and v.inputs and runs(v)}


VECTORS = vectors()


def release(vector: Vector, folder: Path) -> BlockServer:
    """The graph as an operator would serve it."""
    shutil.copy(vector.file, folder / "model.onnx")

    def signature(arrays: dict[str, np.ndarray]) -> list[dict[str, object]]:
        return [
            {"name": name, "datatype": datatype_of(array).value, "shape": [-1, *array.shape[1:]], "allow_nan": True}
            for name, array in arrays.items()
        ]

    (rows,) = vector.rows
    manifest = {
        "format": "onnx",
        "artifact": "model.onnx",
        "sha256": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest(),
        "inputs": signature(vector.inputs),
        "outputs": signature(vector.outputs),
        "batching": {"max_rows": rows, "allowed_rows": [rows]},
        "warmup": {"rows": [rows]},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
    args = {"model": "m", "version": "v1", "source": str(folder), "accelerator": "cpu"}
    return BlockServer.load(ReleaseArgs.model_validate(args), NoMetrics())


async def over_rest(client: httpx.AsyncClient, vector: Vector, *, binary: bool) -> dict[str, np.ndarray]:
    inputs = [
        triton.InferInput(name, array.shape, datatype_of(array).value).set_data_from_numpy(array, binary_data=binary)
        for name, array in vector.inputs.items()
    ]
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in vector.outputs]
    body, json_length = triton.InferenceServerClient.generate_request_body(inputs, wanted)
    headers = {} if json_length is None else {"inference-header-content-length": str(json_length)}
    answer = await client.post("/v2/models/m/infer", content=bytes(body), headers=headers)
    assert answer.status_code == 200, answer.text
    length = answer.headers.get("inference-header-content-length")
    result = triton.InferenceServerClient.parse_response_body(answer.content, header_length=length and int(length))
    return {name: result.as_numpy(name) for name in vector.outputs}


async def over_grpc(handler: GrpcHandler, vector: Vector) -> dict[str, np.ndarray]:
    message = pb.ModelInferRequest(model_name="m")
    for name, array in vector.inputs.items():
        message.inputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        message.raw_input_contents.append(
            serialize_byte_tensor(array).item() if array.dtype == object else array.tobytes()
        )
    answer = await handler("ModelInfer", message.SerializeToString(), ())
    assert answer.message is not None, answer.details
    sent = pb.ModelInferResponse.FromString(answer.message.SerializeToString())
    raw = dict(zip((output.name for output in sent.outputs), sent.raw_output_contents, strict=True))
    flat = {
        name: deserialize_bytes_tensor(raw[name]) if array.dtype == object else np.frombuffer(raw[name], array.dtype)
        for name, array in vector.outputs.items()
    }
    return {name: array.reshape(vector.outputs[name].shape) for name, array in flat.items()}


def as_bytes(array: np.ndarray) -> np.ndarray:
    """Texts, which NVIDIA's client gives for BYTES out of JSON, as they are in binary."""
    return np.vectorize(str.encode, [object])(array) if array.dtype == object else array


def test_most_of_them_fit():
    """The others have scalars, axes that are no batch, operators that are newer, or none that ONNX Runtime has."""
    assert len(VECTORS) >= 85


@pytest.mark.parametrize("name", VECTORS)
async def test_the_numbers_are_equal_on_every_way(name, tmp_path):
    vector, server = VECTORS[name], release(VECTORS[name], tmp_path)
    traffic, limits = table(m={"traffic": {"v1": 100}}), LimitsConfig(max_json_bytes=2**25)
    async with plane_of(LocalCluster(server), traffic, limits) as plane, client_of(plane) as client:
        grpc = await over_grpc(GrpcHandler(plane), vector)
        binary = await over_rest(client, vector, binary=True)
        json = await over_rest(client, vector, binary=False)
    server.close()
    for output, expected in vector.outputs.items():
        assert is_close(grpc[output], expected)
        np.testing.assert_array_equal(binary[output], grpc[output])
        np.testing.assert_array_equal(as_bytes(json[output]), grpc[output])
