"""Blocks through shared memory: the same rows, nothing left over, and inside the messages where it cannot be."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from serve_app.batching.joined import joined, parts_of
from serve_app.data_plane.parcel import (
    BY_REFERENCE_BYTES,
    MOST_FREE,
    Inbox,
    Parcel,
    Post,
    WrittenReply,
    goes_by_reference,
)
from serve_app.types import Block, BlockEntry, BlockReply


def images(rows: int = 16, dtype=np.float32, value: float = 1) -> Block:
    return Block({"x": np.full((rows, 64, 64), value, dtype), "id": np.arange(rows)}, (BlockEntry(rows, "r"),), "g", 7)


class Release:
    """Opens what it gets and answers with a copy of the rows; remembers how they came, and how the answers went."""

    def __init__(self, directory) -> None:
        self.inbox, self.came, self.went = Inbox(directory), [], []

    async def __call__(self, sent):
        sent = pickle.loads(pickle.dumps(sent))  # noqa: S301 - ours
        self.came += [type(one).__name__ for one in sent]
        blocks = self.inbox.open_all(sent)
        if blocks is None:
            return ()
        self.last = blocks[0]
        replies = [
            BlockReply({name: self.output(array) for name, array in block.inputs.items()}, ()) for block in blocks
        ]
        answers = await self.inbox.answered(sent, replies)
        self.went += [type(one).__name__ for one in answers]
        return pickle.loads(pickle.dumps(answers))  # noqa: S301 - ours

    def output(self, array):
        return array.copy()


@pytest.mark.parametrize("reply_bytes", [0, 2**20])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, np.bool_, np.int64])
async def test_every_row_arrives_with_its_owner(tmp_path, dtype, reply_bytes):
    release, post = Release(tmp_path), Post(tmp_path)
    for value in (1, 0):
        sent = images(dtype=dtype, value=value)
        (reply,) = await post.deliver((sent,), release, reply_bytes)
        for name, array in sent.inputs.items():
            assert reply.outputs[name].dtype == array.dtype
            assert np.array_equal(reply.outputs[name], array)
    assert (release.last.entries, release.last.sender, release.last.backlog_rows) == (sent.entries, "g", 7)
    assert release.came == ["Parcel", "Parcel"]
    assert release.went == ["WrittenReply" if reply_bytes else "BlockReply"] * 2


async def test_a_file_is_used_again_and_gone_at_the_end(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    for _ in range(3):
        await post.deliver((images(), images(8)), release)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    post.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_file_is_not_used_again_while_somebody_has_rows_of_its_reply(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)

    async def answer(value):
        (reply,) = await post.deliver((images(value=value),), release, 2**19)
        return reply.outputs["x"][1:2]  # a request's own rows

    kept = [await answer(value) for value in range(3)]
    assert len(list(tmp_path.iterdir())) == 3
    del kept[1]
    kept += [await answer(3)]
    assert len(list(tmp_path.iterdir())) == 3
    assert [rows[0, 0, 0] for rows in kept] == [0, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        kept[0][:] = 7
    post.close()
    assert list(tmp_path.iterdir()) == []
    assert [rows[0, 0, 0] for rows in kept] == [0, 2, 3]
    del kept
    (reply,) = await post.deliver((images(),), release, 2**19)  # not in a file that is gone
    assert reply.outputs["x"][0, 0, 0] == 1
    assert release.came[-1:] == ["Parcel"]


async def test_a_reply_that_has_no_room_goes_inside_the_message(tmp_path):
    class Other(Release):
        def output(self, array):
            return given

    release, post = Other(tmp_path), Post(tmp_path)
    long, short = np.arange(50_000.0), np.arange(3.0)
    texts = np.array([b"x" * 50_000], dtype=object)
    for given, expected_bytes in ((long, 0), (long, 100_000), (short, 400_000), (texts, 400_000)):
        (reply,) = await post.deliver((images(),), release, expected_bytes)
        assert np.array_equal(reply.outputs["x"], given)
    assert release.went == ["BlockReply"] * 4
    given = long
    await post.deliver((images(),), release, 2 * long.nbytes)
    assert release.went[-1] == "WrittenReply"


async def test_a_short_block_whose_reply_is_long_has_room_for_it(tmp_path):
    class Long(Release):
        def output(self, array):
            return np.full((1, 2_000_000), 3.0)

    release, post = Long(tmp_path), Post(tmp_path)
    sent = Block({"x": np.ones((1, 3))}, (BlockEntry(1),))
    (reply,) = await post.deliver((sent,), release, 16_000_000)
    assert (reply.outputs["x"].shape, reply.outputs["x"][0, -1]) == ((1, 2_000_000), 3.0)
    assert release.went == ["WrittenReply"]


async def test_every_block_of_a_call_has_its_own_room(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    blocks = tuple(images(rows, value=rows) for rows in (16, 4))
    replies = await post.deliver(
        blocks, release, sum(array.nbytes for block in blocks for array in block.inputs.values())
    )
    assert [reply.outputs["x"][0, 0, 0] for reply in replies] == [16, 4]
    assert release.went == ["WrittenReply", "WrittenReply"]


async def test_few_files_are_kept_and_a_larger_one_takes_the_place_of_the_smallest(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    everybody = asyncio.Barrier(2 * MOST_FREE)

    async def together(sent):
        await everybody.wait()
        return await release(sent)

    calls = (post.deliver((images(4 + 16 * (count % 2)),), together) for count in range(2 * MOST_FREE))
    await asyncio.gather(*calls)
    assert len(list(tmp_path.iterdir())) == MOST_FREE
    for _ in range(MOST_FREE):
        await post.deliver((images(40),), release)
    sizes = sorted(file.stat().st_size for file in tmp_path.iterdir())
    assert len(sizes) == MOST_FREE
    assert sizes[-1] >= images(40).inputs["x"].nbytes > sizes[-2]  # one, used again


async def test_without_room_for_a_reply_its_block_goes_through_shared_memory_all_the_same(tmp_path, monkeypatch):
    def at_most(file, offset, size):
        if size > 2**20:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("serve_app.data_plane.parcel.os.posix_fallocate", at_most)
    monkeypatch.setattr("serve_app.data_plane.parcel.mmap.mmap", lambda file, size: bytearray(size or 2**20))
    seen: list[Parcel] = []

    async def call(sent):
        seen.extend(sent)
        return (BlockReply({}, ()),)

    await Post(tmp_path).deliver((images(),), call, 2**22)
    assert [(one.name.startswith("serve-app-"), one.room_bytes) for one in seen] == [(True, 0)]


async def test_rows_without_elements_do_not_end_the_use_of_shared_memory(tmp_path):
    release, post = Release(tmp_path), Post(tmp_path)
    nothing = Block({"x": np.ones((1, 0), np.float32)}, (BlockEntry(1),))
    for _ in range(2):
        await post.deliver((nothing, images()), release)
    assert release.came == ["Parcel"] * 4


async def test_a_caller_that_leaves_while_its_block_is_written_leaves_no_file(tmp_path, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()
    post, packed = Post(tmp_path), Post._packed

    def slow(*arguments):
        begun.set()
        may_end.wait(10)
        return packed(*arguments)

    monkeypatch.setattr(Post, "_packed", slow)
    call = asyncio.create_task(post.deliver((images(400),), Release(tmp_path)))
    await asyncio.to_thread(begun.wait, 10)
    call.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert list(tmp_path.iterdir()) == []


def test_names_are_not_those_of_another_process_with_the_same_pid():
    code = "from serve_app.data_plane import parcel; print(next(parcel._numbers))"
    command = [sys.executable, "-c", code]
    names = {subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2)}  # noqa: S603 - ours
    assert len(names) == 2


async def test_nobody_answers_in_the_room_of_a_block_that_was_in_no_parcel(tmp_path):
    async def confused(sent):
        return (WrittenReply((), BlockReply({}, ())),)

    with pytest.raises(TypeError, match="in no parcel"):
        await Post(tmp_path).deliver((Block({"x": np.ones((1, 3))}, (BlockEntry(1),)),), confused)


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
    roomy = replace(parcel, room_bytes=BY_REFERENCE_BYTES)
    assert not goes_by_reference([roomy], BY_REFERENCE_BYTES + 1)
    assert goes_by_reference([roomy, parcel], BY_REFERENCE_BYTES + 1)


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
