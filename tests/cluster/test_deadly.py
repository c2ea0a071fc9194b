"""A request that kills the replica that executes it has two tries; those that died with it are answered."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from support.deadly_model import DEATHS, GATE
from support.server import PATIENCE_S, outputs_of, v2_body, wait_for

MANIFEST = {
    "format": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}


@pytest.fixture
def deaths(server, tmp_path) -> Iterator[Path]:
    """The file of the deadly model's deaths."""
    with server.beside("deadly", tmp_path, "support.deadly_model:Deadly", MANIFEST):
        yield tmp_path / DEATHS


async def test_a_request_that_killed_two_replicas_is_not_tried_again_and_the_others_are_answered(server, deaths):
    infer = f"{server.url}/v2/models/deadly/infer"
    gate = deaths.with_name(GATE)
    os.mkfifo(gate)
    numbers = list(range(1, 8))
    sent: list[str] = []

    async def note(event: str, info: object) -> None:
        if event.endswith("send_request_body.complete"):
            sent.append(event)

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:

        def post(number: float) -> asyncio.Task[httpx.Response]:
            body = v2_body("x", np.array([[number]], np.float32))
            return asyncio.create_task(client.post(infer, content=body, extensions={"trace": note}))

        killer = post(-1.0)
        await asyncio.to_thread(wait_for, "its execution", deaths.exists, PATIENCE_S)
        others = [post(number) for number in numbers]
        await asyncio.to_thread(wait_for, "the others to be sent", lambda: len(sent) == 8, PATIENCE_S)
        await asyncio.to_thread(gate.write_text, "open")
        gate.unlink()
        guilty, *innocent = await asyncio.gather(killer, *others)
        assert (guilty.status_code, "deadly-v1 died while it worked on this request" in guilty.text) == (503, True)
        assert [answer.status_code for answer in innocent] == [200] * 7
        assert [outputs_of(answer.json())["y"] for answer in innocent] == [[2.0 * number] for number in numbers]
        await asyncio.to_thread(
            wait_for, "a new replica", lambda: server.readiness("deadly", "v1")[0] == 200, PATIENCE_S
        )
        after = await client.post(infer, content=v2_body("x", np.array([[21.0]], np.float32)))
    assert after.status_code == 200
    assert len(deaths.read_text().split()) == 2
