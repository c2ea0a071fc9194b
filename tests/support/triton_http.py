"""NVIDIA's HTTP client off the event loop: gevent, inside it, keeps each connection to the thread that opened it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import tritonclient.http as triton


class TritonClient:
    """Calls one client from one thread, the one that made it."""

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._client = self._thread.submit(triton.InferenceServerClient, url).result()

    async def call(self, method: Callable, *args, **kwargs):
        """`method` of `InferenceServerClient`, or any function of a client."""
        return await asyncio.wrap_future(self._thread.submit(method, self._client, *args, **kwargs))

    async def infer(self, *args, **kwargs) -> triton.InferResult:
        return await self.call(triton.InferenceServerClient.infer, *args, **kwargs)


@asynccontextmanager
async def triton_client(url: str) -> AsyncIterator[TritonClient]:
    client = TritonClient(url)
    try:
        yield client
    finally:
        await client.call(triton.InferenceServerClient.close)
        client._thread.shutdown()
