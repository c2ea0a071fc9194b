"""A graph's nodes in memory: the models of this process, connections to others, and the plan that executes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from serve_app.config.graph import GraphConfig, RemoteNode
from serve_app.config.manifest import TORCH_FORMATS, Format
from serve_app.config.release import BatchingConfig, ReleaseArgs, RuntimeConfig
from serve_app.config.useless_settings import useless_settings
from serve_app.dataflow.checked_runtime import CheckedRuntime
from serve_app.dataflow.checks import check_answer, in_batches
from serve_app.dataflow.loading import NO_ARGUMENTS, Arguments, Parts, batching_of, load_instances, suited
from serve_app.dataflow.own_nodes import node_args, python_args, python_version, unless_faulty
from serve_app.dataflow.profile import Clock
from serve_app.dataflow.rehearsal import Rehearsal
from serve_app.errors import ConfigError
from serve_app.graph.by_length import ByLength
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.graph.remote import RemoteModel
from serve_app.graph.runtime import GraphRuntime, signature_of, unfit_for_graphs
from serve_app.repository.store import ModelVersion, open_version
from serve_app.runtimes.fixed_rows import check_fixed_rows
from serve_app.types import Tensors, rows_of

Predict = Callable[[Tensors], Tensors]


def graph_parts(
    args: ReleaseArgs, graph: GraphConfig, cpus: float, elsewhere: Mapping[str, NodeModel], clock: Clock
) -> Parts:
    """Every node's model that is not elsewhere, warm and checked by its own golden rows, in one runtime.

    Args:
        args: Of the graph's release.
        graph: What it declares.
        cpus: CPUs that belong to this replica.
        elsewhere: Models of nodes that run on other replicas, by node name.
        clock: Seconds from any origin, monotonic.

    Raises:
        ConfigError: A node cannot be loaded, or the graph cannot be planned with what was loaded.
    """
    remotes = {node.name: RemoteModel(node, args.release) for node in graph.remotes}
    models = {**elsewhere, **{node.name: _remote(node, remotes[node.name], args.release) for node in graph.remotes}}
    local = list[_LocalNode]()
    opened = [(node, open_version(node.source)) for _, node in graph.models if node.name not in elsewhere]
    # PyTorch last: skops looks through all that the process has imported, and with it that takes a second longer.
    for node, version in sorted(opened, key=lambda one: one[1].manifest.format in TORCH_FORMATS):
        local.append(_local(node_args(args, node), version, cpus, clock))
        models[node.name] = replace(local[-1].model, version=node.source)
    plan = unless_faulty(plan_graph(graph, models), args.release)
    for python in graph.pythons:
        if python.name not in elsewhere:
            own = python_args(args, python)
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
    manifest = signature_of(graph, plan, limits, idempotent=all(model.idempotent for model in models.values()))
    runtime = GraphRuntime(plan, device, tuple(remotes.values()))
    runtime.check()
    return Parts(manifest, (runtime,), threads, plan.waits, plan.samples, runtime.close)


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
    arguments: Arguments = NO_ARGUMENTS,
) -> _LocalNode:
    """A node's model, loaded, warm and checked.

    Raises:
        ConfigError: It cannot be loaded, or cannot be a node.
    """
    manifest = version.manifest
    source, (runtime, *_) = load_instances(_useful(args, manifest.format), version, cpus, arguments)
    if reason := unfit_for_graphs(manifest):
        raise ConfigError(f"{args.release}: {reason}")
    asked = batching_of(args, manifest)
    batching = suited(asked, manifest, (runtime,))
    is_cut = bool(manifest.batching.ragged or manifest.batching.allowed_rows or runtime.fixed_rows or batching != asked)
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
        inputs,
        outputs,
        predict,
        profile=profile,
        device=runtime.device,
        is_ragged=batching.ragged is not None,
        idempotent=manifest.idempotent,
    )
    return _LocalNode(model, limits, source.threads)


def _useful(args: ReleaseArgs, fmt: Format) -> ReleaseArgs:
    """A node's args without what the whole graph's release says and that format has no use for."""
    for path, _ in list(useless_settings(args, fmt)):
        if path == ("accelerator",):
            args = args.model_copy(update={"accelerator": "cpu"})
        else:
            name = str(path[-1])
            default = {name: RuntimeConfig.model_fields[name].default}
            args = args.model_copy(update={"runtime": args.runtime.model_copy(update=default)})
    return args


def _remote(node: RemoteNode, remote: RemoteModel, release: str) -> NodeModel:
    """A remote node, whose answers are checked against what the graph declares."""
    outputs = tuple(config.spec for config in node.outputs)

    async def call(inputs: Tensors, left_s: float | None) -> Called:
        """Raises WrongAnswer too."""
        called = await remote.call(inputs, left_s)
        name = f"{release} node {node.name}"
        return Called(check_answer(called.outputs, outputs, rows_of(inputs), name), called.timings)

    return NodeModel((), outputs, call=call, version=f"{node.url}/{node.model}", device="remote")
