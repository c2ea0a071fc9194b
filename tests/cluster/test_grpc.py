"""NVIDIA's own gRPC client through Serve's gRPC port, without `application` metadata."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.http
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from support.server import MAX_BODY_BYTES, Server
from tritonclient.utils import InferenceServerException

from serve_app.samples.data import held_out

GRAPHS = [("digits-ensemble", "v1", "READY"), ("digits-cascade", "v1", "READY")]


@pytest.fixture(scope="module")
def gateway_log_sizes(server: Server) -> dict[Path, int]:
    """How long each gateway log was before the first call of this file: other files make gateways log tracebacks."""
    return {log: log.stat().st_size for log in server.session_logs("replica_gateway_Gateway_*.log")}


@pytest.fixture(scope="module")
def client(server: Server, gateway_log_sizes: dict[Path, int]) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc_address) as client:
        yield client


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return held_out("digits")[0]


def tensor(rows: np.ndarray, of=triton) -> triton.InferInput:
    given = of.InferInput("pixels", list(rows.shape), "FP32")
    given.set_data_from_numpy(rows)
    return given


def refusal(client: triton.InferenceServerClient, model: str, rows: np.ndarray, **options) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(model, [tensor(rows)], **options)
    return refused.value.status(), refused.value.message()


def test_health_and_descriptions_are_told(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits", "v1")
    assert not client.is_model_ready("digits", "v9")
    assert client.get_server_metadata().name == "serve-app"
    assert client.get_model_metadata("digits").inputs[0].name == "pixels"
    assert client.get_model_config("wine").config.max_batch_size == 64
    index = [(model.name, model.version, model.state) for model in client.get_model_repository_index().models]
    assert index == [("digits", "v1", "READY"), ("digits", "v2", "READY"), ("wine", "v1", "READY"), *GRAPHS]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("rows", [1, 7])
def test_answers_equal_those_of_http_bit_by_bit(server, client, pixels, version, rows):
    given = pixels[:rows]
    over_grpc = client.infer("digits", [tensor(given)], model_version=version, request_id="mine")
    with tritonclient.http.InferenceServerClient(server.url.removeprefix("http://")) as http:
        over_http = http.infer("digits", [tensor(given, tritonclient.http)], model_version=version)
    assert over_grpc.get_response().id == "mine"
    names = [output.name for output in over_grpc.get_response().outputs]
    assert names == [output["name"] for output in over_http.get_response()["outputs"]]
    for name in names:
        assert over_grpc.as_numpy(name).tobytes() == over_http.as_numpy(name).tobytes()


def test_statistics_count_the_rows(client, pixels):
    def count() -> int:
        return client.get_inference_statistics("digits", "v1").model_stats[0].inference_count

    before = count()
    client.infer("digits", [tensor(pixels[:5])], model_version="v1")
    assert count() == before + 5


def test_refusals_have_their_code_and_sentence(client, pixels):
    status, sentence = refusal(client, "nothing", pixels[:1])
    assert (status, "model 'nothing' is not served here" in sentence) == ("StatusCode.NOT_FOUND", True)
    status, sentence = refusal(client, "digits", pixels[:1, :3])
    assert (status, "pixels" in sentence) == ("StatusCode.INVALID_ARGUMENT", True)
    status, sentence = refusal(client, "digits", np.repeat(pixels[:1], MAX_BODY_BYTES // 256 + 1, axis=0))
    assert (status, f"the limit is {MAX_BODY_BYTES}" in sentence) == ("StatusCode.RESOURCE_EXHAUSTED", True)
    with pytest.raises(InferenceServerException, match="loading a model by a call is switched off") as refused:
        client.load_model("digits")
    assert refused.value.status() == "StatusCode.UNIMPLEMENTED"


def test_the_limit_of_a_message_is_that_of_the_file(client):
    rows = np.zeros((65 * 2**20 // 256, 64), np.float32)
    status, sentence = refusal(client, "digits", rows)
    assert (status, "67108864" in sentence) == ("StatusCode.RESOURCE_EXHAUSTED", True)


def test_the_deadline_is_the_clients(client, pixels):
    status, sentence = refusal(client, "digits", pixels[:1], timeout=1)
    assert status in ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED")
    assert "digits" in sentence
    status, _ = refusal(client, "digits", pixels[:1], client_timeout=0.00005)
    assert status == "StatusCode.DEADLINE_EXCEEDED"
    assert client.infer("digits", [tensor(pixels[:1])], client_timeout=20).as_numpy("label").shape == (1,)


def test_refusals_leave_no_tracebacks(server, client, pixels, gateway_log_sizes):
    refusal(client, "nothing", pixels[:1])
    logs = server.session_logs("replica_gateway_Gateway_*.log")
    assert logs
    written = "".join(log.read_bytes()[gateway_log_sizes.get(log, 0) :].decode() for log in logs)
    assert "Traceback" not in written
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200


def test_a_stream_is_answered_and_a_refusal_does_not_end_it(client, pixels):
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(20):
        client.async_stream_infer("digits", [tensor(pixels[:1])], request_id=str(number), model_version="v1")
    client.async_stream_infer("nothing", [tensor(pixels[:1])])
    told = [answers.get(timeout=30) for _ in range(21)]
    client.stop_stream()
    assert sorted(int(result.get_response().id) for result, error in told if error is None) == list(range(20))
    assert ["model 'nothing' is not served here" in error.message() for _, error in told if error] == [True]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_messages_are_compressed(client, pixels, algorithm):
    plain = client.infer("digits", [tensor(pixels)], model_version="v1")
    packed = client.infer("digits", [tensor(pixels)], model_version="v1", compression_algorithm=algorithm)
    assert packed.as_numpy("probabilities").tobytes() == plain.as_numpy("probabilities").tobytes()


def test_the_standard_health_service_and_reflection(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        health = HealthStub(channel)
        assert health.Check(HealthCheckRequest()).status == HealthCheckResponse.SERVING
        assert next(iter(health.Watch(HealthCheckRequest()))).status == HealthCheckResponse.SERVING
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(services)
