"""`serve-app infer`: one request from a file or the command line, the answer as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from serve_app.cli.channels import DEFAULT_GRPC_ADDRESS, Wire, channel
from serve_app.cli.explanation import explained, say_explanation
from serve_app.cli.infer_request import Given, InputSpec, build_request, given_file, given_json
from serve_app.cli.output import CommandError, errors_reported, say, say_json, say_table
from serve_app.cli.server import DEFAULT_URL, Answer
from serve_app.datatypes import Datatype

Schema = TypeVar("Schema", bound=BaseModel)

MAX_SHOWN_ROWS = 50
MAX_SHOWN_VALUES = 8


class _Labels(BaseModel):
    labels: tuple[str, ...] = ()


class _TensorMetadata(BaseModel):
    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: _Labels = _Labels()


class _Metadata(BaseModel):
    inputs: tuple[_TensorMetadata, ...]
    outputs: tuple[_TensorMetadata, ...]


class _Output(BaseModel):
    name: str
    shape: tuple[NonNegativeInt, ...] = Field(min_length=1)
    data: list[object]

    def rows(self) -> list[list[object]]:
        """The values of each row that is shown, whether the server nested them or not.

        Raises:
            CommandError: There are more or fewer values than the shape says.
        """
        flat = _flat(self.data)
        if len(flat) != math.prod(self.shape):
            shape = list(self.shape)
            raise CommandError(f"the answer's output {self.name!r} has shape {shape} and {len(flat)} values")
        size = math.prod(self.shape[1:])
        return [flat[row * size : (row + 1) * size] for row in range(min(self.shape[0], MAX_SHOWN_ROWS))]


class _Answered(BaseModel):
    explanation: str = ""


class _Reply(BaseModel):
    model_version: str = ""
    parameters: _Answered = _Answered()
    outputs: tuple[_Output, ...]


def infer(  # noqa: PLR0913 - every option of a command is a parameter
    model: Annotated[str, typer.Argument(help="A served model.")],
    *,
    version: Annotated[str | None, typer.Option(help="A version tag or label; else the traffic split decides.")] = None,
    protocol: Annotated[
        Wire, typer.Option(help="How the tensors travel: as JSON, as bytes, or over gRPC.")
    ] = Wire.REST,
    url: Annotated[
        str | None,
        typer.Option(
            help=f"Where the server answers; with grpc host:port.  [default: {DEFAULT_URL}, {DEFAULT_GRPC_ADDRESS}]"
        ),
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Rows in a .npy, .csv or .json file, or a V2 request.")] = None,
    data: Annotated[str | None, typer.Option(help="Rows as JSON, e.g. '[[1, 2], [3, 4]]'.")] = None,
    input_name: Annotated[str | None, typer.Option("--input", help="Which input the rows are for.")] = None,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for an answer, in seconds.")] = 30.0,
    explain: Annotated[bool, typer.Option("--explain", help="Show what was done for it, node by node.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the server's JSON.")] = False,
) -> None:
    """Send one inference request and show the answer."""
    with errors_reported():
        given = _given(file, data)
        with channel(protocol, url, timeout_s, model, version) as way:
            metadata = _read(_Metadata, way.describe())
            inputs = [InputSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in metadata.inputs]
            request = build_request(given, inputs, input_name)
            answer = way.infer(explained(request) if explain else request)
        if as_json:
            say_json(answer.document)
            return
        reply = _read(_Reply, answer)
        labels = {tensor.name: tensor.parameters.labels for tensor in metadata.outputs}
        say_table(["row", *(output.name for output in reply.outputs)], _rows(reply, labels))
        if any(output.shape[0] > MAX_SHOWN_ROWS for output in reply.outputs):
            say(f"these are the first {MAX_SHOWN_ROWS} rows; --json shows all")
        if explain:
            say_explanation(reply.parameters.explanation)
        say(_summary(model, reply, answer.headers))


def _given(file: Path | None, data: str | None) -> Given:
    if (file is None) == (data is None):
        raise CommandError("give the rows with either --file or --data")
    return given_file(file) if file is not None else given_json(data or "", "--data")


def _read(schema: type[Schema], answer: Answer) -> Schema:
    try:
        return schema.model_validate(answer.document)
    except ValidationError:
        raise CommandError("the server's answer is not one that this command can read; --json shows it") from None


def _rows(reply: _Reply, labels: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    columns = [[_cell(row, labels.get(output.name, ())) for row in output.rows()] for output in reply.outputs]
    for number, cells in enumerate(zip(*columns, strict=False)):
        yield [str(number), *cells]


def _cell(values: list[object], labels: tuple[str, ...]) -> str:
    """One row of one output: the class it names, the likeliest class of its scores, or its values."""
    if labels and len(values) == 1 and isinstance(values[0], int) and 0 <= values[0] < len(labels):
        return f"{values[0]} ({labels[values[0]]})" if labels[values[0]] != str(values[0]) else str(values[0])
    scores = [value for value in values if isinstance(value, float | int)]
    if labels and len(scores) == len(values) == len(labels):
        best = max(range(len(scores)), key=scores.__getitem__)
        return f"{labels[best]}: {scores[best]:.4g}"
    shown = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in values[:MAX_SHOWN_VALUES])
    return shown if len(values) <= MAX_SHOWN_VALUES else f"{shown}, ... ({len(values)} values)"


def _summary(model: str, reply: _Reply, headers: Mapping[str, str]) -> str:
    version = headers.get("x-model-version", reply.model_version) or "unknown"
    parts = [f"model {model}", f"version {version}"]
    if request_id := headers.get("x-request-id"):
        parts.append(f"request {request_id}")
    if timing := headers.get("server-timing"):
        parts.append(f"timing (ms) {timing}")
    return ", ".join(parts)


def _flat(data: list[object]) -> list[object]:
    flat: list[object] = []
    for item in data:
        if isinstance(item, list):
            flat += _flat(item)
        else:
            flat.append(item)
    return flat
