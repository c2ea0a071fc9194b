"""Nodes that execute other nodes: for some of the rows, until one answers, or as many as are enough."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from serve_app.batching.executing import Executing, Visit
from serve_app.config.graph import SplitNode, SwitchNode
from serve_app.errors import (
    CapacityError,
    DeadlineExceeded,
    DeadlineUnreachable,
    InvalidInput,
    ModelFailure,
    Overloaded,
    ServeAppError,
    WrongAnswer,
)
from serve_app.graph.combining import Combine
from serve_app.graph.steps import Branch, Execute, Run, Values, all_of, cancel
from serve_app.types import Array, Tensors, TensorSpec

AWAY, FAILED, FULL, LATE = "away", "failed", "full", "late"
"""Why a part was left out, as every caller of the batch is told; what exactly happened is for the log."""


def cascade(first: str, outputs: Sequence[TensorSpec], confidence: str, threshold: float, then: Branch) -> Execute:
    """The first's answers, and for the rows under the threshold the second's."""

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        answers = {spec.name: values[f"{first}.{spec.name}"] for spec in outputs}
        unsure = np.flatnonzero(~(answers[confidence].max(axis=-1) >= threshold))  # NaN is not sure
        visit.chosen = np.full(visit.rows, first, object)
        if not len(unsure):
            return answers
        visit.chosen[unsure] = then.name
        better = await then.execute(values, run, unsure)
        merged = {name: array.copy() for name, array in answers.items()}
        for name, array in merged.items():
            if better[name].shape[1:] != array.shape[1:]:  # free axes; NumPy would repeat what fits somehow
                shapes = f"{list(array.shape[1:])} of {first} and {list(better[name].shape[1:])} of {then.name}"
                raise WrongAnswer(f"cascade onto {then.name}", f"output {name!r} has rows of shapes {shapes}")
            array[unsure] = better[name]
        return merged

    return execute


def switch(node: SwitchNode, branches: Mapping[str, Branch]) -> Execute:
    """The branch that each row's value names.

    Raises (the step):
        InvalidInput: A value without a case, and no default.
    """
    cases, subject = node.cases, f"parameter {node.parameter!r}" if node.parameter else f"{node.input!r}"
    first = next(iter(cases.values()))

    def chosen(value: str, executing: Executing) -> str:
        target = cases.get(value, node.default)
        if target is None and not executing.owners:  # a warm-up's, which no case was written for
            return first
        if target is None:
            raise InvalidInput(subject, f"is {value[:64]!r}; node {node.name!r} takes: {', '.join(cases)}")
        return target

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        if node.parameter is not None:
            name = node.parameter
            names = run.by_row(lambda parameters, _: chosen(_text(parameters.get(name, "")), run.executing), visit.rows)
        else:
            column = values[str(node.input)]
            distinct, inverse = np.unique(column, return_inverse=True)
            names = np.array([chosen(_text(value), run.executing) for value in distinct.tolist()], object)[inverse]
        visit.chosen = names
        return await _by_row(names, branches, values, run)

    return execute


def split(node: SplitNode, branches: Mapping[str, Branch]) -> Execute:
    """One branch a request: by the hash of its sticky parameter, else of its id."""
    names, sums = list(node.weights), np.cumsum(list(node.weights.values()))

    def chosen(key: str) -> str:
        point = int.from_bytes(blake2b(f"{node.name}\0{key}".encode(), digest_size=8).digest()) / 2**64
        return names[min(int(np.searchsorted(sums, point * sums[-1], side="right")), len(names) - 1)]

    def of_request(parameters: Mapping[str, object], request_id: str) -> str:
        return chosen(_text(parameters.get(node.sticky, request_id)) if node.sticky else request_id)

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        visit.chosen = run.by_row(of_request, visit.rows)
        return await _by_row(visit.chosen, branches, values, run)

    return execute


async def _by_row(names: Array, branches: Mapping[str, Branch], values: Values, run: Run) -> Tensors:
    """Every row by the branch it names; each branch sees only its own rows."""
    wanted = list(dict.fromkeys(names.tolist()))
    if len(wanted) == 1:
        return await branches[wanted[0]].execute(values, run)
    places = [np.flatnonzero(names == name) for name in wanted]
    work = [branches[name].execute(values, run, rows) for name, rows in zip(wanted, places, strict=True)]
    if any(branches[name].steps.waits for name in wanted):
        parts = await all_of([asyncio.ensure_future(one) for one in work])
    else:
        parts = [await one for one in work]
    order = np.argsort(np.concatenate(places))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def fallback(name: str, branches: Sequence[Branch]) -> Execute:
    """The first branch that answers; what was tried before it is in the answer's `left_out`."""

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        left_out = run.executing.left_out
        for branch in branches[:-1]:
            if not branch.may_try(run):
                left_out[f"{name}.{branch.name}"] = AWAY
                continue
            try:
                answer = await branch.attempt(values, run)
            except (CapacityError, ModelFailure) as error:
                left_out[f"{name}.{branch.name}"] = _why(error)
            else:
                visit.chosen = np.full(visit.rows, branch.name, object)
                return answer
        visit.chosen = np.full(visit.rows, branches[-1].name, object)
        return await branches[-1].execute(values, run)

    return execute


def race(branches: Sequence[Branch]) -> Execute:
    """The first answer; the others are cancelled.

    Raises (the step):
        ServeAppError: None of them answered: the last one's error.
    """

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        apart = {branch.name: run.apart() for branch in branches}
        running = {
            asyncio.ensure_future(branch.execute(values, apart[branch.name])): branch.name for branch in branches
        }
        left = set(running)
        try:
            while True:
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                first = next((task for task in done if task.exception() is None), None)
                if first is not None or not left:
                    ended = first or done.pop()
                    visit.chosen = np.full(visit.rows, running[ended], object)
                    run.executing.left_out.update(apart[running[ended]].executing.left_out)
                    return ended.result()
        finally:
            await cancel([*left])

    return execute


def quorum(
    name: str, members: Sequence[tuple[Branch, str]], combine: Combine, enough: int, timeout_s: float | None = None
) -> Execute:
    """The answers of the members that do not fail and are not late, at least so many; the others are in `left_out`.

    Args:
        name: Of the node.
        members: Who is asked, and for which output.
        combine: What is made of the answers.
        enough: Fewer answers are an error.
        timeout_s: How long those that wait are waited for once there are enough; None for ever.

    Raises (the step):
        ModelFailure, CapacityError: There are too few: the first error.
        RequestError: Of any member: it is the caller's to change.
    """

    async def execute(values: Values, run: Run, visit: Visit) -> Tensors:
        asked = {index: branch for index, (branch, _) in enumerate(members) if branch.may_try(run)}
        if len(asked) < enough:
            asked = {index: branch for index, (branch, _) in enumerate(members)}
        away = {f"{name}.{branch.name}": AWAY for index, (branch, _) in enumerate(members) if index not in asked}
        apart = {index: run.apart() for index in asked}
        given = await _asked(asked, values, apart, enough, timeout_s)
        answers = {index: one for index, one in given.items() if not isinstance(one, ServeAppError)}
        errors = {index: one for index, one in given.items() if isinstance(one, ServeAppError)}
        if len(answers) < enough:
            raise next(iter(errors.values()))
        failed = {f"{name}.{members[index][0].name}": _why(error) for index, error in errors.items()}
        for left_out in (away, failed, *(apart[index].executing.left_out for index in answers)):
            run.executing.left_out.update(left_out)
        return {"y": combine([answer[members[index][1]] for index, answer in answers.items()], list(answers))}

    return execute


Given = dict[int, "Tensors | ServeAppError"]


async def _asked(
    branches: Mapping[int, Branch], values: Values, runs: Mapping[int, Run], enough: int, timeout_s: float | None
) -> Given:
    """What each member gives, in their order: side by side where one of them waits."""
    if not any(branch.steps.waits for branch in branches.values()):
        return {index: await _answer_or_error(branch, values, runs[index]) for index, branch in branches.items()}
    tasks = {
        index: asyncio.ensure_future(_answer_or_error(branch, values, runs[index]))
        for index, branch in branches.items()
    }
    late: set[int] = set()
    try:
        done, pending = await asyncio.wait(tasks.values(), timeout=timeout_s)
        while pending and sum(not _failed(task) for task in done) < enough:
            more, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            done |= more
        late = {index for index, task in tasks.items() if task in pending}
    finally:
        await cancel([*tasks.values()])
    for index in late:
        branches[index].is_late(runs[index])
    return {
        index: DeadlineExceeded(branches[index].name, timeout_s or 0.0) if index in late else task.result()
        for index, task in tasks.items()
    }


def _failed(task: asyncio.Task[Tensors | ServeAppError]) -> bool:
    """Whether a member that has ended is no answer; what it raises is for everybody, at once."""
    return isinstance(task.result(), ServeAppError)


async def _answer_or_error(branch: Branch, values: Values, run: Run) -> Tensors | ServeAppError:
    try:
        return await branch.attempt(values, run)
    except (CapacityError, ModelFailure) as error:
        return error


def _why(error: ServeAppError) -> str:
    if isinstance(error, ModelFailure):
        return FAILED
    if isinstance(error, DeadlineExceeded | DeadlineUnreachable):
        return LATE
    return FULL if isinstance(error, Overloaded) else AWAY


def _text(value: object) -> str:
    """A parameter or an element as YAML writes it."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value).lower() if isinstance(value, bool) else str(value)
