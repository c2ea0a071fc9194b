"""The same request by every protocol, against a whole gateway over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from support.doors import digits_plane, uvicorn_of
from tritonclient.grpc import service_pb2 as pb
from typer.testing import CliRunner

from serve_app.cli.app import build_app
from serve_app.transport.grpc import SERVICE, GrpcHandler

ROWS = json.dumps([[0.5] * 64] * 3)


class Gateway:
    """HTTP and gRPC doors in a thread of their own."""

    def __init__(self) -> None:
        self.url = self.grpc_address = ""
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Gateway:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with digits_plane(explains=True) as plane, uvicorn_of(plane) as port:
            server, handler = grpc.aio.server(futures.ThreadPoolExecutor(1)), GrpcHandler(plane)

            def unary(method: str):
                async def answer(data, context):
                    told = await handler(method, data, context.invocation_metadata() or ())
                    context.set_code(told.code)
                    context.set_details(told.details)
                    context.set_trailing_metadata(told.trailers)
                    return pb.ServerLiveResponse() if told.message is None else told.message

                return grpc.unary_unary_rpc_method_handler(
                    answer, response_serializer=lambda message: message.SerializeToString()
                )

            handlers = {name: unary(name) for name in ("ModelMetadata", "ModelInfer")}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE.full_name, handlers),))
            self.grpc_address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
            self.url = f"http://127.0.0.1:{port}"
            await server.start()
            self._ready.set()
            await self._over.wait()
            await server.stop(None)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with Gateway() as running:
        yield running


def infer(gateway: Gateway, protocol: str, *options: str, data: str = ROWS) -> tuple[int, str, str]:
    url = gateway.grpc_address if protocol == "grpc" else gateway.url
    arguments = ["infer", "digits", "--protocol", protocol, "--url", url, "--data", data, *options]
    result = CliRunner().invoke(build_app(), arguments)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("protocol", ["binary", "grpc"])
def test_every_protocol_shows_the_same(gateway, protocol):
    code, shown, _ = infer(gateway, "rest", "--version", "v1")
    other_code, other, error = infer(gateway, protocol, "--version", "v1")
    assert (code, other_code, error) == (0, 0, "")
    assert other.splitlines()[:-1] == shown.splitlines()[:-1]
    assert "model digits, version v1, request" in other.splitlines()[-1]
    assert json.loads(infer(gateway, protocol, "--json")[1]) == json.loads(infer(gateway, "rest", "--json")[1])


@pytest.mark.parametrize("protocol", ["rest", "binary", "grpc"])
def test_every_protocol_shows_an_explanation(gateway, protocol):
    code, shown, error = infer(gateway, protocol, "--version", "v1", "--explain")
    assert (code, error) == (0, "")
    assert "ms of a batch of 3 rows" in shown.splitlines()[-2]


@pytest.mark.parametrize("protocol", ["binary", "grpc"])
def test_a_whole_request_keeps_its_parts(gateway, protocol):
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [1, 64], "data": [[0.5] * 64]}
    request = {"id": "7", "inputs": [tensor], "outputs": [{"name": "label"}], "parameters": {"priority": 1}}
    code, out, _ = infer(gateway, protocol, "--json", data=json.dumps(request))
    answer = json.loads(out)
    assert (code, answer["id"], [output["name"] for output in answer["outputs"]]) == (0, "7", ["label"])
    assert answer["outputs"][0]["data"] == [0]


@pytest.mark.parametrize(("protocol", "code"), [("binary", "status 404"), ("grpc", "gRPC NOT_FOUND")])
def test_a_refusal_is_the_servers_sentence(gateway, protocol, code):
    exit_code, _, error = infer(gateway, protocol, "--version", "v9")
    assert exit_code == 1
    assert "model 'digits' has no version or label 'v9'" in error
    assert code in error


def test_nobody_at_the_address_is_told(gateway):
    result = CliRunner().invoke(
        build_app(), ["infer", "digits", "--protocol", "grpc", "--url", "127.0.0.1:1", "--data", ROWS]
    )
    assert result.exit_code == 1
    assert "gRPC UNAVAILABLE, 127.0.0.1:1" in result.stderr


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ('{"inputs": [{"name": "pixels", "datatype": "FP99", "shape": [1], "data": [1]}]}', "inputs.0.datatype"),
        ('{"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [2], "data": [1]}]}', "is no FP32 tensor"),
        ('{"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1], "data": [300]}]}', "is no UINT8 tensor"),
    ],
)
def test_tensors_that_are_none_are_named(gateway, data, says):
    code, _, error = infer(gateway, "binary", data=data)
    assert (code, says in error) == (1, True)
