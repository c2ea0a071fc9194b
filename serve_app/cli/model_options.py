"""The small languages of the options of `serve-app models add`."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from serve_app.cli.output import CommandError
from serve_app.config.tensors import GoldenConfig, TensorConfig

_MAX_GOLDEN_BYTES = 4 * 2**20
_GOLDEN = TypeAdapter(tuple[GoldenConfig, ...])


def parse_tensor(text: str) -> TensorConfig:
    """A tensor from `NAME:DATATYPE:AXES[:SOURCE]`, such as `pixels:FP32:-1,64`.

    Raises:
        CommandError: The text has another form or a value that a manifest does not take.
    """
    parts = text.split(":", 3)
    try:
        name, datatype, axes = parts[:3]
        document = {"name": name, "datatype": datatype, "shape": [int(axis) for axis in axes.split(",")]}
    except ValueError:
        raise CommandError(f"{text!r} is no tensor; write NAME:DATATYPE:-1,64 or NAME:DATATYPE:-1,64:SOURCE") from None
    try:
        return TensorConfig.model_validate(document | ({"source": parts[3]} if len(parts) > 3 else {}))
    except ValidationError as error:
        raise CommandError(f"{text!r} is no tensor: {_first_fault(error)}") from None


def parse_metric(text: str) -> tuple[str, float]:
    """A metric's name and value from `NAME=NUMBER`.

    Raises:
        CommandError: The text has another form, or the number is not finite.
    """
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or not math.isfinite(number):
        raise CommandError(f"--metric {text!r} must be NAME=NUMBER")
    return name, number


def named_list(text: str) -> tuple[str, tuple[str, ...]]:
    """An output's name and its class names from `OUTPUT=class0,class1`.

    Raises:
        CommandError: The text has another form.
    """
    name, sign, values = text.partition("=")
    if not sign or not name or not values:
        raise CommandError(f"--labels {text!r} must be OUTPUT=class0,class1,...")
    return name, tuple(values.split(","))


def parse_golden(file: Path) -> tuple[GoldenConfig, ...]:
    """Golden checks from a YAML or JSON file: a list of mappings with `inputs` and `outputs`.

    Raises:
        CommandError: The file cannot be read, is longer than 4 MiB, or is no such list.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_GOLDEN_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_GOLDEN_BYTES:
        raise CommandError(f"{file} is longer than {_MAX_GOLDEN_BYTES} bytes")
    try:
        return _GOLDEN.validate_python(_document(data))
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise CommandError(f"{file}: {_first_fault(error)}") from None


def _document(data: bytes) -> object:
    with suppress(ValueError):
        return json.loads(data)  # first: to YAML, JSON's 1e-05 is text
    return yaml.safe_load(data)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    return f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip()
