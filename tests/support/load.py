"""A load of one-row requests, and what became of every one of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx

from serve_app.samples.data import held_out
from support.server import v2_body


@dataclass
class Load:
    """What became of every request of a load.

    Attributes:
        versions: When an answer came, and of which version.
        request_ids: Of the answers; the first twelve characters tell the gateway's replicas apart.
        left_out: Of each answer, what it was made without.
    """

    statuses: list[int] = field(default_factory=list)
    versions: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    request_ids: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def gateways(self) -> set[str]:
        return {request_id[:12] for request_id in self.request_ids}


@contextlib.asynccontextmanager
async def under_load(
    url: str, connections: int = 4, *, keeps_alive: bool = True, model: str = "digits", body: bytes = b""
) -> AsyncIterator[Load]:
    """Sends `body`, or else a digit, without a version until left, over kept connections or a new one each."""
    load, stop = Load(), asyncio.Event()
    body = body or v2_body("pixels", held_out("digits")[0][:1])

    async def caller(client: httpx.AsyncClient) -> None:
        while not stop.is_set():
            try:
                response = await client.post(f"/v2/models/{model}/infer", content=body)
            except httpx.HTTPError as error:
                load.failures.append(repr(error))
                continue
            load.statuses.append(response.status_code)
            load.request_ids.append(response.headers["x-request-id"])
            if response.status_code == 200:
                load.versions.append((time.monotonic(), response.headers["x-model-version"]))
                load.left_out.append(response.headers.get("x-left-out", ""))
            else:
                load.failures.append(f"{response.status_code} {response.text}")

    limits = httpx.Limits(max_keepalive_connections=None if keeps_alive else 0)
    async with httpx.AsyncClient(base_url=url, timeout=30, limits=limits) as client:
        callers = [asyncio.create_task(caller(client)) for _ in range(connections)]
        try:
            yield load
        finally:
            stop.set()
            await asyncio.gather(*callers)
