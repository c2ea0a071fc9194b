"""A soak: many clients send the mix for as long as asked, memory is sampled, and at the end there is a verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from load_tests.soak.client import Client, Ledger
from load_tests.soak.memory import MAX_GROWTH, MemorySample, growth_of
from load_tests.soak.mix import Mix
from load_tests.soak.oracle import Oracle

MAX_REFUSED_SHARE = 0.01
_SAMPLES = 60
_LONGEST_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """How long and how hard.

    Attributes:
        clients: That send at a time.
        seed: Of the mix.
    """

    seconds: float
    clients: int = 16
    seed: int = 1

    @property
    def sample_interval_s(self) -> float:
        """Time between two readings of the memory."""
        return min(_LONGEST_INTERVAL_S, self.seconds / _SAMPLES)


@dataclass(slots=True)
class SoakResult:
    """What a soak saw.

    Attributes:
        memory: Empty if the server's processes are not known.
    """

    plan: SoakPlan
    ledger: Ledger
    memory: list[MemorySample] = field(default_factory=list)

    @property
    def violations(self) -> list[str]:
        """Everything that must not be, as sentences; empty if the soak passed."""
        found = [f"{what}: {count:,} times" for what, count in self.ledger.violations.items()]
        if (share := self.ledger.refused_share()) > MAX_REFUSED_SHARE:
            found.append(f"{share:.1%} of the requests in no hurry were refused, the limit is {MAX_REFUSED_SHARE:.0%}")
        growth = growth_of(self.memory)
        if growth and growth.last > growth.first * (1 + MAX_GROWTH):
            found.append(f"memory grew by {growth.share:.1%}, the limit is {MAX_GROWTH:.0%}")
        return found


async def soak(
    base: str,
    oracle: Oracle,
    plan: SoakPlan,
    read_memory: Callable[[], Mapping[str, int]] | None,
    on_progress: Callable[[float], None],
) -> SoakResult:
    """Put the mix on a server.

    Args:
        base: URL of the server.
        oracle: Knows the right answers.
        plan: How long and how hard.
        read_memory: PSS in bytes of each server process; called in a thread. None if they are not known.
        on_progress: Told the seconds that have passed, now and then.
    """
    started = time.perf_counter()
    result = SoakResult(plan, Ledger())
    until = started + plan.seconds
    watching = asyncio.create_task(_watch(result, started, read_memory, on_progress))
    clients = [Client(base, oracle, result.ledger) for _ in range(plan.clients)]
    try:
        await asyncio.gather(
            *(client.run(Mix(oracle, plan.seed + number), until) for number, client in enumerate(clients))
        )
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    last = Client(base, oracle, result.ledger)
    await last.send(Mix(oracle, plan.seed).ordinary())  # nothing that was abandoned may be in a lone request's way
    await last.close()
    on_progress(plan.seconds)
    return result


async def _watch(
    result: SoakResult,
    started: float,
    read_memory: Callable[[], Mapping[str, int]] | None,
    on_progress: Callable[[float], None],
) -> None:
    while True:
        on_progress(time.perf_counter() - started)
        if read_memory is not None:
            sizes = await asyncio.to_thread(read_memory)
            result.memory.append(MemorySample(time.perf_counter() - started, sizes))
        await asyncio.sleep(result.plan.sample_interval_s)
