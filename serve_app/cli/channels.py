"""The protocols that a request can be sent by: a V2 JSON request goes in, a V2 JSON answer comes out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from serve_app.cli.output import CommandError
from serve_app.cli.server import DEFAULT_URL, Answer, Server, model_path
from serve_app.datatypes import Datatype
from serve_app.protocol import binary_tensor
from serve_app.protocol.v2_binary import LENGTH_FIELD
from serve_app.types import Array

if TYPE_CHECKING:
    import grpc
    from tritonclient.grpc import service_pb2 as pb

DEFAULT_GRPC_ADDRESS = "127.0.0.1:9000"
_SIZE, _BINARY = "binary_data_size", "binary_data_output"


class Wire(StrEnum):
    """How a request travels."""

    REST = "rest"
    BINARY = "binary"
    GRPC = "grpc"


class Channel(Protocol):
    """The way to one model of a server."""

    def describe(self) -> Answer:
        """Its V2 metadata.

        Raises:
            CommandError: Nobody answers, or the answer is an error.
        """

    def infer(self, request: Mapping[str, object]) -> Answer:
        """The answer to a V2 JSON request.

        Raises:
            CommandError: As above, or the request's tensors are none.
        """


def channel(
    wire: Wire, url: str | None, timeout_s: float, model: str, version: str | None
) -> AbstractContextManager[Channel]:
    """The way to a model, closed at the end.

    Args:
        wire: The protocol.
        url: Of an HTTP server, or `host:port` of a gRPC one; None for the usual one on this machine.
        timeout_s: Longest wait for an answer.
        model: A served model.
        version: A version tag or label; None leaves it to the traffic split.
    """
    if wire is Wire.GRPC:
        return GrpcChannel(url or DEFAULT_GRPC_ADDRESS, timeout_s, model, version or "")
    server = Server(url or DEFAULT_URL, timeout_s)
    kind = BinaryChannel if wire is Wire.BINARY else RestChannel
    return kind(server, model_path(model, version))


class RestChannel:
    """V2 with tensors as JSON."""

    def __init__(self, server: Server, path: str) -> None:
        self._server, self._path = server, path

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, traceback)

    def describe(self) -> Answer:
        """The model's metadata."""
        return self._server.get(self._path)

    def infer(self, request: Mapping[str, object]) -> Answer:
        """Send the request as it is."""
        return self._server.post(f"{self._path}/infer", request)


class BinaryChannel(RestChannel):
    """V2 with tensors as bytes behind the JSON, both ways."""

    def infer(self, request: Mapping[str, object]) -> Answer:
        """Send the tensors as bytes."""
        tensors = _tensors(request)
        parts = [bytes(binary_tensor.from_array(tensor.array(), tensor.datatype)) for tensor in tensors]
        inputs = [tensor.head({_SIZE: len(part)}) for tensor, part in zip(tensors, parts, strict=True)]
        given = request.get("parameters")
        parameters = {**(given if isinstance(given, Mapping) else {}), _BINARY: True}
        head = orjson.dumps({**request, "inputs": inputs, "parameters": parameters})
        headers = {LENGTH_FIELD: str(len(head)), "content-type": "application/octet-stream"}
        content, answered = self._server.post_bytes(f"{self._path}/infer", b"".join([head, *parts]), headers)
        return Answer(_document(content, answered.get(LENGTH_FIELD)), answered)


class GrpcChannel:
    """V2 over gRPC; needs the `cluster` extra."""

    def __init__(self, address: str, timeout_s: float, model: str, version: str) -> None:
        try:
            import grpc  # noqa: PLC0415 - only who asks for it needs it
            from tritonclient.grpc import service_pb2, service_pb2_grpc  # noqa: PLC0415 - as above
        except ImportError:
            raise CommandError("gRPC needs more packages: pip install 'serve-app[cluster]'") from None
        self._grpc, self._pb = grpc, service_pb2
        self._address, self._timeout_s, self._model, self._version = address, timeout_s, model, version
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self._closing = ExitStack()
        channel = self._closing.enter_context(grpc.insecure_channel(address, unlimited))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def describe(self) -> Answer:
        """The model's metadata, which has no names of classes here."""
        request = self._pb.ModelMetadataRequest(name=self._model, version=self._version)
        message, headers = self._call(self._stub.ModelMetadata, request)
        tensors = {
            side: [{"name": item.name, "datatype": item.datatype, "shape": list(item.shape)} for item in items]
            for side, items in (("inputs", message.inputs), ("outputs", message.outputs))
        }
        return Answer({"name": message.name, "versions": list(message.versions), **tensors}, headers)

    def infer(self, request: Mapping[str, object]) -> Answer:
        """Send the tensors as bytes."""
        message = self._pb.ModelInferRequest(model_name=self._model, model_version=self._version)
        message.id = str(request.get("id", ""))
        self._set_parameters(message, request.get("parameters"))
        for tensor in _tensors(request):
            message.inputs.add(name=tensor.name, datatype=tensor.datatype.value, shape=tensor.shape)
            message.raw_input_contents.append(bytes(binary_tensor.from_array(tensor.array(), tensor.datatype)))
        outputs = request.get("outputs")
        for item in outputs if isinstance(outputs, list) else []:
            self._set_parameters(message.outputs.add(name=str(item.get("name"))), item.get("parameters"))
        response, headers = self._call(self._stub.ModelInfer, message)
        answered = [
            _output(item.name, item.datatype, list(item.shape), memoryview(raw))
            for item, raw in zip(response.outputs, response.raw_output_contents, strict=True)
        ]
        document: dict[str, object] = {"model_name": response.model_name, "model_version": response.model_version}
        if response.id:
            document["id"] = response.id
        if response.parameters:
            document["parameters"] = {name: said.string_param for name, said in response.parameters.items()}
        return Answer({**document, "outputs": answered}, headers)

    def _call(self, method: grpc.UnaryUnaryMultiCallable, message: object) -> tuple[Any, Mapping[str, str]]:
        try:
            response, call = method.with_call(message, timeout=self._timeout_s)
        except self._grpc.RpcError as error:
            raise CommandError(f"{error.details()} (gRPC {error.code().name}, {self._address})") from None
        return response, dict(call.trailing_metadata() or ())

    def _set_parameters(self, message: pb.ModelInferRequest, parameters: object) -> None:
        for name, value in parameters.items() if isinstance(parameters, Mapping) else ():
            kind = {bool: "bool_param", int: "int64_param", float: "double_param"}.get(type(value), "string_param")
            setattr(message.parameters[name], kind, value if kind != "string_param" else str(value))


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str
    datatype: Datatype
    shape: tuple[NonNegativeInt, ...]
    data: list[object]

    def array(self) -> Array:
        """The elements in their dtype."""
        try:
            if self.datatype is not Datatype.BYTES:
                return np.array(self.data, dtype=self.datatype.dtype).reshape(self.shape)
            elements = [item.encode() if isinstance(item, str) else item for item in np.ravel(_objects(self.data))]
            return np.array(elements, dtype=object).reshape(self.shape)
        except (ValueError, TypeError, OverflowError) as error:
            raise CommandError(f"input {self.name!r} is no {self.datatype} tensor: {error}") from None

    def head(self, parameters: Mapping[str, object]) -> dict[str, object]:
        """The tensor without its data."""
        given = (self.model_extra or {}).get("parameters")
        merged = {**(given if isinstance(given, Mapping) else {}), **parameters}
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape, "parameters": merged}


class _Request(BaseModel):
    inputs: list[_Tensor]


def _tensors(request: Mapping[str, object]) -> list[_Tensor]:
    try:
        return _Request.model_validate(request).inputs
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise CommandError(f"the request cannot be sent in binary form: {where}: {fault['msg']}") from None


def _objects(data: list[object]) -> Array:
    return np.array(data, dtype=object)


def _document(content: bytes, json_length: str | None) -> object:
    """A V2 answer with its binary outputs as lists."""
    try:
        length = int(json_length) if json_length else len(content)
        document = orjson.loads(content[:length])
        section = binary_tensor.BinarySection(memoryview(content)[length:])
        for item in document["outputs"]:
            if size := item.get("parameters", {}).pop(_SIZE, None):
                item.update(_output(item["name"], item["datatype"], item["shape"], section.take(size, item["name"])))
            if not item.get("parameters", True):
                del item["parameters"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CommandError(f"the server's answer is not V2 binary: {error}") from None
    return document


def _output(name: str, datatype: str, shape: list[int], raw: memoryview) -> dict[str, object]:
    array = binary_tensor.to_array(raw, Datatype(datatype), shape, f"output {name!r}")
    values = [item.decode(errors="replace") if isinstance(item, bytes) else item for item in array.ravel().tolist()]
    return {"name": name, "datatype": datatype, "shape": shape, "data": values}
