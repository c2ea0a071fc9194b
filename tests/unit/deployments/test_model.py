"""The shell of a release's model, without Ray: what it does with a call's parcels."""

from __future__ import annotations

import numpy as np

from deployments.model import Model
from serve_app.data_plane.parcel import Inbox, Post, WrittenReply
from serve_app.types import Block, BlockEntry, BlockReply


class Doubling:
    """Stands in for the server of blocks."""

    async def infer(self, *blocks: Block) -> tuple[BlockReply, ...]:
        """Twice the rows."""
        return tuple(BlockReply({"y": 2 * block.inputs["x"]}, ()) for block in blocks)


class Alone(Model):
    """Without the replica of Serve that its constructor and its end need around them."""

    def __init__(self, directory) -> None:
        self._inbox, self._server = Inbox(directory), Doubling()

    def __del__(self) -> None:
        """Nothing listens."""


async def test_a_long_reply_is_written_where_its_block_came_from(tmp_path):
    release, post, answers = Alone(tmp_path), Post(tmp_path), []

    async def call(sent):
        answers.append(await release.infer(*sent))
        return answers[-1]

    rows = np.full((4, 100_000), 3.0, np.float32)
    (reply,) = await post.deliver((Block({"x": rows}, (BlockEntry(4),)),), call, rows.nbytes)
    assert np.array_equal(reply.outputs["y"], 2 * rows)
    ((written,),) = answers
    assert isinstance(written, WrittenReply)
    assert not written.reply.outputs


async def test_a_file_that_is_not_on_this_machine_is_answered_with_nothing(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    release, answers = Alone(tmp_path / "elsewhere"), []

    async def call(sent):
        answers.append(await release.infer(*sent))
        return answers[-1]

    rows = np.full((4, 100_000), 3.0, np.float32)
    (reply,) = await Post(tmp_path).deliver((Block({"x": rows}, (BlockEntry(4),)),), call, rows.nbytes)
    assert np.array_equal(reply.outputs["y"], 2 * rows)
    assert [len(one) for one in answers] == [0, 1]
