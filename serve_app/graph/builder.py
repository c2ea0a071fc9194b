"""Graphs coded in Python: every call adds what one item of the YAML says, with the same keys and the same errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from serve_app.config.graph import GraphConfig
from serve_app.config.schema_findings import validate
from serve_app.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CodedNode:
    """A node of a graph being coded; where a node is wanted it stands for its name."""

    name: str

    def __getitem__(self, output: str) -> str:
        """The reference to one of its outputs."""
        return f"{self.name}.{output}"


class GraphBuilder:
    """Collects a graph's inputs, nodes and outputs; `config` reads them as the YAML would be.

    A node's keyword arguments are the keys of its kind in `serve_app.config.graph`; nodes and references are given as
    what `input`, the kinds' methods and `node["output"]` return.
    """

    def __init__(self) -> None:
        self._inputs: list[dict[str, object]] = []
        self._nodes: list[dict[str, object]] = []
        self._outputs: dict[str, str] = {}

    def input(self, name: str, datatype: str, shape: Sequence[int], **keys: object) -> str:
        """Add an input; returns the reference to it."""
        self._inputs.append({"name": name, "datatype": datatype, "shape": list(shape), **keys})
        return name

    def output(self, name: str, reference: str) -> None:
        """Add an output of the release."""
        self._outputs[name] = reference

    def node(self, kind: str, name: str, **keys: object) -> CodedNode:
        """Add a node of any kind."""
        self._nodes.append({"kind": kind, "name": name, **{key: _plain(value) for key, value in keys.items()}})
        return CodedNode(name)

    def model(self, name: str, **keys: object) -> CodedNode:
        """Add a version from a model repository."""
        return self.node("model", name, **keys)

    def python(self, name: str, **keys: object) -> CodedNode:
        """Add a class of the operator's own package."""
        return self.node("python", name, **keys)

    def remote(self, name: str, **keys: object) -> CodedNode:
        """Add a model of another V2 server."""
        return self.node("remote", name, **keys)

    def transform(self, name: str, **keys: object) -> CodedNode:
        """Add a chain of operations."""
        return self.node("transform", name, **keys)

    def ensemble(self, name: str, **keys: object) -> CodedNode:
        """Add one answer from several."""
        return self.node("ensemble", name, **keys)

    def cascade(self, name: str, **keys: object) -> CodedNode:
        """Add a router to a second node where the first is unsure."""
        return self.node("cascade", name, **keys)

    def switch(self, name: str, **keys: object) -> CodedNode:
        """Add a router by a value."""
        return self.node("switch", name, **keys)

    def split(self, name: str, **keys: object) -> CodedNode:
        """Add a router by weight."""
        return self.node("split", name, **keys)

    def fallback(self, name: str, **keys: object) -> CodedNode:
        """Add a router to the next node where one fails."""
        return self.node("fallback", name, **keys)

    def race(self, name: str, **keys: object) -> CodedNode:
        """Add a router to the first that answers."""
        return self.node("race", name, **keys)

    def config(self, **keys: object) -> GraphConfig:
        """The graph; `keys` are its `prediction` and `golden`.

        Raises:
            ConfigError: It is none, with everything that is wrong and where, as `serve-app validate` says it.
        """
        document = {"inputs": self._inputs, "nodes": self._nodes, "outputs": self._outputs, **keys}
        graph, findings = validate(GraphConfig, document)
        if graph is None or findings:
            raise ConfigError("; ".join(f"{'.'.join(map(str, path))}: {message}" for path, message in findings))
        return graph


def _plain(value: object) -> object:
    """What YAML would have in the value's place."""
    if isinstance(value, CodedNode):
        return value.name
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
