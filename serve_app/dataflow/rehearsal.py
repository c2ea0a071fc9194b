"""What a version does before it may take traffic: warm-up, golden rows, and a sweep that measures its executions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig
from serve_app.dataflow.checks import check_golden, in_batches, warmup_batches
from serve_app.dataflow.profile import Clock, ExecutionTime, seeded, single, sweep, sweep_sizes
from serve_app.errors import CheckFailed, ModelFailure, RequestError
from serve_app.types import Array, Tensors

Predict = Callable[[Tensors], Tensors]

NONE: Mapping[str, bytes] = MappingProxyType({})


class Rehearsal:
    """Executes one version's instances as traffic will.

    Args:
        manifest: The version's golden rows, warm-up sizes and profile.
        batching: The sizes that traffic will have.
        release: Name for errors, `{model}-{version}`.
        clock: Seconds from any origin, monotonic.
        samples: Elements for inputs of BYTES, where an empty one would be refused and there is no golden row.
    """

    def __init__(
        self,
        manifest: Manifest,
        batching: BatchingConfig,
        release: str,
        clock: Clock,
        samples: Mapping[str, bytes] = NONE,
    ) -> None:
        self._manifest, self._batching, self._release, self._clock = manifest, batching, release, clock
        self._samples = samples

    def check(self, predict: Predict) -> dict[int, float]:
        """Warm one instance up and check its golden answers.

        Returns:
            Seconds of the one execution of each warm-up size.

        Raises:
            CheckFailed: An execution failed or a golden answer is not the expected one.
        """
        taken_s = {rows: self._timed(predict, rows) for rows in self._warmup_sizes()}
        try:
            check_golden(self._manifest, in_batches(predict, self._batching), self._release)
        except (ModelFailure, RequestError) as error:
            raise CheckFailed(f"{self._release}: golden", str(error)) from error
        return taken_s

    def measure(self, predict: Predict, warmup_s: dict[int, float], device: str) -> dict[int, ExecutionTime]:
        """Measure a warm instance over the sizes that traffic may have, and fill in what there was no time for.

        Args:
            predict: The instance.
            warmup_s: Seconds of one execution by rows, from `check`: for sizes that the sweep leaves out.
            device: Where it runs; the manifest's profile of another device says nothing.

        Raises:
            CheckFailed: An execution failed.
        """
        allowed = self._batching.allowed_rows
        sizes = allowed or sweep_sizes(self._largest)
        swept = sweep(lambda rows: self._timed(predict, rows), sizes, self._clock)
        measured = {**{rows: single(seconds) for rows, seconds in warmup_s.items()}, **swept}
        known = self._manifest.profile
        if known is None or known.device != device:
            return dict(sorted(measured.items()))
        fitting = {r: ms / 1000 for r, ms in known.ms_by_rows.items() if r <= self._largest and r in (allowed or (r,))}
        return seeded(measured, fitting)

    @cached_property
    def _largest(self) -> int:
        """Most rows of an execution; bytes of free axes are not known before there are requests."""
        row_bytes = sum(config.spec.row_bytes for config in (*self._manifest.inputs, *self._manifest.outputs))
        return max(1, min(self._batching.max_rows, self._batching.max_batch_bytes // row_bytes))

    def _warmup_sizes(self) -> list[int]:
        """All sizes allowed, for which graphs are captured and compiled; else the sizes named and the largest."""
        return sorted(self._batching.allowed_rows or {*self._manifest.warmup.rows, self._largest})

    @cached_property
    def _batches(self) -> Callable[[int], dict[str, Array]]:
        return warmup_batches(self._manifest, self._batching.ragged, self._samples)

    def _timed(self, predict: Predict, rows: int) -> float:
        """Execute a batch of so many rows, and give back the seconds that took."""
        try:
            inputs = self._batches(rows)
            begin = self._clock()
            predict(inputs)
            return self._clock() - begin
        except (ModelFailure, RequestError, ValueError, MemoryError) as error:
            reason = error.reason if isinstance(error, ModelFailure) else str(error) or type(error).__name__
            raise CheckFailed(f"{self._release}: warm-up with {rows} rows", reason) from error
