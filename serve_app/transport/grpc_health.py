"""The methods of `grpc.health.v1.Health`, free of any server: whether the gateway can answer inference."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc
from grpc_health.v1 import health_pb2

from serve_app.data_plane.directory import Directory
from serve_app.transport.grpc import SERVICE, GrpcAnswer

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
SERVICES = ("", SERVICE.full_name)
"""Whose health is known; the empty name is the server's."""

LOOK_S = 1.0  # how often a watcher looks at what wakes nobody: the end of the replica


class HealthHandler:
    """Says whether every model of the table can be answered.

    Args:
        directory: Knows it.
        stopping: Set once the process is about to end.
        look_s: Seconds after which a watcher looks at `stopping` again.
    """

    def __init__(self, directory: Directory, stopping: asyncio.Event, look_s: float = LOOK_S) -> None:
        self._directory, self._stopping, self._look_s = directory, stopping, look_s

    def check(self, request: health_pb2.HealthCheckRequest) -> GrpcAnswer:
        """The health of a service as it is now."""
        if request.service in SERVICES:
            message = health_pb2.HealthCheckResponse(status=self._status(request.service))
            return GrpcAnswer(message, grpc.StatusCode.OK, "", ())
        known = ", ".join(map(repr, SERVICES))
        sentence = f"service {request.service[:128]!r} is not known here; known are: {known}"
        return GrpcAnswer(None, grpc.StatusCode.NOT_FOUND, sentence, ())

    async def watch(
        self, request: health_pb2.HealthCheckRequest
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """The health of a service now and at each change, until the process is about to end.

        As the protocol wants it, an unknown service is a status here and no error: it may become known.
        """
        told: int | None = None
        while True:
            is_last = self._stopping.is_set()
            if (status := self._status(request.service)) != told:
                yield health_pb2.HealthCheckResponse(status=status)
                told = status
            if is_last:
                return
            try:
                await self._directory.changed(self._look_s)
            except TimeoutError:
                continue

    def _status(self, service: str) -> int:
        response = health_pb2.HealthCheckResponse
        if service not in SERVICES:
            return int(response.SERVICE_UNKNOWN)
        is_serving = self._directory.is_ready() and not self._stopping.is_set()
        return int(response.SERVING if is_serving else response.NOT_SERVING)
