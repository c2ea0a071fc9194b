"""Nodes of a graph as releases of their own, and what the signatures of a graph's models say without loading them."""

from __future__ import annotations

from pathlib import Path

from serve_app.config.graph import ComputingNode, GraphConfig, ModelNode, PythonNode, TransformNode
from serve_app.config.manifest import Format, Manifest
from serve_app.config.release import ReleaseArgs
from serve_app.config.tensors import TensorConfig
from serve_app.errors import ConfigError
from serve_app.graph.plan import Plan
from serve_app.graph.planner import plan_graph
from serve_app.graph.signatures import signatures
from serve_app.repository.store import ModelVersion, open_version
from serve_app.types import TensorSpec

ALONE = {"placement": "fused", "timeout_ms": None, "retries": 0, "cache": None}
GPU = ("accelerator", "gpu_memory_mib")


def node_args(args: ReleaseArgs, node: ComputingNode) -> ReleaseArgs:
    """A node of a graph as a release, `{model}.{node}-{version}`; what is no model is a graph of itself alone.

    Raises:
        ConfigError: A model cannot be opened, or the graph cannot be planned.
    """
    if isinstance(node, ModelNode):
        return _part(args, node, source=node.source, graph=None, python_class=node.python_class)
    return _part(args, node, graph=_alone(args, args.graph, node) if args.graph else None)


def python_args(args: ReleaseArgs, node: PythonNode) -> ReleaseArgs:
    """A python node of a graph as a release that loads its class."""
    return _part(args, node, graph=None, python_class=node.python_class)


def _part(args: ReleaseArgs, node: ComputingNode, **changes: object) -> ReleaseArgs:
    """What a node has of its graph's release: not the batching, which is about the whole graph's rows."""
    changes |= {"model": f"{args.model}.{node.name}", "batching": None}
    if not isinstance(node, TransformNode):
        changes |= {"accelerator": node.accelerator or args.accelerator, "gpu_memory_mib": node.gpu_memory_mib}
    return args.model_copy(update=changes)


def python_version(node: PythonNode, plan: Plan) -> ModelVersion:
    """A python node as a version of format python, whose directory is where the process runs.

    Args:
        node: A node of a graph.
        plan: Of that graph, without findings; models need not be loaded.
    """
    inputs = tuple(declared(plan.specs[reference], name) for name, reference in node.inputs.items())
    manifest = Manifest(format=Format.PYTHON, inputs=inputs, outputs=node.outputs)
    return ModelVersion(manifest, Path.cwd(), node.python_class)


def declared(spec: TensorSpec, name: str) -> TensorConfig:
    """A tensor as a manifest declares it, under that name."""
    return TensorConfig(
        name=name, datatype=spec.datatype, shape=spec.shape, labels=spec.labels, allow_nan=spec.allow_nan
    )


def unless_faulty(plan: Plan, release: str) -> Plan:
    """The plan.

    Raises:
        ConfigError: It has findings; the message has all of them.
    """
    if plan.findings:
        faults = (f"{'.'.join(map(str, path))}: {message}" for path, message in plan.findings)
        raise ConfigError(f"{release}: graph: {'; '.join(faults)}")
    return plan


def _alone(args: ReleaseArgs, graph: GraphConfig, node: TransformNode | PythonNode) -> GraphConfig:
    models = signatures({model.name: open_version(model.source).manifest for _, model in graph.models})
    specs = unless_faulty(plan_graph(graph, models), args.release).specs
    names = list(node.inputs)
    own = "node"
    while any(name == own or name.startswith(f"{own}.") for name in names):
        own += "_"
    taken: dict[str, object] = {"input": names[0] if len(names) == 1 else tuple(names)}
    if isinstance(node, PythonNode):
        taken = {"inputs": {name: name for name in names}, **dict.fromkeys(GPU)}
    given = [reference.partition(".")[2] for reference in specs if reference.startswith(f"{node.name}.")]
    return GraphConfig(
        inputs=tuple(declared(specs[reference], name) for name, reference in node.inputs.items()),
        nodes=(node.model_copy(update={**ALONE, **taken, "name": own}),),
        outputs={output: f"{own}.{output}" for output in given},
    )
