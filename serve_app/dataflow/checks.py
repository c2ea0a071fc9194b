"""The checks between a runtime and everyone else: warm-up rows, golden answers, and the form of every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, RaggedConfig
from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.datatypes import Datatype
from serve_app.errors import CheckFailed, ConfigError, WrongAnswer
from serve_app.types import Array, Tensors, TensorSpec, rows_of

Predict = Callable[[Tensors], Tensors]

# What an element may be, by the kind of the datatype's dtype ("V" is bfloat16): nothing is converted in silence.
_KINDS: dict[str, tuple[type, ...]] = {
    "b": (bool,),
    "i": (int,),
    "u": (int,),
    "f": (int, float),
    "V": (int, float),
    "O": (str, bytes),
}


def check_answer(answer: Tensors, outputs: Sequence[TensorSpec], rows: int, release: str) -> dict[str, Array]:
    """The outputs of the signature, in its order, if the answer has the form the signature promises.

    Args:
        answer: What the runtime returned.
        outputs: The signature.
        rows: Rows the runtime was given.
        release: Named in the error.

    Raises:
        WrongAnswer: An output is missing, or its datatype, rows or another axis are not the signature's.
    """
    checked: dict[str, Array] = {}
    for spec in outputs:
        array = answer.get(spec.name)
        if array is None:
            raise WrongAnswer(release, f"the answer has no output {spec.name!r}")
        if array.dtype != spec.datatype.dtype:
            raise WrongAnswer(release, f"output {spec.name!r} has dtype {array.dtype}, the signature {spec.datatype}")
        if array.ndim != len(spec.shape):
            raise WrongAnswer(release, f"output {spec.name!r} has shape {list(array.shape)}, not {list(spec.shape)}")
        if array.shape[0] != rows:
            raise WrongAnswer(release, f"output {spec.name!r} answered {array.shape[0]} rows for {rows}")
        if any(want not in (-1, have) for want, have in zip(spec.shape[1:], array.shape[1:], strict=True)):
            raise WrongAnswer(release, f"output {spec.name!r} has shape {list(array.shape)}, not {list(spec.shape)}")
        checked[spec.name] = array
    return checked


def warmup_batches(
    manifest: Manifest, ragged: RaggedConfig | None = None, samples: Mapping[str, bytes] = MappingProxyType({})
) -> Callable[[int], dict[str, Array]]:
    """What makes a batch of so many rows: the first golden rows over and over, or zeros without golden.

    BYTES are then empty, or the input's sample. Ragged inputs are as traffic has them at most: of the longest length,
    with a mask of ones.

    Raises:
        ValueError: The golden rows do not fit the signature.
    """
    if ragged is not None:
        return lambda rows: {config.name: _longest(config.spec, rows, ragged) for config in manifest.inputs}
    if not manifest.golden:
        return lambda rows: {
            config.name: _zeros(config.spec, rows, samples.get(config.name, b"")) for config in manifest.inputs
        }
    golden = manifest.golden[0].inputs
    known = {config.name: rows_to_array(golden[config.name], config.spec) for config in manifest.inputs}
    return lambda rows: {name: np.take(array, np.arange(rows) % len(array), axis=0) for name, array in known.items()}


def check_ragged(ragged: RaggedConfig, inputs: Sequence[TensorConfig]) -> None:
    """Check that the inputs which are to be padded, and their mask, can be.

    Raises:
        ConfigError: There is no such input, it is BYTES, or its axis 1 is not free; the message names it.
    """
    known = {config.name: config for config in inputs}
    for name in (*ragged.pad, *([ragged.mask] if ragged.mask is not None else [])):
        config = known.get(name)
        if config is None:
            raise ConfigError(f"batching.ragged names an input {name!r}; the model has {', '.join(known)}")
        if config.shape[1:2] != (-1,) or (name == ragged.mask and len(config.shape) != 2):
            wanted = "[-1, -1]" if name == ragged.mask else "[-1, -1, ...]"
            raise ConfigError(f"batching.ragged: input {name!r} has shape {list(config.shape)}, it must be {wanted}")
        if config.datatype is Datatype.BYTES:
            raise ConfigError(f"batching.ragged: input {name!r} is BYTES, which cannot be padded with a number")


def in_batches(predict: Predict, batching: BatchingConfig) -> Predict:
    """Execute any number of rows as traffic is executed: at most `max_rows` at once, padded to a size allowed."""

    def predict_all(inputs: Tensors) -> Tensors:
        rows, answers = rows_of(inputs), []
        for start in range(0, rows, batching.max_rows):
            stop = min(rows, start + batching.max_rows)
            taken = np.minimum(start + np.arange(batching.executed_rows(stop - start)), stop - 1)
            answer = predict({name: array[taken] for name, array in inputs.items()})
            answers.append({name: array[: stop - start] for name, array in answer.items()})
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    return predict_all


def check_golden(manifest: Manifest, predict: Predict, release: str) -> None:
    """Check that every golden input gives its expected outputs.

    Raises:
        CheckFailed: One does not; the message names the golden's index, the output, the worst difference and the
            tolerance. Integers, booleans and BYTES must be equal, floats within atol + rtol * |expected|.
    """
    for index, golden in enumerate(manifest.golden):
        subject = f"{release}: golden {index}"
        try:
            inputs = {config.name: rows_to_array(golden.inputs[config.name], config.spec) for config in manifest.inputs}
            expected = {
                config.name: rows_to_array(golden.outputs[config.name], config.spec)
                for config in manifest.outputs
                if config.name in golden.outputs
            }
        except ValueError as error:
            raise CheckFailed(subject, str(error)) from None
        answer = predict(inputs)
        for name, wanted in expected.items():
            _compare(subject, name, (answer[name], wanted), golden)


def rows_to_array(rows: Sequence[Any], spec: TensorSpec) -> Array:
    """Nested lists as a tensor of the signature.

    Raises:
        ValueError: The rows have another shape, or elements that are no values of the datatype.
    """
    nested = np.array(rows, dtype=object)
    kinds = _KINDS[spec.datatype.dtype.kind]
    for element in nested.ravel():
        if not isinstance(element, kinds) or (isinstance(element, bool) and bool not in kinds):
            raise ValueError(f"{spec.name!r} has the element {element!r:.80}, which is no {spec.datatype} value")
    array = _bytes_array(nested) if spec.datatype is Datatype.BYTES else _number_array(nested, spec)
    axes = zip(spec.shape[1:], array.shape[1:], strict=False)
    if array.ndim != len(spec.shape) or not array.size or any(want not in (-1, have) for want, have in axes):
        raise ValueError(f"{spec.name!r} has shape {list(array.shape)}, the signature {list(spec.shape)}")
    return array


def _bytes_array(nested: Array) -> Array:
    flat = np.empty(nested.size, dtype=object)
    for index, element in enumerate(nested.ravel()):
        flat[index] = element.encode() if isinstance(element, str) else element
    return flat.reshape(nested.shape)


def _number_array(nested: Array, spec: TensorSpec) -> Array:
    try:
        with np.errstate(over="ignore"):
            array = np.array(nested.tolist(), dtype=spec.datatype.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{spec.name!r} is no {spec.datatype} tensor: {error}") from None
    if spec.datatype.is_float and np.any(np.isinf(array) & np.isfinite(np.array(nested, dtype=np.float64))):
        raise ValueError(f"{spec.name!r} is no {spec.datatype} tensor: a number is outside its range")
    return array


def _zeros(spec: TensorSpec, rows: int, element: bytes = b"") -> Array:
    shape = (rows, *(max(1, axis) for axis in spec.shape[1:]))
    if spec.datatype is Datatype.BYTES:
        return np.full(shape, element, dtype=object)
    return np.zeros(shape, dtype=spec.datatype.dtype)


def _longest(spec: TensorSpec, rows: int, ragged: RaggedConfig) -> Array:
    array = _zeros(spec, rows)
    if spec.name in ragged.pad or spec.name == ragged.mask:
        array = np.repeat(array, ragged.lengths[-1], axis=1)
    return np.ones_like(array) if spec.name == ragged.mask else array


def _compare(subject: str, name: str, pair: tuple[Array, Array], golden: GoldenConfig) -> None:
    actual, expected = pair
    if actual.shape != expected.shape:
        reason = f"output {name!r} has shape {list(actual.shape)}, expected {list(expected.shape)}"
        raise CheckFailed(subject, reason)
    if expected.dtype == object or expected.dtype.kind in "iub":
        if wrong := int(np.count_nonzero(actual != expected)):
            where = np.argwhere(actual != expected)[0]
            got, want = actual[tuple(where)], expected[tuple(where)]
            raise CheckFailed(
                subject,
                f"output {name!r} differs in {wrong} of {expected.size} values (exact match required); "
                f"at {where.tolist()} it is {got}, expected {want}",
            )
        return
    _compare_floats(subject, name, (actual.astype(np.float64), expected.astype(np.float64)), golden)


def _compare_floats(subject: str, name: str, pair: tuple[Array, Array], golden: GoldenConfig) -> None:
    have, want = pair
    if np.any(unlike := np.isnan(have) != np.isnan(want)):
        where = tuple(np.argwhere(unlike)[0].tolist())
        raise CheckFailed(subject, f"output {name!r} at {list(where)} is {have[where]:g}, expected {want[where]:g}")
    if not np.allclose(have, want, atol=golden.atol, rtol=golden.rtol, equal_nan=True):
        with np.errstate(invalid="ignore"):
            worst = float(np.nanmax(np.abs(have - want)))
        raise CheckFailed(
            subject,
            f"output {name!r} differs by up to {worst:g}, allowed is {golden.atol:g} + {golden.rtol:g} * |expected|",
        )
