"""A planned graph: what it takes, does and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from serve_app.batching.executing import About, Executing, current
from serve_app.config.unknown_keys import Finding
from serve_app.graph.calls import Call, LoopThread
from serve_app.graph.chains import Chain
from serve_app.graph.steps import Run, Steps, at_once
from serve_app.types import Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class NodeModel:
    """What executes a node that is a model; where only the signature is known, nothing does.

    Attributes:
        predict: Executes it in this process, in the calling thread, one call at a time.
        call: Executes it in another process; instead of `predict`.
        profile: Seconds that a batch usually takes, by its rows; empty where that is not known.
        version: Whose version it is, as `serve-app show` and explanations say it.
        device: Where it runs.
        is_ragged: Whether its inputs may have any length along axis 1.
        idempotent: As of `ReleaseInfo`; unknown of other servers' models, and taken for true.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    predict: Callable[[Tensors], Tensors] | None = None
    call: Call | None = None
    profile: Mapping[int, float] = field(default_factory=dict)
    version: str = ""
    device: str = "cpu"
    is_ragged: bool = False
    idempotent: bool = True


@dataclass(slots=True)
class Plan:
    """What a graph does.

    Attributes:
        inputs: Of the graph.
        outputs: Its signature, in the declared order.
        references: Where each output comes from, in that order.
        specs: What every reference is.
        steps: Of the nodes that are executed for every batch; the others are in branches of these.
        about: What explanations say of each node.
        findings: What is wrong, at its path within the graph; the steps are complete only if there is nothing.
        samples: What a warm-up may give inputs of BYTES, where an empty element would be refused.
        loop: Where what waits is executed, and connections to other servers belong.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...] = ()
    references: tuple[str, ...] = ()
    specs: Mapping[str, TensorSpec] = field(default_factory=dict)
    steps: Steps = field(default_factory=lambda: Steps(()))
    about: Mapping[str, About] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    samples: dict[str, bytes] = field(default_factory=dict)
    loop: LoopThread = field(default_factory=LoopThread)
    _chains: list[Chain] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether something of it runs in another process, so that several batches may be under way at once."""
        return self.steps.waits

    def add_chain(self, chain: Chain, *, is_here: bool) -> None:
        """Take a transform's chain in, to be loaded with the others if it is executed here."""
        if is_here:
            self._chains.append(chain)
        if chain.sample and chain.references[0] in {spec.name for spec in self.inputs}:
            self.samples[chain.references[0]] = chain.sample

    def load(self) -> None:
        """Import the libraries and functions of the transforms, and read their files; `run` would do it too.

        Raises:
            ConfigError: One of them cannot be had; the message names the node.
        """
        for chain in self._chains:
            chain.load()

    def run(self, inputs: Tensors) -> Tensors:
        """Execute the graph on whole arrays, blocking; from one thread at a time unless it waits.

        Args:
            inputs: Every input of the graph, all with the same rows.

        Returns:
            Every output, as many rows.

        Raises:
            ModelFailure, RequestError, CapacityError: What a node raised.
        """
        work = self._run(inputs, current())
        return self.loop.run(work) if self.waits else at_once(work)

    async def _run(self, inputs: Tensors, executing: Executing) -> Tensors:
        values, executing.about = dict(inputs), self.about
        await self.steps.execute(values, Run(executing))
        return {spec.name: values[reference] for spec, reference in zip(self.outputs, self.references, strict=True)}
