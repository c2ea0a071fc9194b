"""NVIDIA's own client against Serve's gRPC server in this process, with the gateway's methods behind it."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from ray.serve._private.grpc_util import gRPCGenericServer
from ray.serve.grpc_util import RayServegRPCContext
from support.arithmetic import Executor
from support.datatype_values import VALUES
from support.gateway import plane_of, table
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub
from tritonclient.utils import InferenceServerException

from deployments.grpc import GrpcMethods, add_inference_service
from serve_app.data_plane.local import LocalCluster
from serve_app.datatypes import Datatype
from serve_app.transport.grpc import GrpcAnswer, GrpcHandler
from serve_app.transport.grpc_admin import Metadata
from serve_app.transport.grpc_health import HealthHandler
from serve_app.types import Tensors, TensorSpec


class Gateway(GrpcMethods):
    def __init__(self, handler: GrpcHandler, health: HealthHandler | None = None) -> None:
        self._grpc, self._health = handler, health


class Listening:
    """A handler that remembers the metadata of the last call and gives an empty answer."""

    def __init__(self) -> None:
        self.metadata: Metadata = ()

    async def __call__(self, method: str, data: bytes, metadata: Metadata) -> GrpcAnswer:
        self.metadata = metadata
        return GrpcAnswer(pb.ServerLiveResponse(live=True), grpc.StatusCode.OK, "", (("seen", method),))


class Incoming:
    """The client's side of a stream, as Serve gives it to a replica."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        self._messages = messages

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._messages)

    def is_cancelled(self) -> bool:
        return False


@asynccontextmanager
async def served(handler: GrpcHandler | Listening, health: HealthHandler | None = None) -> AsyncIterator[str]:
    """The address of a gRPC server as Serve makes it; calls reach the methods in the way Serve's replica goes."""
    gateway = Gateway(handler, health)

    def factory(service_method, streaming_type):
        method = getattr(gateway, service_method.rpartition("/")[2])

        async def unary(message, context):
            known = RayServegRPCContext(context)
            message, known = pickle.loads(pickle.dumps((message, known)))  # noqa: S301 - as Serve's proxy does
            answer = await method(message, grpc_context=known)
            known._set_on_grpc_context(context)
            return answer.SerializeToString()

        async def stream(messages, context):
            known = RayServegRPCContext(context)
            async for answer in method(Incoming(messages), grpc_context=known):
                yield answer.SerializeToString()
            known._set_on_grpc_context(context)

        return stream if streaming_type.name == "STREAM_STREAM" else unary

    server = gRPCGenericServer(factory)
    add_inference_service(None, server)
    assert server.service_handler_factory is factory
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def client_of(datatype: Datatype = Datatype.FP32) -> AsyncIterator[triton.InferenceServerClient]:
    """A client of a gateway with a model that gives its input back."""

    def same(inputs: Tensors) -> Tensors:
        return {"y": inputs["x"]}

    inputs, outputs = (TensorSpec("x", datatype, (-1, 2)),), (TensorSpec("y", datatype, (-1, 2)),)
    executor = Executor("v1", same, model="echo", inputs=inputs, outputs=outputs, prediction="y")
    traffic = table("echo", echo={"traffic": {"v1": 100}})
    async with (
        plane_of(LocalCluster(executor), traffic) as plane,
        served(GrpcHandler(plane), HealthHandler(plane.directory, asyncio.Event())) as address,
        triton.InferenceServerClient(address) as client,
    ):
        yield client


def tensor(datatype: Datatype) -> triton.InferInput:
    values = VALUES[datatype]
    return triton.InferInput("x", list(values.shape), datatype.value).set_data_from_numpy(values)


@pytest.mark.parametrize("datatype", Datatype)
async def test_every_datatype_comes_back_as_it_was(datatype):
    async with client_of(datatype) as client:
        result = await client.infer("echo", [tensor(datatype)], request_id="mine")
    assert result.get_response().id == "mine"
    np.testing.assert_array_equal(result.as_numpy("y"), VALUES[datatype])


async def test_the_clients_questions_are_answered():
    async with client_of() as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("echo", "v1")
        assert not await client.is_model_ready("other")
        assert (await client.get_server_metadata()).name == "serve-app"
        assert (await client.get_model_metadata("echo")).inputs[0].datatype == "FP32"
        assert (await client.get_model_config("echo")).config.max_batch_size == 8
        assert (await client.get_inference_statistics("echo")).model_stats[0].version == "v1"
        assert [model.state for model in (await client.get_model_repository_index()).models] == ["READY"]


async def test_a_refusal_has_its_code_and_sentence():
    async with client_of() as client:
        with pytest.raises(InferenceServerException) as refused:
            await client.infer("other", [tensor(Datatype.FP32)])
        assert refused.value.status() == "StatusCode.NOT_FOUND"
        assert "model 'other' is not served here; served are: echo" in refused.value.message()
        with pytest.raises(InferenceServerException, match="loading a model by a call is switched off"):
            await client.load_model("echo")


async def test_a_stream_is_answered():
    async with client_of() as client:

        async def requests():
            for model in ("echo", "other"):
                yield {"model_name": model, "inputs": [tensor(Datatype.FP32)], "request_id": model}

        answers = [answer async for answer in client.stream_infer(requests())]
    results = [result for result, _ in answers if result is not None and result.get_response().outputs]
    assert [result.get_response().id for result in results] == ["echo"]
    np.testing.assert_array_equal(results[0].as_numpy("y"), VALUES[Datatype.FP32])
    (refused,) = [error.message() for _, error in answers if error is not None]
    assert "model 'other' is not served here" in refused


async def test_health_is_told_by_the_standard_service():
    async with client_of() as client:
        health = HealthStub(client._channel)
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError, match="service 'cats' is not known here") as unknown:
            await health.Check(HealthCheckRequest(service="cats"))
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(("timeout_s", "fields"), [(None, 0), (20.0, 1)])
async def test_the_deadline_of_a_call_is_among_its_metadata(timeout_s, fields):
    handler = Listening()
    async with served(handler) as address, grpc.aio.insecure_channel(address) as channel:
        call = GRPCInferenceServiceStub(channel).ServerLive(
            pb.ServerLiveRequest(), timeout=timeout_s, metadata=[("x-tenant-id", "acme")]
        )
        assert (await call).live
        assert ("seen", "ServerLive") in [(key, value) for key, value in await call.trailing_metadata()]
    assert ("x-tenant-id", "acme") in [tuple(item) for item in handler.metadata]
    left_s = [float(value) for key, value in handler.metadata if key == "x-request-timeout-seconds"]
    assert len(left_s) == fields
    assert all(10 < seconds < 21 for seconds in left_s)


def test_the_gateway_has_every_method_of_the_service():
    names = [method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods]
    names += ["Check", "Watch"]
    assert [getattr(Gateway, name).__name__ for name in names] == names
