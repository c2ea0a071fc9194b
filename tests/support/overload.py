"""A gateway's coalescer and a release's batcher together, on invented time: arrivals in, who was in time out."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serve_app.batching.batcher import Batcher
from serve_app.batching.coalescer import Bounds, Coalescer
from serve_app.batching.execution import Traits
from serve_app.batching.flights import Flights, call_seconds
from serve_app.batching.latency import LatencyModel
from serve_app.batching.policy import AdaptivePolicy
from serve_app.config.release import BatchingConfig
from serve_app.errors import CapacityError, DeadlineExceeded
from serve_app.types import Block, BlockReply, InferenceRequest
from support.simulation import Arrival, Outcome
from support.virtual_time import VirtualTimeLoop

NEVER_QUICK = Traits(waits=True)


@dataclass(frozen=True)
class Release:
    """What executing so many rows takes, how long a call's way is, and how far both are from what they usually are.

    Attributes:
        service_s: Seconds of an execution by its rows, usually.
        way_s: Seconds from the gateway to the release, and back.
        spread: Standard deviation of an execution's time, as a share of it.
        held_up: Share of the executions that take three times as long.
    """

    service_s: Callable[[int], float]
    max_rows: int = 32
    way_s: float = 0.001
    spread: float = 0.15
    held_up: float = 0.01
    seed: int = 3

    @property
    def capacity_per_s(self) -> float:
        """Rows a second in full batches, if nothing is held up."""
        return self.max_rows / self.service_s(self.max_rows)


@dataclass
class _Replica:
    release: Release
    loop: VirtualTimeLoop
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        release = self.release
        self._random = random.Random(release.seed)
        self.profile = {1 << power: release.service_s(1 << power) for power in range(release.max_rows.bit_length())}
        policy = AdaptivePolicy(BatchingConfig(max_rows=release.max_rows), LatencyModel(self.profile), self.loop.time)
        self._batcher = Batcher([self._predict], policy, clock=self.loop.time, traits=NEVER_QUICK)

    def _predict(self, inputs):
        rows = len(inputs["x"])
        self.outcome.batches.append(rows)
        slower = max(0.5, self._random.gauss(1, self.release.spread))
        if self._random.random() < self.release.held_up:
            slower *= 3
        self.loop.now += slower * self.release.service_s(rows)
        return {"y": inputs["x"]}

    async def answer(self, blocks: tuple[Block, ...]) -> tuple[BlockReply, ...]:
        await asyncio.sleep(self.release.way_s)
        replies = await asyncio.gather(*map(self._batcher.submit, blocks))
        await asyncio.sleep(self.release.way_s)
        return tuple(replies)

    def close(self) -> None:
        self._batcher.close()


async def serve(release: Release, bounds: Bounds, arrivals: Sequence[Arrival], loop: VirtualTimeLoop) -> Outcome:
    """A gateway with one replica answers the arrivals, each of a single row."""
    replica = _Replica(release, loop)
    flights = Flights[Any](1, LatencyModel(call_seconds(replica.profile, release.max_rows)), loop.time)
    coalescer, outcome = Coalescer(replica.answer, bounds=bounds, ragged=False, flights=flights), replica.outcome
    row = {"x": np.zeros((1, 2), np.float32)}

    async def ask(arrival: Arrival) -> None:
        try:
            await coalescer.submit(InferenceRequest("m", row), arrival.deadline - loop.now)
        except DeadlineExceeded:
            outcome.late += 1
            return
        except CapacityError:
            outcome.refused += 1
            return
        outcome.in_time += loop.now <= arrival.deadline
        outcome.late += loop.now > arrival.deadline

    asked: list[asyncio.Task[None]] = []
    for arrival in arrivals:
        await asyncio.sleep(arrival.submitted - loop.now)
        asked.append(loop.create_task(ask(arrival)))
    await asyncio.gather(*asked)
    while not coalescer.is_idle:  # answers are on their way that nobody waits for any more
        await asyncio.wait([task for task, _ in flights])
    replica.close()
    return outcome
