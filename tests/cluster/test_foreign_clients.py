"""KServe's inference clients and the open-inference-grpc stubs, each in a process and an environment of its own.

Their requirements contradict ours, and two libraries in one process cannot register the same messages.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from load_tests.servers.venvs import Venv

KSERVE = ("kserve==0.21.0",)
OPEN_INFERENCE = ("open-inference-grpc==2.0.0", "grpcio", "protobuf", "numpy")

KSERVE_REST = """
import asyncio, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

rows = np.load("tests/data/digits.npy").astype(np.float32)[:5].reshape(5, 64)
base = "http://" + sys.argv[1]

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(base) and await client.is_server_ready(base)
    assert await client.is_model_ready(base, "digits")
    labels = []
    for binary in (False, True):
        given = InferInput("pixels", [5, 64], "FP32")
        given.set_data_from_numpy(rows, binary_data=binary)
        request = InferRequest(model_name="digits", infer_inputs=[given], request_id="7")
        answer = await client.infer(base, request, model_name="digits")
        assert answer.id == "7", answer  # the client itself leaves the version out
        labels.append([int(label) for label in next(o for o in answer.outputs if o.name == "label").as_numpy()])
    v1 = await InferenceRESTClient(RESTConfig(protocol="v1")).infer(base, {"instances": rows.tolist()}, "digits")
    labels.append([one["label"] for one in v1["predictions"]])
    assert labels[0] == labels[1] == labels[2], labels
    try:
        await client.infer(base, InferRequest(model_name="nobody", infer_inputs=[given]), model_name="nobody")
        raise AssertionError("a model that is not there answered")
    except Exception as error:
        assert "not served here" in str(error) or "404" in str(error), error
    print("all held")

asyncio.run(main())
"""

KSERVE_GRPC = """
import asyncio, sys
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

rows = np.load("tests/data/digits.npy").astype(np.float32)[:5].reshape(5, 64)

async def main():
    client = InferenceGRPCClient(sys.argv[1])
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("digits")
    labels = []
    for binary in (False, True):
        given = InferInput("pixels", [5, 64], "FP32")
        given.set_data_from_numpy(rows, binary_data=binary)
        answer = await client.infer(InferRequest(model_name="digits", infer_inputs=[given], request_id="7"))
        assert answer.id == "7" and answer.model_version in ("v1", "v2"), answer
        labels.append(next(o for o in answer.outputs if o.name == "label").as_numpy().tolist())
    assert labels[0] == labels[1], labels
    try:
        await client.infer(InferRequest(model_name="nobody", infer_inputs=[given]))
        raise AssertionError("a model that is not there answered")
    except Exception as error:
        assert "not served here" in str(error), error
    print("all held")

asyncio.run(main())
"""

STUBS = """
import sys
import grpc
import numpy as np
from open_inference.grpc import protocol, service

rows = np.load("tests/data/digits.npy").astype(np.float32)[:5].reshape(5, 64)
(name,) = [name for name in dir(service) if name.endswith("Stub")]
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = getattr(service, name)(channel)
    assert stub.ServerLive(protocol.ServerLiveRequest()).live and stub.ServerReady(protocol.ServerReadyRequest()).ready
    assert stub.ModelReady(protocol.ModelReadyRequest(name="digits", version="v1")).ready
    assert stub.ServerMetadata(protocol.ServerMetadataRequest()).name == "serve-app"
    metadata = stub.ModelMetadata(protocol.ModelMetadataRequest(name="digits", version="v1"))
    assert [tensor.name for tensor in metadata.inputs] == ["pixels"], metadata
    tensor = protocol.ModelInferRequest.InferInputTensor(
        name="pixels", datatype="FP32", shape=[5, 64],
        contents=protocol.InferTensorContents(fp32_contents=rows.ravel().tolist()),
    )
    request = protocol.ModelInferRequest(model_name="digits", model_version="v1", inputs=[tensor], id="7")
    typed = stub.ModelInfer(request)
    assert (typed.id, typed.model_version) == ("7", "v1"), typed
    bare = protocol.ModelInferRequest.InferInputTensor(name="pixels", datatype="FP32", shape=[5, 64])
    raw = stub.ModelInfer(
        protocol.ModelInferRequest(
            model_name="digits", model_version="v1", inputs=[bare], raw_input_contents=[rows.tobytes()]
        )
    )
    assert list(typed.raw_output_contents) == list(raw.raw_output_contents) != []
    try:
        stub.ModelInfer(protocol.ModelInferRequest(model_name="nobody", inputs=[tensor]))
        raise AssertionError("a model that is not there answered")
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND, error
print("all held")
"""


@pytest.mark.parametrize(
    ("name", "requirements", "script", "address"),
    [
        ("kserve", KSERVE, KSERVE_REST, "url"),
        ("kserve", KSERVE, KSERVE_GRPC, "grpc_address"),
        ("open-inference", OPEN_INFERENCE, STUBS, "grpc_address"),
    ],
    ids=["kserve REST", "kserve gRPC", "open-inference-grpc"],
)
def test_a_client_of_others_finds_what_it_expects(server, name, requirements, script, address):
    root = Path(server.root) / "build/clients"
    python = Venv(name, requirements, root=root / "venvs", logs=root / "logs").ready() / "python"
    command = [python, "-c", script, getattr(server, address).removeprefix("http://")]
    done = subprocess.run(  # noqa: S603 - our own script
        command, cwd=server.root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.endswith("all held\n"), done.stdout[-500:] + done.stderr[-3000:]
