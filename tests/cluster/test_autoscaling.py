"""A release gets a second replica when its rows need one, and gives it back; nothing is lost on either way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from support.server import Server, outputs_of, v2_body, wait_for
from support.slow_model import ROW_S

NEEDED_RATE = 1.4 / ROW_S  # rows a second: 1.4 times what one replica can execute
IDLE_RATE = 0.1 / ROW_S

AUTOSCALING = {
    "min_replicas": 1,
    "max_replicas": 2,
    "metrics_interval_s": 1,
    "look_back_period_s": 10,
    "upscale_delay_s": 0,
    "downscale_delay_s": 8,
    "policy": {"policy_function": "deployments.autoscaling:RowAwarePolicy"},
}

MANIFEST = {
    "format": "python",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}],
    "outputs": [
        {"name": "y", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "pid", "datatype": "INT64", "shape": [-1]},
    ],
}


@pytest.fixture
def slow_release(server, tmp_path) -> Iterator[None]:
    deployments = [{"name": "slow", "autoscaling_config": AUTOSCALING}]
    with server.beside("slow", tmp_path, "support.slow_model:Slow", MANIFEST, deployments=deployments):
        yield


@dataclass
class Answers:
    """What became of every request: which process answered when, or what went wrong."""

    sent: int = 0
    by: list[tuple[float, int]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def pids(self) -> set[int]:
        return {pid for _, pid in self.by}


class Load:
    """Rows that arrive evenly, whatever the answers do."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.answers, self._client = Answers(), client
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, until: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        while not until.is_set():
            number += 1
            call = loop.create_task(self._call(self.answers.sent))
            self.answers.sent += 1
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))  # the pace of the load

    async def finished(self) -> Answers:
        await asyncio.gather(*self._calls)
        return self.answers

    async def _call(self, number: int) -> None:
        body = v2_body("x", np.array([[number]], np.float32))
        try:
            response = await self._client.post("/v2/models/slow/infer", content=body)
        except httpx.HTTPError as error:
            self.answers.failures.append(repr(error))
            return
        outputs: dict[str, list[Any]] = outputs_of(response.json()) if response.status_code == 200 else {}
        if outputs.get("y") == [2.0 * number]:
            self.answers.by.append((time.monotonic(), outputs["pid"][0]))
        else:
            self.answers.failures.append(f"{number}: {response.status_code} {response.text[:200]}")


async def during(load: Load, rate: float, what: str, claim, seconds: float) -> float:
    """Keep the load up until the claim holds; gives the seconds it took."""
    began, over = time.monotonic(), asyncio.Event()
    running = asyncio.create_task(load.run(rate, over))
    try:
        await asyncio.to_thread(wait_for, what, claim, seconds)
        return time.monotonic() - began
    finally:
        over.set()
        await running


def decisions(server: Server) -> str:
    """What the controller logged about the slow release's replicas."""
    lines = "".join(path.read_text() for path in server.session_logs("controller_*.log")).splitlines()
    return "\n".join(line for line in lines if "slow-v1" in line)


async def test_a_second_replica_serves_soon_after_the_need_and_leaves_when_idle(server, slow_release):
    limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
        load = Load(client)
        served_s = await during(load, NEEDED_RATE, "a second process answers", lambda: len(load.answers.pids) == 2, 45)
        assert served_s <= 20, decisions(server)
        seen = load.answers.sent
        await during(load, NEEDED_RATE, "500 more requests", lambda: load.answers.sent > seen + 500, 30)
        assert len(server.pids()["slow-v1"]) == 2
        await during(load, IDLE_RATE, "one replica", lambda: len(server.pids()["slow-v1"]) == 1, 60)
        seen = load.answers.sent
        await during(load, IDLE_RATE, "more requests", lambda: load.answers.sent > seen + 20, 30)
        answers = await load.finished()
    assert answers.failures == []
    assert len(answers.by) == answers.sent
    said = decisions(server)
    assert "slow-v1 needs 2 replica(s): each of 1 has " in said
    assert "slow-v1 needs 1 replica(s): each of 2 has " in said
    assert said.count("Upscaling") == said.count("Downscaling") == 1, said
    for path in server.session_logs("controller_*.log"):
        assert "no decision could be made" not in path.read_text()
        assert "There was an exception" not in path.read_text()
