"""Nodes that execute other nodes: for some of the rows, until one answers, or as many as are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from serve_app.config.graph import SplitNode, SwitchNode
from serve_app.errors import CapacityError, InvalidInput, ModelFailure, ServeAppError
from serve_app.graph.combining import Combine
from serve_app.graph.steps import Branch, Execute, Run, Values
from serve_app.types import Array, Tensors, TensorSpec


def cascade(first: str, outputs: Sequence[TensorSpec], confidence: str, threshold: float, then: Branch) -> Execute:
    """The first's answers, and for the rows under the threshold the second's."""

    def execute(values: Values, run: Run) -> Tensors:
        answers = {spec.name: values[f"{first}.{spec.name}"] for spec in outputs}
        unsure = np.flatnonzero(answers[confidence].max(axis=-1) < threshold)
        if not len(unsure):
            return answers
        better = then.execute(values, run, unsure)
        merged = {name: array.copy() for name, array in answers.items()}
        for name, array in merged.items():
            array[unsure] = better[name]
        return merged

    return execute


def switch(node: SwitchNode, branches: Mapping[str, Branch]) -> Execute:
    """The branch that each row's value names.

    Raises (the step):
        InvalidInput: A value without a case, and no default.
    """
    cases, subject = node.cases, f"parameter {node.parameter!r}" if node.parameter else f"{node.input!r}"

    def chosen(value: str) -> str:
        target = cases.get(value, node.default)
        if target is None:
            raise InvalidInput(subject, f"is {value[:64]!r}; node {node.name!r} takes: {', '.join(cases)}")
        return target

    def execute(values: Values, run: Run) -> Tensors:
        if node.parameter is not None:
            name = node.parameter
            rows = len(next(iter(values.values())))
            names = run.by_row(lambda parameters, _: chosen(_text(parameters.get(name, ""))), rows)
        else:
            column = values[str(node.input)]
            distinct, inverse = np.unique(column, return_inverse=True)
            names = np.array([chosen(_text(value)) for value in distinct.tolist()], object)[inverse]
        return _by_row(names, branches, values, run)

    return execute


def split(node: SplitNode, branches: Mapping[str, Branch]) -> Execute:
    """One branch a request: by the hash of its sticky parameter, else of its id."""
    names, sums = list(node.weights), np.cumsum(list(node.weights.values()))

    def chosen(key: str) -> str:
        point = int.from_bytes(blake2b(f"{node.name}\0{key}".encode(), digest_size=8).digest()) / 2**64
        return names[min(int(np.searchsorted(sums, point * sums[-1], side="right")), len(names) - 1)]

    def of_request(parameters: Mapping[str, object], request_id: str) -> str:
        return chosen(_text(parameters.get(node.sticky, request_id)) if node.sticky else request_id)

    def execute(values: Values, run: Run) -> Tensors:
        rows = len(next(iter(values.values())))
        return _by_row(run.by_row(of_request, rows), branches, values, run)

    return execute


def _by_row(names: Array, branches: Mapping[str, Branch], values: Values, run: Run) -> Tensors:
    """Every row by the branch it names; each branch sees only its own rows."""
    wanted = list(dict.fromkeys(names.tolist()))
    if len(wanted) == 1:
        return branches[wanted[0]].execute(values, run)
    places = [np.flatnonzero(names == name) for name in wanted]
    parts = [branches[name].execute(values, run, rows) for name, rows in zip(wanted, places, strict=True)]
    order = np.argsort(np.concatenate(places))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def fallback(name: str, branches: Sequence[Branch]) -> Execute:
    """The first branch that answers; what was tried before it is in the answer's `left_out`."""

    def execute(values: Values, run: Run) -> Tensors:
        for branch in branches[:-1]:
            try:
                return branch.execute(values, run)
            except (CapacityError, ModelFailure) as error:
                run.executing.left_out[f"{name}.{branch.name}"] = str(error)
        return branches[-1].execute(values, run)

    return execute


def quorum(name: str, members: Sequence[tuple[Branch, str]], combine: Combine, enough: int) -> Execute:
    """The answers of the members that do not fail, at least so many; the others are in the answer's `left_out`.

    Raises (the step):
        ModelFailure, CapacityError: There are too few: the first error.
        RequestError: Of any member: it is the caller's to change.
    """

    def execute(values: Values, run: Run) -> Tensors:
        answers, used = list[Array](), list[int]()
        errors = dict[str, ServeAppError]()
        for index, (branch, output) in enumerate(members):
            try:
                answers.append(branch.execute(values, run)[output])
                used.append(index)
            except (CapacityError, ModelFailure) as error:
                errors[f"{name}.{branch.name}"] = error
        if len(used) < enough:
            raise next(iter(errors.values()))
        run.executing.left_out.update({member: str(error) for member, error in errors.items()})
        return {"y": combine(answers, used)}

    return execute


def _text(value: object) -> str:
    """A parameter or an element as YAML writes it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).lower() if isinstance(value, bool) else str(value)
