"""Nodes of a graph on replicas of their own, as the graph's head calls them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from ray.serve.handle import DeploymentHandle

from deployments.cluster import HandleClient
from serve_app.errors import ModelRaised, ServeAppError
from serve_app.graph.calls import Called
from serve_app.graph.plan import NodeModel
from serve_app.runtimes.raised import short_reason
from serve_app.types import Block, BlockEntry, BlockReply, Tensors, rows_of

logger = logging.getLogger("serve_app.graph")


async def connect(release: str, handles: Mapping[str, DeploymentHandle]) -> dict[str, NodeModel]:
    """What a plan executes nodes with, once each of them has a replica that is warm and checked.

    Args:
        release: The graph's.
        handles: Of the nodes' deployments, by name.
    """
    nodes = await asyncio.gather(*(_node(f"{release} node {name}", handle) for name, handle in handles.items()))
    return dict(zip(handles, nodes, strict=True))


async def _node(name: str, handle: DeploymentHandle) -> NodeModel:
    client, loop = HandleClient(name, handle), asyncio.get_running_loop()
    info = await client.describe()
    row_bytes = sum(spec.row_bytes for spec in info.outputs)

    async def call(inputs: Tensors, left_s: float | None) -> Called:
        """In the loop of the handle, waited for in the graph's own."""
        rows = rows_of(inputs)
        block = Block(inputs, (BlockEntry(rows, timeout_s=left_s),))
        work = client.infer((block,), rows * row_bytes)
        try:
            (reply,) = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))
        except ServeAppError:
            raise
        except Exception as error:  # of the way there; who can do without the node then does
            logger.exception("%s could not be called", name)
            raise ModelRaised(name, short_reason(error)) from error
        return _called(reply)

    profile = {rows: ms / 1000 for rows, ms in info.profile.items()}
    return NodeModel(
        info.inputs,
        info.outputs,
        call=call,
        profile=profile,
        version=info.release,
        device=info.device,
        is_ragged=info.is_ragged,
        idempotent=info.idempotent,
    )


def _called(reply: BlockReply) -> Called:
    (result,) = reply.results
    if result.error is not None:
        raise result.error
    return Called(reply.outputs, result.timings)
