"""Doors of a whole gateway in this process, over real sockets, for a model like the digits sample."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent import futures
from contextlib import asynccontextmanager

import grpc
import numpy as np
import uvicorn
from tritonclient.grpc import service_pb2 as pb

from serve_app.config.gateway import ExpressConfig, LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.plane import DataPlane
from serve_app.datatypes import Datatype
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.express import ExpressDoor, Patience
from serve_app.transport.grpc import SERVICE, GrpcHandler
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages, Scrape
from serve_app.transport.rsgi import GatewayRsgi
from serve_app.types import TensorSpec
from support.arithmetic import Executor
from support.bad_requests import MAX_BODY_BYTES
from support.gateway import plane_of, scrape, table
from support.waiting import until

SIGNATURE = {
    "model": "digits",
    "inputs": (TensorSpec("pixels", Datatype.FP32, (-1, 64)),),
    "outputs": (TensorSpec("probabilities", Datatype.FP32, (-1, 10)), TensorSpec("label", Datatype.INT64, (-1,))),
    "prediction": "label",
}
AT_ONCE = Patience(ready_s=5, announce_s=0, settle_s=0, finish_s=5)


def digits(inputs):
    """All rows are alike to it: no digit is likely, and the label is the row's number."""
    rows = len(inputs["pixels"])
    return {"probabilities": np.zeros((rows, 10), np.float32), "label": np.arange(rows)}


@asynccontextmanager
async def digits_plane(call=digits, **options) -> AsyncIterator[DataPlane]:
    cluster = LocalCluster(*(Executor(tag, call, **SIGNATURE) for tag in ("v1", "v2")))
    traffic = table("digits", digits={"traffic": {"v1": 90, "v2": 10}, "labels": {"stable": "v1"}})
    async with plane_of(
        cluster, traffic, LimitsConfig(max_body_bytes=MAX_BODY_BYTES), random_point=lambda: 0.0, **options
    ) as plane:
        yield plane


def rsgi_of(plane: DataPlane, scrape: Scrape = scrape) -> GatewayRsgi:
    return GatewayRsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)


@asynccontextmanager
async def express_of(
    plane: DataPlane, patience: Patience = AT_ONCE, app: GatewayRsgi | None = None, **config
) -> AsyncIterator[ExpressDoor]:
    door = opened_later(plane, patience, app, **config)
    door.start()
    await door.opened()
    try:
        yield door
    finally:
        await door.close()


def opened_later(
    plane: DataPlane, patience: Patience = AT_ONCE, app: GatewayRsgi | None = None, **config
) -> ExpressDoor:
    """A door that is not started; on a port that was free a moment ago if none is given."""
    settings = ExpressConfig(**{"port": free_port(), **config})
    return ExpressDoor(settings, app or rsgi_of(plane), plane.is_settled, patience)


@asynccontextmanager
async def uvicorn_of(plane: DataPlane) -> AsyncIterator[int]:
    """The ASGI door as the Serve proxy's server runs it; gives its port."""
    app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="error", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        await until(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


@asynccontextmanager
async def grpc_of(plane: DataPlane) -> AsyncIterator[int]:
    """A gRPC server with those of the gateway's methods that have one answer; gives its port."""
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
    port: int = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
