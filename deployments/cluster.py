"""The data plane's view of Ray Serve: applications as releases, deployment handles as the way to them."""

from __future__ import annotations

import asyncio
import atexit
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any
from weakref import WeakSet

import ray
from ray import serve
from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    WorkerCrashedError,
)
from ray.serve.context import _get_global_client
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from serve_app.data_plane.cluster import ReleaseStatus, status_of_application
from serve_app.data_plane.direct_calls import ConnectionLost, DirectCalls
from serve_app.data_plane.files import sweep
from serve_app.data_plane.nearby import sockets_of_application
from serve_app.data_plane.parcel import Parcel, Post, Replies, goes_by_reference
from serve_app.errors import ReplicaLost
from serve_app.types import Block, BlockReply, ReleaseInfo, ReleaseStatistics

LOST = (
    RayActorError,
    ObjectLostError,
    NodeDiedError,
    WorkerCrashedError,
    OutOfMemoryError,
    LocalRayletDiedError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
"""What a call ends with when its replica, or what it held for the caller, is gone; they have no base of their own."""

STATISTICS_PAUSE_S = 0.1


class RayCluster:
    """Every Serve application of the cluster this process belongs to.

    Attributes:
        stopping: Set once Serve was seen to stop the replica that this process is.
    """

    def __init__(self) -> None:
        sweep()  # what gateways before this one could not remove
        self.stopping = asyncio.Event()
        self._own_id = serve.get_replica_context().replica_id.unique_id
        self._node = ray.get_runtime_context().get_node_id()
        self._sockets: Mapping[str, list[Path]] = {}
        self._clients = WeakSet[HandleClient]()

    async def statuses(self) -> Mapping[str, ReleaseStatus]:
        """Ask the Serve controller once, in a thread, because its client blocks."""
        details = await asyncio.to_thread(_serve_details)
        if self._own_id in _stopping_replicas(details):
            self.stopping.set()
        self._sockets = {
            name: sockets_of_application(name, application["deployments"], self._node)
            for name, application in details["applications"].items()
        }
        for client in self._clients:
            client.call_directly(self._sockets.get(client.release, ()))
        return {
            name: status_of_application(
                name,
                application["status"].value,
                application["message"],
                {
                    deployment: (status["message"], Counter(replica["state"].value for replica in status["replicas"]))
                    for deployment, status in application["deployments"].items()
                },
            )
            for name, application in details["applications"].items()
        }

    def client(self, release: str) -> HandleClient:
        """The way to a release."""
        client = HandleClient(release)
        client.call_directly(self._sockets.get(release, ()))
        self._clients.add(client)
        return client


class HandleClient:
    """Calls one release, or a node of one, over a deployment handle.

    Args:
        release: Name of the application, for errors that of the node.
        handle: None has `describe` get the application's.
    """

    def __init__(self, release: str, handle: DeploymentHandle = None) -> None:
        self.release, self._handle = release, handle
        self._infer: DeploymentHandle = None
        self._direct = DirectCalls()
        self._post = Post()
        atexit.register(self._post.close)

    async def describe(self) -> ReleaseInfo:
        """What the release says about itself; connects first."""
        if self._handle is None:
            self._handle = await asyncio.to_thread(serve.get_app_handle, self.release)
        if self._infer is None:  # once: each reading of it makes a handle; cloudpickle takes thrice as long for a block
            self._infer = self._handle.options(request_serialization="pickle").infer
        info: ReleaseInfo = await self._handle.describe.remote()
        return info

    async def statistics(self) -> ReleaseStatistics:
        """What all its replicas have executed, added up; it waits while Serve changes the only one's `user_config`."""
        while True:
            try:
                parts: list[ReleaseStatistics] = await self._handle.broadcast("statistics").results_async()
            except DeploymentUnavailableError:
                await asyncio.sleep(STATISTICS_PAUSE_S)  # Serve tells nobody when it is back; the caller has a limit
            else:
                return reduce(add, parts)

    async def infer(self, blocks: tuple[Block, ...], reply_bytes: int) -> tuple[BlockReply, ...]:
        """Have a replica execute blocks.

        Raises:
            ReplicaLost: The replica died before it answered.
        """

        async def call(sent: Sequence[Block | Parcel]) -> Replies:
            """Call a replica; a big message goes through Ray's object store."""
            by_reference = goes_by_reference(sent, reply_bytes)
            if not by_reference and (answer := await self._direct.call(sent)) is not None:
                return answer
            infer = self._infer.options(_by_reference=True) if by_reference else self._infer
            response = infer.remote(*sent)
            try:
                replies: Replies = await response
            except asyncio.CancelledError:  # what waits in the replica's queue leaves it; Ray itself would go on
                response.cancel()
                raise
            return replies

        try:
            return await self._post.deliver(blocks, call, reply_bytes)
        except (*LOST, ConnectionLost):
            raise ReplicaLost(self.release) from None

    async def stream(self, block: Block) -> AsyncGenerator[BlockReply, None]:
        """Have a replica answer one request of a decoupled model; closing it stops the work there.

        Raises:
            ReplicaLost: The replica died before the last response.
        """
        handle = self._handle.options(stream=True, _by_reference=goes_by_reference((block,), 0))
        replies = handle.stream.remote(block)
        try:
            async for reply in replies:
                yield reply
        except LOST:
            raise ReplicaLost(self.release) from None
        finally:
            replies.cancel()

    def call_directly(self, sockets: Collection[Path]) -> None:
        """Call the replicas that listen at sockets of this machine; none has all calls go by handle."""
        self._direct.use(sockets)

    def close(self) -> None:
        """Close the connections, and remove what the calls left in shared memory."""
        self._direct.use(())
        self._post.close()
        atexit.unregister(self._post.close)


def _serve_details() -> dict[str, Any]:
    """What `serve.status` reads, without its rebuilding of every deployment's schema.

    That costs the gateway 6 ms of CPU a deployment, each second; this 0.2 ms. Ray is pinned to the minor version.
    """
    details: dict[str, Any] = _get_global_client().get_serve_details()
    return details


def _stopping_replicas(details: dict[str, Any]) -> set[str]:
    return {
        replica["replica_id"]
        for application in details["applications"].values()
        for deployment in application["deployments"].values()
        for replica in deployment["replicas"]
        if replica["state"].value == "STOPPING"
    }
