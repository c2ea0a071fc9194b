"""One model version in memory: opened, verified, loaded, warm and checked before anyone may call it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import numpy as np
from pydantic import ValidationError

from serve_app.config.graph import GraphConfig
from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, ReleaseArgs, merged
from serve_app.dataflow.checked_runtime import CheckedRuntime, CheckedStreamingRuntime, short_reason
from serve_app.dataflow.checks import check_ragged
from serve_app.dataflow.profile import Clock, Profile
from serve_app.dataflow.rehearsal import Rehearsal
from serve_app.errors import AcceleratorMissing, ConfigError, ServeAppError
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.graph.runtime import GraphRuntime, signature_of, unfit_for_graphs
from serve_app.repository.store import ModelVersion, open_version
from serve_app.runtimes.base import Runtime, RuntimeSource, StreamingRuntime
from serve_app.runtimes.device import choose_device
from serve_app.runtimes.fixed_rows import check_fixed_rows
from serve_app.runtimes.registry import load_runtime
from serve_app.types import ReleaseInfo, Tensors

Predict = Callable[[Tensors], Tensors]
"""As `CheckedRuntime.predict`."""

Stream = Callable[[Tensors], Generator[Tensors, None, None]]
"""As `CheckedStreamingRuntime.stream`."""

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
        mask_dtype: Of the mask that the server makes for ragged inputs; None where there is none.
        streams: Of a decoupled model, one for each instance and in the thread of its `predict`; else none.
    """

    info: ReleaseInfo
    predicts: tuple[Predict, ...]
    batching: BatchingConfig
    profile: Profile
    threads: int
    fixed_rows: int | None = None
    mask_dtype: np.dtype[np.generic] | None = None
    streams: tuple[Stream, ...] = ()

    @property
    def predict(self) -> Predict:
        """The first instance's."""
        return self.predicts[0]


def load_model(args: ReleaseArgs, cpus: float = 1.0, clock: Clock = time.perf_counter) -> LoadedModel:
    """Open, load, warm up, check and measure the model of a release.

    Args:
        args: What to load, and how.
        cpus: CPUs that belong to this replica; may be a part of one.
        clock: Seconds from any origin, monotonic.

    Raises:
        ConfigError: Every way in which the release cannot take traffic; the message names the release or the file.
            Among them `ManifestError`, `ArtifactMismatch`, `UntrustedArtifact`, `AcceleratorMissing`, `CheckFailed`.
    """
    parts = _parts(args, cpus, clock)
    manifest, runtimes = parts.manifest, parts.runtimes
    batching = _batching(args, manifest)
    check_fixed_rows(runtimes[0].fixed_rows, batching, args.release)
    info = _info(args, manifest, batching, runtimes[0].device)
    predicts = tuple(CheckedRuntime(runtime, info.outputs, info.release).predict for runtime in runtimes)
    streams = (
        CheckedStreamingRuntime(runtime, info.outputs, info.release).stream
        for runtime in runtimes
        if manifest.decoupled and isinstance(runtime, StreamingRuntime)
    )
    rehearsal = Rehearsal(manifest, batching, args.release, clock)
    warmup_s = [rehearsal.check(predict) for predict in predicts]
    profile = rehearsal.measure(predicts[0], warmup_s[0], info.device)
    logger.info("%s runs on %s with format %s", args.release, info.device, info.platform)
    return LoadedModel(
        info=replace(info, profile={rows: round(1000 * time_s.median_s, 4) for rows, time_s in profile.items()}),
        predicts=predicts,
        batching=batching,
        profile=profile,
        threads=parts.threads,
        fixed_rows=runtimes[0].fixed_rows,
        mask_dtype=_mask_dtype(manifest, batching),
        streams=tuple(streams),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a release is made of, loaded but not checked; a graph's manifest is its declared signature."""

    manifest: Manifest
    runtimes: tuple[Runtime, ...]
    threads: int


def _parts(args: ReleaseArgs, cpus: float, clock: Clock) -> _Parts:
    if args.graph is not None:
        return _graph_parts(args, args.graph, cpus, clock)
    version = open_version(args.source)
    source, runtimes = _load(args, version, cpus)
    return _Parts(version.manifest, runtimes, source.threads)


def _graph_parts(args: ReleaseArgs, graph: GraphConfig, cpus: float, clock: Clock) -> _Parts:
    """Every node's model, warm and checked by its own golden rows, in one runtime."""
    models, limits, devices, threads = dict[str, NodeModel](), list[BatchingConfig](), list[str](), 1
    for _, node in graph.models:
        own = args.model_copy(
            update={
                "model": f"{args.model}.{node.name}",
                "source": node.source,
                "graph": None,
                "python_class": node.python_class,
            }
        )
        parts = _parts(own, cpus, clock)
        batching = _batching(own, parts.manifest)
        if reason := unfit_for_graphs(parts.manifest, batching, parts.runtimes[0].fixed_rows):
            raise ConfigError(f"{args.release}: node {node.name!r}: {reason}")
        outputs = tuple(config.spec for config in parts.manifest.outputs)
        predict = CheckedRuntime(parts.runtimes[0], outputs, own.release).predict
        Rehearsal(parts.manifest, batching, own.release, clock).check(predict)
        models[node.name] = NodeModel(tuple(config.spec for config in parts.manifest.inputs), outputs, predict)
        limits.append(parts.manifest.batching)
        devices.append(parts.runtimes[0].device)
        threads = max(threads, parts.threads)
    plan = plan_graph(graph, models)
    if plan.findings:
        faults = (f"{'.'.join(map(str, path))}: {message}" for path, message in plan.findings)
        raise ConfigError(f"{args.release}: graph: {'; '.join(faults)}")
    runtime = GraphRuntime(plan, next((device for device in devices if device != "cpu"), "cpu"))
    return _Parts(signature_of(graph, plan, limits), (runtime,), threads)


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


def _load(args: ReleaseArgs, version: ModelVersion, cpus: float) -> tuple[RuntimeSource, tuple[Runtime, ...]]:
    """Every instance of the model, and what they were made of."""
    source = RuntimeSource(
        manifest=version.manifest,
        directory=version.directory,
        config=args.runtime,
        python_class=args.python_class,
        trusted_sha256=args.trusted_sha256,
        cpus=cpus,
    )
    try:
        device = choose_device(args.accelerator, version.manifest.format)
        try:
            return _load_all(args, replace(source, device=device))
        except AcceleratorMissing as error:
            if args.accelerator != "auto":
                raise
            logger.warning("%s: a GPU is there but %s cannot use it; running on the CPU", args.release, error.subject)
            return _load_all(args, replace(source, device="cpu"))
    except AcceleratorMissing:
        raise AcceleratorMissing(args.release) from None


def _load_all(args: ReleaseArgs, source: RuntimeSource) -> tuple[RuntimeSource, tuple[Runtime, ...]]:
    try:
        return source, tuple(load_runtime(source) for _ in range(args.runtime.instances))
    except ServeAppError:
        raise
    except Exception as error:  # foreign code: an operator's class or a library that met an artifact it cannot load
        raise ConfigError(f"{args.release} cannot be loaded: {short_reason(error)}") from error


def _batching(args: ReleaseArgs, manifest: Manifest) -> BatchingConfig:
    """The manifest's batching with every field that the release sets itself."""
    try:
        batching = merged(args.batching, manifest.batching)
        if batching.ragged is not None:
            check_ragged(batching.ragged, manifest.inputs)
        return batching
    except ConfigError as error:
        raise ConfigError(f"{args.release}: {error}") from None


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
    )
