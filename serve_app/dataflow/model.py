"""One model version in memory: opened, verified, loaded, warm and checked before anyone may call it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from pydantic import ValidationError

from serve_app.batching.executing import Executing, executing
from serve_app.config.graph import GraphConfig, RemoteNode
from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, ReleaseArgs, merged
from serve_app.dataflow.checked_runtime import CheckedRuntime, CheckedStreamingRuntime
from serve_app.dataflow.checks import check_answer, check_ragged, in_batches
from serve_app.dataflow.node_times import node_times
from serve_app.dataflow.own_nodes import node_args, python_version, unless_faulty
from serve_app.dataflow.profile import Clock, Profile
from serve_app.dataflow.rehearsal import Rehearsal
from serve_app.errors import AcceleratorMissing, ConfigError, ServeAppError
from serve_app.graph.by_length import ByLength
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.graph.remote import RemoteModel
from serve_app.graph.runtime import GraphRuntime, signature_of, unfit_for_graphs
from serve_app.repository.store import ModelVersion, open_version
from serve_app.runtimes.base import Runtime, RuntimeSource, StreamingRuntime
from serve_app.runtimes.device import choose_device
from serve_app.runtimes.fixed_rows import check_fixed_rows
from serve_app.runtimes.raised import short_reason
from serve_app.runtimes.registry import load_runtime
from serve_app.types import ReleaseInfo, Tensors, rows_of

Predict = Callable[[Tensors], Tensors]
"""As `CheckedRuntime.predict`."""

Stream = Callable[[Tensors], Generator[Tensors, None, None]]
"""As `CheckedStreamingRuntime.stream`."""

NOWHERE: Mapping[str, NodeModel] = MappingProxyType({})
NO_ARGUMENTS: Mapping[str, str | int | float | bool] = MappingProxyType({})
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
        mask_dtype: Of the mask that the server makes for ragged inputs; None where there is none.
        streams: Of a decoupled model, one for each instance and in the thread of its `predict`; else none.
        waits: Whether an execution may wait for other processes.
        close: Ends connections to other servers once nothing is executed any more; does not wait for that.
    """

    info: ReleaseInfo
    predicts: tuple[Predict, ...]
    batching: BatchingConfig
    profile: Profile
    threads: int
    fixed_rows: int | None = None
    mask_dtype: np.dtype[np.generic] | None = None
    streams: tuple[Stream, ...] = ()
    waits: bool = False
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
) -> LoadedModel:
    """Open, load, warm up, check and measure the model of a release.

    Args:
        args: What to load, and how.
        cpus: CPUs that belong to this replica; may be a part of one.
        elsewhere: Models of a graph's nodes that run on other replicas, by node name. A node with `placement: own`
            that is not there runs in this process.
        clock: Seconds from any origin, monotonic.

    Raises:
        ConfigError: Every way in which the release cannot take traffic; the message names the release or the file.
            Among them `ManifestError`, `ArtifactMismatch`, `UntrustedArtifact`, `AcceleratorMissing`, `CheckFailed`.
    """
    parts = _parts(args, cpus, elsewhere, clock)
    try:
        return _rehearsed(args, parts, clock)
    except BaseException:
        parts.close()
        raise


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a release is made of, loaded but not checked; a graph's manifest is its declared signature."""

    manifest: Manifest
    runtimes: tuple[Runtime, ...]
    threads: int
    waits: bool = False
    samples: Mapping[str, bytes] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def _rehearsed(args: ReleaseArgs, parts: _Parts, clock: Clock) -> LoadedModel:
    """A release that has passed its warm-up and its checks, and whose executions were measured."""
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
    if parts.waits:
        predicts *= LANES  # the plan keeps apart what must not run twice at once
    rehearsal = Rehearsal(manifest, batching, args.release, clock, parts.samples)
    warmup_s = [rehearsal.check(predict) for predict in dict.fromkeys(predicts)]
    with executing(Executing(clock=clock)) as measured:
        profile = rehearsal.measure(predicts[0], warmup_s[0], info.device)
    ms = {rows: round(1000 * time_s.median_s, 4) for rows, time_s in profile.items()}
    logger.info("%s runs on %s with format %s", args.release, info.device, info.platform)
    return LoadedModel(
        info=replace(info, profile=ms, nodes=node_times(measured.visits)),
        predicts=predicts,
        batching=batching,
        profile=profile,
        threads=parts.threads,
        fixed_rows=runtimes[0].fixed_rows,
        mask_dtype=_mask_dtype(manifest, batching),
        streams=tuple(streams),
        waits=parts.waits,
        close=parts.close,
    )


def _parts(args: ReleaseArgs, cpus: float, elsewhere: Mapping[str, NodeModel], clock: Clock) -> _Parts:
    if args.graph is not None:
        return _graph_parts(args, args.graph, cpus, elsewhere, clock)
    version = open_version(args.source)
    source, runtimes = _load(args, version, cpus, NO_ARGUMENTS)
    return _Parts(version.manifest, runtimes, source.threads)


def _graph_parts(
    args: ReleaseArgs, graph: GraphConfig, cpus: float, elsewhere: Mapping[str, NodeModel], clock: Clock
) -> _Parts:
    """Every node's model that is not elsewhere, warm and checked by its own golden rows, in one runtime."""
    remotes = {node.name: RemoteModel(node, args.release) for node in graph.remotes}
    models = {**elsewhere, **{node.name: _remote(node, remotes[node.name], args.release) for node in graph.remotes}}
    local = list[_LocalNode]()
    for _, node in graph.models:
        if node.name not in elsewhere:
            local.append(_local(node_args(args, node), open_version(node.source), cpus, clock))
            models[node.name] = replace(local[-1].model, version=node.source)
    plan = unless_faulty(plan_graph(graph, models), args.release)
    for python in graph.pythons:
        if python.name not in elsewhere:
            own = node_args(args, python).model_copy(update={"python_class": python.python_class})
            local.append(_local(own, python_version(python, plan), cpus, clock, python.arguments))
            models[python.name] = replace(local[-1].model, version=python.python_class)
    if graph.pythons:
        plan = plan_graph(graph, models)
    try:
        plan.load()
    except ConfigError as error:
        raise ConfigError(f"{args.release}: graph: {error}") from error
    device = next((model.device for model in models.values() if model.device != "cpu"), "cpu")
    limits, threads = [node.limits for node in local], max((node.threads for node in local), default=1)
    manifest = signature_of(graph, plan, limits)
    runtime = GraphRuntime(plan, device, tuple(remotes.values()))
    runtime.check()
    return _Parts(manifest, (runtime,), threads, plan.waits, plan.samples, runtime.close)


@dataclass(frozen=True, slots=True)
class _LocalNode:
    """A node in this process.

    Attributes:
        limits: What it allows the whole graph's batches.
        threads: CPU threads of one execution.
    """

    model: NodeModel
    limits: BatchingConfig
    threads: int


def _local(
    args: ReleaseArgs,
    version: ModelVersion,
    cpus: float,
    clock: Clock,
    arguments: Mapping[str, str | int | float | bool] = NO_ARGUMENTS,
) -> _LocalNode:
    """A node's model, loaded, warm and checked.

    Raises:
        ConfigError: It cannot be loaded, or cannot be a node.
    """
    manifest = version.manifest
    source, (runtime, *_) = _load(args, version, cpus, arguments)
    if reason := unfit_for_graphs(manifest):
        raise ConfigError(f"{args.release}: {reason}")
    is_cut = bool(manifest.batching.ragged or manifest.batching.allowed_rows or runtime.fixed_rows)
    batching = _batching(args.model_copy(update={"batching": None}) if is_cut else args, manifest)
    check_fixed_rows(runtime.fixed_rows, batching, args.release)
    inputs, outputs = (tuple(one.spec for one in tensors) for tensors in (manifest.inputs, manifest.outputs))
    predict: Predict = CheckedRuntime(runtime, outputs, args.release).predict
    profile = Rehearsal(manifest, batching, args.release, clock).check(predict)
    limits = manifest.batching
    if is_cut:  # what comes in any number of rows is executed in the sizes of the manifest, whatever the release's
        limits = limits.model_copy(update={"max_rows": BatchingConfig().max_rows})
        predict = in_batches(predict, batching)
    if batching.ragged is not None:
        predict = ByLength(predict, batching.ragged, outputs, args.release).predict
    model = NodeModel(
        inputs, outputs, predict, profile=profile, device=runtime.device, is_ragged=batching.ragged is not None
    )
    return _LocalNode(model, limits, source.threads)


def _remote(node: RemoteNode, remote: RemoteModel, release: str) -> NodeModel:
    """A remote node, whose answers are checked against what the graph declares."""
    outputs = tuple(config.spec for config in node.outputs)

    async def call(inputs: Tensors, left_s: float | None) -> Called:
        """Raises WrongAnswer too."""
        called = await remote.call(inputs, left_s)
        name = f"{release} node {node.name}"
        return Called(check_answer(called.outputs, outputs, rows_of(inputs), name), called.timings)

    return NodeModel((), outputs, call=call, version=f"{node.url}/{node.model}", device="remote")


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


def _load(
    args: ReleaseArgs, version: ModelVersion, cpus: float, arguments: Mapping[str, str | int | float | bool]
) -> tuple[RuntimeSource, tuple[Runtime, ...]]:
    """Every instance of the model, and what they were made of."""
    source = RuntimeSource(
        manifest=version.manifest,
        directory=version.directory,
        config=args.runtime,
        python_class=args.python_class,
        trusted_sha256=args.trusted_sha256,
        cpus=cpus,
        arguments=arguments,
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
        is_ragged=batching.ragged is not None,
    )
