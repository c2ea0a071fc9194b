"""The standard health service over a directory that changes."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from serve_app.transport.grpc_health import SERVICES, HealthHandler


class Directory:
    """Ready or not, as the test says."""

    def __init__(self) -> None:
        self.ready, self.news = True, asyncio.Event()

    def is_ready(self) -> bool:
        return self.ready

    async def changed(self, within_s: float) -> None:
        async with asyncio.timeout(within_s):
            await self.news.wait()
        self.news.clear()


async def test_both_names_tell_readiness():
    directory, stopping = Directory(), asyncio.Event()
    subject = HealthHandler(directory, stopping)

    def statuses() -> set[int]:
        return {subject.check(HealthCheckRequest(service=name)).message.status for name in SERVICES}

    assert SERVICES == ("", "inference.GRPCInferenceService")
    assert statuses() == {HealthCheckResponse.SERVING}
    directory.ready = False
    assert statuses() == {HealthCheckResponse.NOT_SERVING}
    directory.ready = True
    stopping.set()
    assert statuses() == {HealthCheckResponse.NOT_SERVING}


async def test_an_unknown_service_is_not_found():
    answer = HealthHandler(Directory(), asyncio.Event()).check(HealthCheckRequest(service="cats"))
    assert (answer.code, answer.message) == (grpc.StatusCode.NOT_FOUND, None)
    assert "service 'cats' is not known here" in answer.details


async def test_a_watcher_hears_each_change_and_the_end():
    directory, stopping = Directory(), asyncio.Event()
    watch = HealthHandler(directory, stopping, look_s=0.01).watch(HealthCheckRequest())
    assert (await anext(watch)).status == HealthCheckResponse.SERVING
    directory.ready = False
    directory.news.set()
    assert (await anext(watch)).status == HealthCheckResponse.NOT_SERVING
    directory.ready = True
    directory.news.set()
    assert (await anext(watch)).status == HealthCheckResponse.SERVING
    stopping.set()
    assert [status.status async for status in watch] == [HealthCheckResponse.NOT_SERVING]


async def test_a_watcher_of_an_unknown_service_is_told_so():
    watch = HealthHandler(Directory(), asyncio.Event()).watch(HealthCheckRequest(service="cats"))
    assert (await anext(watch)).status == HealthCheckResponse.SERVICE_UNKNOWN
    await watch.aclose()
