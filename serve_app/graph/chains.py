"""A transform's chain of operations: planned on signatures, loaded once, executed on whole arrays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from serve_app.batching.executing import Visit
from serve_app.config.data_operations import DecodeImage, Function, Resize, Tokenise
from serve_app.config.graph import TransformNode
from serve_app.config.operations import Concat, MeanPool, Operation, TopK
from serve_app.errors import InvalidInput, ModelRaised, ServeAppError
from serve_app.graph.functions import function
from serve_app.graph.image_operations import decode_image, resize
from serve_app.graph.joining import concat, mean_pool
from serve_app.graph.links import Link, UnfitRow, Work, ready
from serve_app.graph.operations import Planned, planned
from serve_app.graph.ranking import top_k
from serve_app.graph.steps import Run, Values
from serve_app.graph.text_operations import tokenise
from serve_app.runtimes.raised import short_reason
from serve_app.types import Array, Tensors, TensorSpec

logger = logging.getLogger("serve_app.graph")

SLOW = (DecodeImage, Resize, Tokenise, Function)
OUTPUT = "y"
"""The output of nodes that have one."""

_OF_ONE: Mapping[type, Callable[[Any, TensorSpec], Link]] = {
    DecodeImage: decode_image,
    Resize: lambda operation, spec: _single(resize(operation, spec)),
    Tokenise: tokenise,
    TopK: top_k,
}
_OF_SEVERAL: Mapping[type, Callable[[Any, Sequence[TensorSpec]], Link]] = {
    Concat: concat,
    MeanPool: mean_pool,
    Function: function,
}


class UnfitStep(ValueError):
    """An operation cannot take what is before it.

    Attributes:
        step: Its index.
        reason: What it takes.
    """

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason


class Chain:
    """What a transform node does.

    Args:
        node: As declared.
        specs: Of its inputs, in their order.

    Attributes:
        references: Of its inputs.
        outputs: By their own names.
        sample: What a warm-up may give the first operation as an element of BYTES.

    Raises:
        UnfitStep: An operation does not fit.
    """

    def __init__(self, node: TransformNode, specs: Sequence[TensorSpec]) -> None:
        self._node, self.references = node, tuple(node.inputs.values())
        self._links: list[Link] = []
        for index, operation in enumerate(node.steps):
            try:
                link = _link(operation, specs)
            except ValueError as error:
                raise UnfitStep(index, str(error)) from None
            if len(link.outputs) > 1 and index < len(node.steps) - 1:
                names = ", ".join(spec.name for spec in link.outputs)
                raise UnfitStep(index, f"{operation.op} gives several tensors ({names}), so it must be the last step")
            self._links.append(link)
            specs = link.outputs
        self.outputs = tuple(specs) if len(specs) > 1 else (replace(specs[0], name=OUTPUT),)
        self.sample = self._links[0].sample
        self._works: list[Work] | None = None

    def load(self) -> list[Work]:
        """Import libraries and functions, and read files, the first time.

        Raises:
            ConfigError: Something cannot be had; the message names the node.
        """
        if self._works is None:
            self._works = [link.load(self._node.name) for link in self._links]
        return self._works

    @property
    def takes_long(self) -> bool:
        """Whether it has operations that may take milliseconds."""
        return any(isinstance(operation, SLOW) for operation in self._node.steps)

    async def execute(self, values: Values, run: Run, visit: Visit) -> Tensors:
        """As `answer`."""
        return self.answer(values, run)

    def answer(self, values: Values, run: Run) -> Tensors:
        """The operations, one after the other, in the calling thread.

        Raises:
            InvalidInput: A row has a value that an operation does not take.
            ModelFailure: An operation raised, or the operator's function gave something else than declared.
        """
        try:
            return self._done([values[reference] for reference in self.references])
        except UnfitRow as unfit:
            row = run.row_of_request(unfit.row)
            which = "a row" if row is None else f"row {row}"
            raise InvalidInput(f"{which} of {self.references[0]!r}", unfit.reason) from None

    def predict(self, inputs: Tensors) -> Tensors:
        """The same where nobody knows whose rows they are.

        Args:
            inputs: By the node's own names.

        Raises:
            InvalidInput, ModelFailure: As `execute`.
        """
        try:
            return self._done([inputs[name] for name in self._node.inputs])
        except UnfitRow as unfit:
            raise InvalidInput(f"row {unfit.row} of {self.references[0]!r}", unfit.reason) from None

    def _done(self, arrays: Sequence[Array]) -> Tensors:
        for work in self.load():
            try:
                arrays = work(arrays)
            except (ServeAppError, UnfitRow):
                raise
            except Exception as error:  # a library's, on values that nobody foresaw
                logger.exception("node %s failed on %d rows", self._node.name, len(arrays[0]))
                raise ModelRaised(f"node {self._node.name}", short_reason(error)) from error
        return {spec.name: array for spec, array in zip(self.outputs, arrays, strict=True)}


def _link(operation: Operation, specs: Sequence[TensorSpec]) -> Link:
    """An operation behind those.

    Raises:
        ValueError: It does not take them.
    """
    if of_several := _OF_SEVERAL.get(type(operation)):
        return of_several(operation, specs)
    if len(specs) > 1:
        raise ValueError(f"{operation.op} takes one input, not {len(specs)}")
    if of_one := _OF_ONE.get(type(operation)):
        return of_one(operation, specs[0])
    return _single(planned(operation, specs[0]))


def _single(plan: Planned) -> Link:
    apply = plan.apply
    return ready(lambda arrays: (apply(arrays[0]),), plan.spec)
