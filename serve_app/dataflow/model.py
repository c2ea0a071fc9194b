"""One model version in memory: opened, verified, loaded, warm and checked before anyone may call it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from pydantic import ValidationError

from serve_app.batching.executing import Executing, executing
from serve_app.batching.job import Empty
from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, ReleaseArgs
from serve_app.dataflow.checked_runtime import CheckedRuntime, CheckedStreamingRuntime
from serve_app.dataflow.graph_parts import graph_parts
from serve_app.dataflow.loading import Parts, batching_of, load_instances, suited
from serve_app.dataflow.node_times import node_times
from serve_app.dataflow.profile import Clock, Profile
from serve_app.dataflow.rehearsal import Rehearsal
from serve_app.errors import ConfigError
from serve_app.graph.plan import NodeModel
from serve_app.repository.store import open_version
from serve_app.runtimes.base import StagingRuntime, StreamingRuntime
from serve_app.runtimes.fixed_rows import check_fixed_rows
from serve_app.types import ReleaseInfo, Tensors

Predict = Callable[[Tensors], Tensors]
"""As `CheckedRuntime.predict`."""

Stream = Callable[[Tensors], Generator[Tensors, None, None]]
"""As `CheckedStreamingRuntime.stream`."""

NOWHERE: Mapping[str, NodeModel] = MappingProxyType({})
LANES = 4  # batches of a waiting graph that are under way at once; waiting takes no CPU

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A release's model, ready for traffic.

    Attributes:
        info: What the release says about itself.
        predicts: One for each instance, to be called in a thread of its own, one call at a time. What a library has
            once a process the instances share: the number of threads in PyTorch and in BLAS, the GPU's memory.
        batching: The manifest's limits with what the release sets itself.
        profile: How long an execution takes by its rows, from the smallest size to the largest.
        threads: CPU threads of one execution.
        fixed_rows: Rows that every execution must have; None takes any number.
        has_own_sizes: Whether the sizes allowed are those that suit it, and nobody else's.
        mask_dtype: Of the mask that the server makes for ragged inputs; None where there is none.
        streams: Of a decoupled model, one for each instance and in the thread of its `predict`; else none.
        waits: Whether an execution may wait for other processes.
        empty: Makes arrays that the device reads soonest; None where any will do.
        close: Ends connections to other servers once nothing is executed any more; does not wait for that.
    """

    info: ReleaseInfo
    predicts: tuple[Predict, ...]
    batching: BatchingConfig
    profile: Profile
    threads: int
    fixed_rows: int | None = None
    has_own_sizes: bool = False
    mask_dtype: np.dtype[np.generic] | None = None
    streams: tuple[Stream, ...] = ()
    waits: bool = False
    empty: Empty | None = None
    close: Callable[[], None] = lambda: None

    @property
    def predict(self) -> Predict:
        """The first instance's."""
        return self.predicts[0]


def load_model(
    args: ReleaseArgs,
    cpus: float = 1.0,
    elsewhere: Mapping[str, NodeModel] = NOWHERE,
    clock: Clock = time.perf_counter,
    loaded: Callable[[], None] = lambda: None,
) -> LoadedModel:
    """Open, load, warm up, check and measure the model of a release.

    Args:
        args: What to load, and how.
        cpus: CPUs that belong to this replica; may be a part of one.
        elsewhere: Models of a graph's nodes that run on other replicas, by node name. A node with `placement: own`
            that is not there runs in this process.
        clock: Seconds from any origin, monotonic.
        loaded: Called before the warm-up, whose executions are measured.

    Raises:
        ConfigError: Every way in which the release cannot take traffic; the message names the release or the file.
            Among them `ManifestError`, `ArtifactMismatch`, `UntrustedArtifact`, `AcceleratorMissing`, `CheckFailed`.
    """
    parts = _parts(args, cpus, elsewhere, clock)
    try:
        loaded()
        return _rehearsed(args, parts, clock)
    except BaseException:
        parts.close()
        raise


def _rehearsed(args: ReleaseArgs, parts: Parts, clock: Clock) -> LoadedModel:
    """A release that has passed its warm-up and its checks, and whose executions were measured."""
    manifest, runtimes = parts.manifest, parts.runtimes
    asked = batching_of(args, manifest)
    batching = suited(asked, manifest, runtimes)
    check_fixed_rows(runtimes[0].fixed_rows, batching, args.release)
    info = _info(args, manifest, batching, runtimes[0].device)
    predicts = tuple(CheckedRuntime(runtime, info.outputs, info.release).predict for runtime in runtimes)
    streams = (
        CheckedStreamingRuntime(runtime, info.outputs, info.release).stream
        for runtime in runtimes
        if manifest.decoupled and isinstance(runtime, StreamingRuntime)
    )
    if parts.waits:
        predicts *= LANES  # the plan keeps apart what must not run twice at once
    rehearsal = Rehearsal(manifest, batching, args.release, clock, parts.samples)
    warmup_s = [rehearsal.check(predict) for predict in dict.fromkeys(predicts)]
    with executing(Executing(clock=clock)) as measured:
        profile = rehearsal.measure(predicts[0], warmup_s[0], info.device)
    ms = {rows: round(1000 * time_s.median_s, 4) for rows, time_s in profile.items()}
    logger.info("%s runs on %s with format %s", args.release, info.device, info.platform)
    return LoadedModel(
        info=replace(info, profile=ms, nodes=node_times(measured.visits), instances=len(predicts)),
        predicts=predicts,
        batching=batching,
        profile=profile,
        threads=parts.threads,
        fixed_rows=runtimes[0].fixed_rows,
        has_own_sizes=batching != asked,
        mask_dtype=_mask_dtype(manifest, batching),
        streams=tuple(streams),
        waits=parts.waits,
        empty=runtimes[0].empty if isinstance(runtimes[0], StagingRuntime) else None,
        close=parts.close,
    )


def _parts(args: ReleaseArgs, cpus: float, elsewhere: Mapping[str, NodeModel], clock: Clock) -> Parts:
    if args.graph is not None:
        return graph_parts(args, args.graph, cpus, elsewhere, clock)
    version = open_version(args.source)
    source, runtimes = load_instances(args, version, cpus)
    return Parts(version.manifest, runtimes, source.threads)


def release_args(**fields: object) -> ReleaseArgs:
    """The `args` of a release from values that nobody has checked yet.

    Raises:
        ConfigError: They are none; the message names each wrong field.
    """
    try:
        return ReleaseArgs.model_validate(fields)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))} {fault['input']!r:.140}: {fault['msg']}" for fault in error.errors()
        ]
        raise ConfigError("; ".join(faults)) from None


def _mask_dtype(manifest: Manifest, batching: BatchingConfig) -> np.dtype[np.generic] | None:
    return next((config.datatype.dtype for config in manifest.inputs if config.name == _mask_of(batching)), None)


def _mask_of(batching: BatchingConfig) -> str | None:
    return batching.ragged.mask if batching.ragged else None


def _info(args: ReleaseArgs, manifest: Manifest, batching: BatchingConfig, device: str) -> ReleaseInfo:
    return ReleaseInfo(
        model=args.model,
        version=args.version,
        platform="graph" if args.graph else manifest.format,
        device=device,
        inputs=tuple(config.spec for config in manifest.inputs if config.name != _mask_of(batching)),
        outputs=tuple(config.spec for config in manifest.outputs),
        prediction=manifest.predicted_output,
        max_rows=batching.max_rows,
        max_queue_rows=batching.max_queue_rows,
        slo_ms=args.slo_ms,
        metrics=dict(manifest.metrics),
        max_batch_bytes=batching.max_batch_bytes,
        allowed_rows=batching.allowed_rows,
        decoupled=manifest.decoupled,
        is_ragged=batching.ragged is not None,
        idempotent=manifest.idempotent,
    )
