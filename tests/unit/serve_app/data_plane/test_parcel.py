"""Blocks through shared memory: the same rows, nothing left over, and inside the messages where it cannot be."""

from __future__ import annotations

import asyncio
import pickle

import ml_dtypes
import numpy as np
import pytest

from serve_app.batching.joined import joined, parts_of
from serve_app.data_plane.parcel import BY_REFERENCE_BYTES, Inbox, Parcel, Post, goes_by_reference
from serve_app.types import Block, BlockEntry, BlockReply


def images(rows: int = 16, dtype=np.float32, value: float = 1) -> Block:
    return Block({"x": np.full((rows, 64, 64), value, dtype), "id": np.arange(rows)}, (BlockEntry(rows, "r"),), "g", 7)


class Release:
    """Opens what it gets and answers with a copy of the rows; remembers how they came."""

    def __init__(self, directory) -> None:
        self.inbox, self.came = Inbox(directory), []

    async def __call__(self, sent):
        sent = pickle.loads(pickle.dumps(sent))  # noqa: S301 - ours
        self.came += [type(one).__name__ for one in sent]
        blocks = self.inbox.open_all(sent)
        if blocks is None:
            return ()
        self.last = blocks[0]
        return tuple(BlockReply({name: array.copy() for name, array in block.inputs.items()}, ()) for block in blocks)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.bool_, np.int64])
async def test_every_row_arrives_with_its_owner(tmp_path, dtype):
    release, post = Release(tmp_path), Post(tmp_path)
    for value in (1, 0):
        sent = images(dtype=dtype, value=value)
        (reply,) = await post.deliver((sent,), release)
        for name, array in sent.inputs.items():
            assert reply.outputs[name].dtype == array.dtype
            assert np.array_equal(reply.outputs[name], array)
    assert (release.last.entries, release.last.sender, release.last.backlog_rows) == (sent.entries, "g", 7)
    assert release.came == ["Parcel", "Parcel"]


async def test_a_file_is_used_again_and_gone_at_the_end(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    for _ in range(3):
        await post.deliver((images(), images(8)), release)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    post.close()
    assert list(tmp_path.iterdir()) == []


async def test_rows_of_several_requests_are_joined_in_the_file_itself(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    requests = [dict(images(rows, value=rows).inputs) for rows in (1, 2)]
    inputs = joined(requests)
    (reply,) = await post.deliver((Block(inputs, (BlockEntry(1), BlockEntry(2))),), release)
    assert release.came == ["Parcel"]
    assert len(parts_of(inputs)) == 2  # nobody has joined them before
    assert reply.outputs["x"][:, 0, 0].tolist() == [1, 2, 2]
    assert reply.outputs["id"].tolist() == [0, 0, 1]


async def test_small_blocks_and_texts_go_inside_the_message(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    texts = Block({"t": np.array([b"x" * 50_000], dtype=object)}, (BlockEntry(1),))
    await post.deliver((Block({"x": np.ones((1, 3))}, (BlockEntry(1),)),), release)
    await post.deliver((texts,), release)
    assert release.came == ["Block", "Block"]


async def test_a_release_elsewhere_is_sent_messages_and_asked_again_later(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    now = [0.0]
    release, post = Release(tmp_path / "elsewhere"), Post(tmp_path, clock=lambda: now[0])
    for now[0] in (1.0, 2.0, 62.0):
        (reply,) = await post.deliver((images(),), release)
        assert len(reply.outputs["id"]) == 16
    assert release.came == ["Parcel", "Block", "Block", "Parcel", "Block"]
    assert [file.name for file in tmp_path.iterdir()] == ["elsewhere"]


async def test_a_call_that_fails_leaves_no_file_that_is_used_again(tmp_path):
    async def lost(sent):
        raise ConnectionResetError("gone") if isinstance(sent[0], Block) else RuntimeError("gone")

    with pytest.raises(RuntimeError):
        await Post(tmp_path).deliver((images(),), lost)
    assert list(tmp_path.iterdir()) == []


async def test_without_room_everything_goes_inside_the_messages(tmp_path):
    release = Release(tmp_path)
    post = Post(tmp_path / "none")
    await post.deliver((images(),), release)
    full = Post(tmp_path)
    tmp_path.rmdir()  # opening a file fails as on a full file system
    await full.deliver((images(),), release)
    assert release.came == ["Block", "Block"]


def test_no_name_leads_out_of_the_directory(tmp_path):
    (tmp_path / "secret").write_bytes(b"x" * 100)
    (tmp_path / "shm").mkdir()
    inbox = Inbox(tmp_path / "shm")
    for name in ("../secret", "serve-app-1-1/../../secret", "secret"):
        assert inbox.open(Parcel(name, (("x", "|u1", (1,), 0),), images())) is None


def test_what_is_big_goes_by_reference_unless_it_is_in_a_parcel():
    big = Block({"x": np.ones(BY_REFERENCE_BYTES + 1, np.uint8)}, (BlockEntry(1),))
    parcel = Parcel("serve-app-1-1", (), Block({}, (BlockEntry(1),)))
    assert [goes_by_reference([one], 0) for one in (big, parcel, images(1))] == [True, False, False]
    assert goes_by_reference([parcel], BY_REFERENCE_BYTES + 1)


async def test_large_blocks_are_written_in_threads_each_to_a_file_of_its_own(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    await post.deliver((images(160),), release)  # leaves a file to be used again
    all_sent = asyncio.Barrier(4)

    async def together(sent):
        await all_sent.wait()
        return await release(sent)

    blocks = [images(160, value=value) for value in range(4)]
    answers = await asyncio.gather(*(post.deliver((block,), together) for block in blocks))
    for block, (reply,) in zip(blocks, answers, strict=True):
        np.testing.assert_array_equal(reply.outputs["x"], block.inputs["x"])
    assert len(list(tmp_path.iterdir())) == 4
