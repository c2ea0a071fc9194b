"""Rows per batch over time, from a server's own statistics (Triton's extension of V2), which are always fresh."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from load_tests.target import Target

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Executed:
    """What all replicas have executed so far."""

    rows: int
    batches: int


@dataclass(frozen=True, slots=True)
class BatchSample:
    """A stretch of time with batches in it.

    Attributes:
        ends_s: Its end, in seconds since the load began.
        rows_per_batch: Mean of the batches within.
        rows_per_s: Executed within, over all replicas.
    """

    ends_s: float
    rows_per_batch: float
    rows_per_s: float


def read_executed(target: Target) -> Executed | None:
    """What all versions of a target's model have executed; None where its server does not tell."""
    parts = urlsplit(target.url)
    try:
        answer = httpx.get(f"{parts.scheme}://{parts.netloc}/v2/models/{target.workload}/stats", timeout=_TIMEOUT_S)
        versions = answer.raise_for_status().json()["model_stats"]
        return Executed(
            sum(version["inference_count"] for version in versions),
            sum(version["execution_count"] for version in versions),
        )
    except (httpx.HTTPError, ValueError, LookupError, TypeError):
        return None


def sampled(
    load: Callable[[], object], read: Callable[[], Executed | None], interval_s: float = 1.0
) -> tuple[BatchSample, ...]:
    """Run a load, which blocks, and read in another thread meanwhile."""
    readings: list[tuple[float, Executed]] = []
    is_over, started = threading.Event(), time.perf_counter()

    def watch() -> None:
        """Read until the load is over, and once more."""
        while True:
            is_last = is_over.is_set()
            if executed := read():
                readings.append((time.perf_counter() - started, executed))
            if is_last:
                return
            is_over.wait(interval_s)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        load()
    finally:
        is_over.set()
        watcher.join()
    return samples_of(readings)


def samples_of(readings: list[tuple[float, Executed]]) -> tuple[BatchSample, ...]:
    """The means between readings that differ; each reading with its time in seconds."""
    samples = []
    last_s, last = readings[0] if readings else (0.0, Executed(0, 0))
    for at_s, executed in readings[1:]:
        batches, rows = executed.batches - last.batches, executed.rows - last.rows
        if batches > 0:
            samples.append(BatchSample(at_s, rows / batches, rows / (at_s - last_s)))
            last_s, last = at_s, executed
    return tuple(samples)
