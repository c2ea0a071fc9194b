"""Rows per batch over time, from a server's own metrics.

Ray's processes report theirs every `RAY_metrics_report_interval_ms`, each at times of its own; a sample therefore
covers the time since the last change.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

_SAMPLE = re.compile(r"^(?:ray_)?serve_app_batch_rows_(sum|count)(?:\{.*\})? (\S+)$", re.MULTILINE)
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Executed:
    """What all replicas have executed so far."""

    rows: float
    batches: float


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


def metrics_url(url: str) -> str:
    """Where the server that answers at `url` has its metrics."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/metrics"


def parse_executed(exposition: str) -> Executed | None:
    """The totals over all models and replicas, or None where the text does not have them."""
    totals = {"sum": 0.0, "count": 0.0}
    found = _SAMPLE.findall(exposition)
    for kind, value in found:
        totals[kind] += float(value)
    return Executed(totals["sum"], totals["count"]) if found else None


def read_executed(url: str) -> Executed | None:
    """What a server has executed; None where it does not tell."""
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_S)
    except httpx.HTTPError:
        return None
    return parse_executed(answer.text) if answer.status_code == httpx.codes.OK else None


def settled(read: Callable[[], Executed | None], interval_s: float = 1.0, tries: int = 15) -> bool:
    """Wait until two readings are the same: what was executed before has been reported. False if that never was."""
    last = read()
    for _ in range(tries):
        time.sleep(interval_s)  # a poll
        if (executed := read()) == last:
            return True
        last = executed
    return False


def sampled(
    load: Callable[[], object], read: Callable[[], Executed | None], interval_s: float = 1.0
) -> tuple[BatchSample, ...]:
    """Run a load, which blocks, and read the metrics in another thread meanwhile."""
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
