"""The graph of a release: nodes that take tensors from its inputs or from each other, as the YAML declares them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from serve_app.config.base import Integer, Number, PositiveFloat, PositiveInt, StrictModel
from serve_app.config.operations import Operation
from serve_app.config.tensors import GoldenConfig, TensorConfig, TensorName

NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""A graph input's name, or `node.output`."""
RetryCount = Annotated[Integer, Field(ge=0, le=5)]
PYTHON_CLASS = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class CacheConfig(StrictModel):
    """Answers that a node remembers by the bytes of its inputs, row by row; the least used ones go first."""

    max_bytes: PositiveInt = Field(default=64 * 2**20, description="Of the answers and the keys, in each replica.")


class _Node(StrictModel):
    """What every node has."""

    name: NodeName
    cache: CacheConfig | None = Field(default=None, description="Remember answers; none is executed twice.")
    timeout_ms: PositiveFloat | None = Field(default=None, description="What takes longer has failed.")
    retries: RetryCount = Field(default=0, description="Of what was lost with its replica or found a full queue.")


class _ComputingNode(_Node):
    """What every node has that computes, here or on replicas of its own."""

    placement: Literal["auto", "fused", "own"] = Field(
        default="auto",
        description="In the graph's process, or on replicas of its own: a deployment of the node's name. auto is the "
        "latter where something is asked for that needs it: timeout_ms, retries, gpu_memory_mib or an accelerator.",
    )

    @model_validator(mode="after")
    def _can_be_fused(self) -> Self:
        if self.placement == "fused" and self.why_own:
            raise ValueError(f"it cannot be fused: {self.why_own} needs replicas of its own")
        return self

    @property
    def why_own(self) -> str:
        """What needs replicas of its own, other than that the YAML says so; empty if nothing does."""
        if self.timeout_ms is not None:
            return f"timeout_ms {self.timeout_ms:g}"
        return f"retries {self.retries}" if self.retries else ""

    @property
    def is_own(self) -> bool:
        """Whether it runs on replicas of its own."""
        return self.placement == "own" or bool(self.why_own)


class TransformNode(_ComputingNode):
    """A chain of operations; its output is `y`, or those of a last operation that gives several."""

    kind: Literal["transform"]
    input: Reference | Annotated[tuple[Reference, ...], Field(min_length=2)] = Field(
        description="One, or a list of several for a first operation that takes them."
    )
    steps: tuple[Operation, ...] = Field(min_length=1)

    @property
    def inputs(self) -> Mapping[TensorName, Reference]:
        """What it takes in its order, by the names that it has for it on replicas of its own: `x`, or `x0`, `x1`."""
        if isinstance(self.input, str):
            return {"x": self.input}
        return {f"x{index}": reference for index, reference in enumerate(self.input)}


class _AcceleratedNode(_ComputingNode):
    """What may use a GPU."""

    accelerator: Literal["auto", "cpu", "gpu"] | None = Field(default=None, description="Instead of the release's.")
    gpu_memory_mib: PositiveInt | None = Field(default=None, description="What it needs of a GPU, if it gets one.")

    @model_validator(mode="after")
    def _gpu_is_used(self) -> Self:
        if self.accelerator == "cpu" and self.gpu_memory_mib is not None:
            raise ValueError("gpu_memory_mib has no effect on accelerator: cpu")
        return self

    @property
    def why_own(self) -> str:
        """As of every node, and what it asks for of a GPU."""
        if why := super().why_own:
            return why
        if self.gpu_memory_mib is not None:
            return f"gpu_memory_mib {self.gpu_memory_mib}"
        return "" if self.accelerator is None else f"accelerator {self.accelerator}"


class ModelNode(_AcceleratedNode):
    """A version from a model repository; its outputs are the model's."""

    kind: Literal["model"]
    source: str = Field(min_length=1, description="Directory of model.yaml: a local path or any fsspec URL.")
    inputs: Mapping[TensorName, Reference] = Field(
        default={}, description="Where the model's inputs come from; one left out is the graph's of the same name."
    )
    python_class: str | None = Field(default=None, pattern=PYTHON_CLASS)


class PythonNode(_AcceleratedNode):
    """A class of the operator's own package that works on arrays, as models of format python do."""

    kind: Literal["python"]
    python_class: str = Field(pattern=PYTHON_CLASS, description="module:Class with `predict`, and `setup` if it likes.")
    arguments: Mapping[str, str | int | float | bool] = Field(
        default={}, description="What the class is constructed with, by keyword."
    )
    inputs: Mapping[TensorName, Reference] = Field(min_length=1)
    outputs: tuple[TensorConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        _check_once(output.name for output in self.outputs)
        return self


class RemoteNode(_Node):
    """A model of another V2 server, such as Triton; its outputs are the declared ones."""

    kind: Literal["remote"]
    url: str = Field(pattern=r"^[A-Za-z0-9.\[\]:_-]+:[0-9]{1,5}$", description="host:port, without a scheme.")
    protocol: Literal["grpc", "http"] = "grpc"
    model: str = Field(min_length=1, max_length=256)
    version: str = Field(default="", max_length=256, description="Else the server chooses one.")
    inputs: Mapping[TensorName, Reference] = Field(min_length=1, description="By the server's names.")
    outputs: tuple[TensorConfig, ...] = Field(
        min_length=1, description="Those that are wanted; `source` is the server's name for one that has another here."
    )
    timeout_ms: PositiveFloat | None = 1000.0

    @model_validator(mode="after")
    def _has_each_once(self) -> Self:
        _check_once(output.name for output in self.outputs)
        _check_once(output.source or output.name for output in self.outputs)
        return self


class EnsembleNode(_Node):
    """One answer from several; `y` is as the members are, or for `stack` one behind the other along the last axis."""

    kind: Literal["ensemble"]
    method: Literal["mean", "max", "vote", "stack"] = Field(
        description="mean and max are of each number; vote takes INT64 labels, the lowest of those with most votes; "
        "stack is what a model over the members takes."
    )
    members: tuple[Reference, ...] = Field(min_length=2)
    weights: tuple[PositiveFloat, ...] = Field(default=(), description="Of the members; for mean and vote.")
    quorum: PositiveInt | None = Field(
        default=None,
        description="Members that are enough; one that fails is left out, and the answer says so.",
    )
    timeout_ms: PositiveFloat | None = Field(
        default=None, description="A member on replicas of its own that takes longer is left out too."
    )

    @model_validator(mode="after")
    def _fits(self) -> EnsembleNode:
        if self.weights and self.method in ("max", "stack"):
            raise ValueError(f"weights have no effect on method {self.method}")
        if self.weights and len(self.weights) != len(self.members):
            raise ValueError(f"there are {len(self.weights)} weights for {len(self.members)} members")
        if self.quorum and self.quorum >= len(self.members):
            raise ValueError(f"quorum {self.quorum} must be under the {len(self.members)} members")
        if self.quorum and self.method == "stack":
            raise ValueError("method stack needs every member, so it can have no quorum")
        if self.timeout_ms and not self.quorum:
            raise ValueError("timeout_ms has no effect without a quorum")
        if self.retries:
            raise ValueError("retries has no effect on an ensemble; give it to the members")
        return self


class CascadeNode(_Node):
    """The first node's answer where it is sure, a second one's for the other rows; only those are executed by it."""

    kind: Literal["cascade"]
    first: NodeName
    then: NodeName = Field(description="A node that is in no other node's inputs; it has the first's outputs.")
    confidence: TensorName = Field(description="Output of the first whose largest number in a row is its confidence.")
    threshold: Number = Field(description="A row under it goes on to the second.")


class SwitchNode(_Node):
    """The node that a request's parameter, or each row of a tensor, names."""

    kind: Literal["switch"]
    parameter: str | None = Field(default=None, min_length=1, description="V2 parameter of the request.")
    input: Reference | None = Field(default=None, description="An integer, BOOL or BYTES a row.")
    cases: Mapping[str, NodeName] = Field(min_length=1, description="Nodes by the value, written as text.")
    default: NodeName | None = Field(default=None, description="For every other value; else they are refused.")

    @model_validator(mode="after")
    def _goes_by_one(self) -> SwitchNode:
        if (self.parameter is None) == (self.input is None):
            raise ValueError("a switch goes by either a parameter or an input")
        return self


class SplitNode(_Node):
    """One of several nodes for each request, by weight."""

    kind: Literal["split"]
    weights: Mapping[NodeName, PositiveFloat] = Field(min_length=2)
    sticky: str | None = Field(
        default=None, min_length=1, description="A V2 parameter; requests with the same value go to the same node."
    )


class FallbackNode(_Node):
    """The first node's answer; the next one's where it fails."""

    kind: Literal["fallback"]
    targets: tuple[NodeName, ...] = Field(min_length=2)


class RaceNode(_Node):
    """The answer that comes first; the others are cancelled."""

    kind: Literal["race"]
    targets: tuple[NodeName, ...] = Field(min_length=2, description="Each on replicas of its own, or remote.")


Node = Annotated[
    TransformNode
    | ModelNode
    | PythonNode
    | RemoteNode
    | EnsembleNode
    | CascadeNode
    | SwitchNode
    | SplitNode
    | FallbackNode
    | RaceNode,
    Field(discriminator="kind"),
]


ComputingNode = TransformNode | ModelNode | PythonNode
"""Those that may run on replicas of their own."""


def targets_of(node: Node) -> tuple[NodeName, ...]:
    """The nodes that a node executes itself, each once, for some of the rows or where others fail."""
    if isinstance(node, CascadeNode):
        return (node.then,)
    if isinstance(node, SwitchNode):
        return tuple(dict.fromkeys((*node.cases.values(), *((node.default,) if node.default else ()))))
    if isinstance(node, SplitNode):
        return tuple(node.weights)
    if isinstance(node, FallbackNode | RaceNode):
        return node.targets
    if isinstance(node, EnsembleNode) and node.quorum:
        return tuple(member.partition(".")[0] for member in node.members)
    return ()


def references_of(node: Node) -> Iterator[tuple[str, str]]:
    """What a node takes from before itself; a quorum's members are its targets."""
    if isinstance(node, TransformNode):
        yield from (("input", reference) for reference in node.inputs.values())
    elif isinstance(node, ModelNode | PythonNode | RemoteNode):
        yield from node.inputs.items()
    elif isinstance(node, EnsembleNode) and not node.quorum:
        yield from ((str(index), member) for index, member in enumerate(node.members))
    elif isinstance(node, SwitchNode) and node.input is not None:
        yield "input", node.input


class GraphConfig(StrictModel):
    """What a release of several nodes takes, does and gives."""

    inputs: tuple[TensorConfig, ...] = Field(min_length=1)
    nodes: tuple[Node, ...] = Field(min_length=1)
    outputs: Mapping[TensorName, Reference] = Field(min_length=1, description="The release's outputs, in this order.")
    prediction: TensorName | None = Field(default=None, description="The output that POST /predict answers with.")
    golden: tuple[GoldenConfig, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> GraphConfig:
        inputs = [tensor.name for tensor in self.inputs]
        if len(set(inputs)) != len(inputs):
            raise ValueError(f"inputs have a name twice: {', '.join(inputs)}")
        for index, golden in enumerate(self.golden):
            if set(golden.inputs) != set(inputs):
                raise ValueError(f"golden {index} must give every input: {', '.join(sorted(inputs))}")
            if unknown := sorted(set(golden.outputs) - set(self.outputs)):
                raise ValueError(f"golden {index} expects unknown output {unknown[0]!r}")
        if self.prediction is not None and self.prediction not in self.outputs:
            raise ValueError(f"prediction {self.prediction!r} is not among outputs: {', '.join(self.outputs)}")
        return self

    @property
    def models(self) -> Iterator[tuple[int, ModelNode]]:
        """The nodes that are model versions, with their index."""
        return ((index, node) for index, node in enumerate(self.nodes) if isinstance(node, ModelNode))

    @property
    def own(self) -> tuple[ComputingNode, ...]:
        """The nodes on replicas of their own."""
        return tuple(node for node in self.nodes if isinstance(node, ComputingNode) and node.is_own)

    @property
    def accelerated(self) -> tuple[ModelNode | PythonNode, ...]:
        """The nodes that may use a GPU."""
        return tuple(node for node in self.nodes if isinstance(node, ModelNode | PythonNode))

    @property
    def pythons(self) -> tuple[PythonNode, ...]:
        """The nodes that are classes of the operator's own."""
        return tuple(node for node in self.nodes if isinstance(node, PythonNode))

    @property
    def remotes(self) -> tuple[RemoteNode, ...]:
        """The nodes that are models of other servers."""
        return tuple(node for node in self.nodes if isinstance(node, RemoteNode))


def _check_once(outputs: Iterable[str]) -> None:
    names = list(outputs)
    if len(set(names)) != len(names):
        raise ValueError(f"outputs have a name twice: {', '.join(names)}")
