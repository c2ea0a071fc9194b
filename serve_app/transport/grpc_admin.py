"""The methods of `inference.GRPCInferenceService` that change what is served: load and unload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from google.protobuf.message import Message
from tritonclient.grpc import service_pb2 as pb

from serve_app.data_plane.plane import DataPlane
from serve_app.transport.admin import Admin
from serve_app.transport.triton_pages import check_parameters

Metadata = Sequence[tuple[str, str | bytes]]
"""A call's metadata: what headers are for HTTP. Names that end in `-bin` have bytes."""


class GrpcAdmin:
    """These methods, with the token in the metadata as `authorization: Bearer ...`.

    Args:
        plane: Knows the models.
        admin: The way to the controller.

    Attributes:
        verbs: By the method's name.
    """

    def __init__(self, plane: DataPlane, admin: Admin) -> None:
        self._plane, self._admin = plane, admin
        self.verbs: Mapping[str, Callable[..., Awaitable[Message]]] = {
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }

    async def load(self, message: pb.RepositoryModelLoadRequest, metadata: Metadata) -> pb.RepositoryModelLoadResponse:
        """Deploy what was unloaded; answered once it can be called."""
        self._admin.check_verb(_headers(metadata), "loading a model by a call")
        check_parameters(bool(message.parameters))
        await self._admin.load(self._plane.directory, message.model_name)
        return pb.RepositoryModelLoadResponse()

    async def unload(
        self, message: pb.RepositoryModelUnloadRequest, metadata: Metadata
    ) -> pb.RepositoryModelUnloadResponse:
        """Delete the model's applications until it is loaded again."""
        self._admin.check_verb(_headers(metadata), "unloading a model by a call")
        await self._admin.unload(self._plane.directory, message.model_name)
        return pb.RepositoryModelUnloadResponse()


def _headers(metadata: Metadata) -> dict[str, str]:
    return {name: value for name, value in metadata if isinstance(value, str)}
