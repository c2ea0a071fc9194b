"""Blocks that travel through shared memory: on one machine that saves the copies that a big message is made of.

The gateway writes a block's tensors to a file in memory that only its own user can read, and sends the file's name; the
release maps it, computes on the very pages, and writes a long reply into the room that the gateway left behind them.
Files are used again once the call is over and nobody has the reply's tensors any more, so that their pages are there
already. Where the release runs on another machine there is no such file; it says so, and blocks go inside the messages
again.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import mmap
import os
import re
import secrets
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from serve_app.batching.joined import parts_of
from serve_app.data_plane.files import DIRECTORY, PREFIX, name_of
from serve_app.types import Array, Block, BlockReply, nbytes_of

BY_REFERENCE_BYTES = 2**20  # below it a handle call's own message is faster, above it Ray's object store
SHORTEST_BYTES = 2**15  # below it a message is as fast; of a block, and of a reply
MOST_FREE, MOST_MAPPED = 8, 64  # files kept for the next call, by a gateway for each release; by a release
IN_LOOP_BYTES = 2**22  # written in the event loop, which a call of several requests never exceeds; more is in a thread
SLACK_BYTES = 2**12  # of a reply's room, since each tensor begins at a multiple of `_ALIGNMENT`
RETRY_S = 60.0  # until a release that has no such file is tried again
_T = TypeVar("_T")
_NAME = re.compile(rf"{PREFIX}\d+-\d+")
_ALIGNMENT = 64

Place = tuple[str, str, tuple[int, ...], int]
"""Name, dtype, shape and offset in bytes of a tensor in a file."""

Layout = tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A block whose tensors are in a file.

    Attributes:
        name: Of the file.
        tensors: Where they are.
        block: The rest of the block.
        room_at: Offset of the room for the reply's tensors.
        room_bytes: Its size; 0 if they are to travel inside the message.
    """

    name: str
    tensors: Layout
    block: Block
    room_at: int = 0
    room_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WrittenReply:
    """A reply whose outputs are in the room of the parcel that it answers.

    Attributes:
        tensors: Where they are.
        reply: The rest of the reply.
    """

    tensors: Layout
    reply: BlockReply


Replies = tuple[BlockReply | WrittenReply, ...]
Call = Callable[[Sequence[Block | Parcel]], Awaitable[Replies]]
"""Carries blocks or parcels to a release; no replies at all say that a parcel's file is not there."""


class Post:
    """Sends blocks to one release, through shared memory where that works.

    Args:
        directory: A file system in memory; where there is none, everything goes inside the messages.
        clock: Seconds from any origin, monotonic.
    """

    def __init__(self, directory: Path = DIRECTORY, clock: Callable[[], float] = time.perf_counter) -> None:
        self._directory, self._clock = directory, clock
        self._not_before = 0.0 if directory.is_dir() else float("inf")
        self._files: dict[str, _Pages] = {}
        self._free: list[_Pages] = []
        self._taking = threading.Lock()
        # Any thread may be the last that has a reply, also one that holds the lock: so this is changed without it.
        self._returned = dict[str, _Pages]()

    async def deliver(self, blocks: tuple[Block, ...], call: Call, reply_bytes: int = 0) -> tuple[BlockReply, ...]:
        """Have `call` carry the blocks, as parcels if they or the replies are big enough for it.

        Args:
            blocks: For the release.
            call: As its type says.
            reply_bytes: About how many the replies' outputs will have.

        Returns:
            The replies; outputs may be read-only views of shared memory.
        """
        nbytes = sum(nbytes_of(part) for block in blocks for part in parts_of(block.inputs))
        if self._clock() < self._not_before or max(nbytes, reply_bytes) < SHORTEST_BYTES:
            return _without_parcels(await call(blocks))
        used: list[_Pages] = []
        replies: Replies = ()
        try:
            in_loop = nbytes + reply_bytes <= IN_LOOP_BYTES
            sent = [
                self._packed(block, room, used) if in_loop else await _in_thread(self._packed, block, room, used)
                for block, room in zip(blocks, _rooms(blocks, reply_bytes), strict=True)
            ]
            replies = await call(sent)
            if replies:
                return tuple(map(partial(self._opened, {pages.name: pages for pages in used}), sent, replies))
        except OSError:  # the file system is full or not ours to write to
            self._not_before = self._clock() + RETRY_S
        finally:
            for pages in used:
                if not replies:  # after a call that failed the release may still be at work on them
                    self._remove(pages)
                elif pages.reader is None:
                    self._give_back(pages)
        self._not_before = self._clock() + RETRY_S
        return _without_parcels(await call(blocks))

    def close(self) -> None:
        """Remove the files; replies that somebody still has remain readable."""
        while self._files:
            self._files.popitem()[1].remove()

    def _opened(self, used: Mapping[str, _Pages], sent: Block | Parcel, reply: BlockReply | WrittenReply) -> BlockReply:
        """The reply with views of its file as its outputs; the file is free once all of them are gone."""
        if isinstance(reply, BlockReply) or isinstance(sent, Block):
            return _inside(reply)
        pages = used[sent.name]
        whole = np.frombuffer(pages.memory, np.uint8)
        whole.flags.writeable = False

        def returned(reader: weakref.ref[Array]) -> None:
            pages.reader = None
            self._give_back(pages)

        pages.reader = weakref.ref(whole, returned)
        return replace(reply.reply, outputs=_views(whole, reply.tensors))

    def _packed(self, block: Block, room_bytes: int, used: list[_Pages]) -> Block | Parcel:
        """The block as a parcel; as it is if it has texts, which are not bytes in a row.

        Raises:
            OSError: There is no room for a file.
        """
        parts = {name: [part[name] for part in parts_of(block.inputs)] for name in block.inputs}
        if any(arrays[0].dtype == object for arrays in parts.values()):
            return block
        size = sum(_aligned(sum(array.nbytes for array in arrays)) for arrays in parts.values())
        try:
            pages = self._taken(size + room_bytes)
        except OSError:
            if not room_bytes:
                raise
            room_bytes = 0  # the inputs alone may fit
            pages = self._taken(size)
        used.append(pages)
        whole = np.frombuffer(pages.memory, np.uint8)
        tensors: list[Place] = []
        offset = 0
        for name, arrays in parts.items():
            first = arrays[0]
            shape = (sum(len(array) for array in arrays), *first.shape[1:])
            view = _view(whole, first.dtype, shape, offset)
            np.concatenate(arrays, out=view)
            tensors.append((name, _dtype_name(first), shape, offset))
            offset += _aligned(view.nbytes)
        return Parcel(pages.name, tuple(tensors), replace(block, inputs={}), size, room_bytes)

    def _taken(self, size: int) -> _Pages:
        """A free file that is big enough, else a new one.

        Raises:
            OSError: There is no room for it.
        """
        with self._taking:
            while self._returned:
                name, pages = self._returned.popitem()
                if name in self._files:  # not closed meanwhile
                    self._free.append(pages)
            self._free.sort(key=len)
            found = next((pages for pages in self._free if len(pages) >= size), None)
            if found is not None:
                self._free.remove(found)
            elif len(self._free) >= MOST_FREE:  # the smallest makes room for one that is of more use
                self._remove(self._free.pop(0))
        if found is None:
            found = _Pages(self._directory, _in_few_sizes(max(size, 1)))
            self._files[found.name] = found
        return found

    def _give_back(self, pages: _Pages) -> None:
        if len(self._free) + len(self._returned) < MOST_FREE:
            self._returned[pages.name] = pages
        else:
            self._remove(pages)

    def _remove(self, pages: _Pages) -> None:
        self._files.pop(pages.name, None)
        pages.remove()


async def _in_thread(work: Callable[..., _T], *arguments: object) -> _T:
    """What `work` gives in a thread; a cancelled caller waits for its end, since it uses what is then removed."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _rooms(blocks: Sequence[Block], reply_bytes: int) -> list[int]:
    """Bytes of room for each block's reply: its rows' share, where that is too long for a message."""
    rows = max(1, sum(block.rows for block in blocks))
    shares = (-(-reply_bytes * block.rows // rows) for block in blocks)
    return [_aligned(share + SLACK_BYTES) if share >= SHORTEST_BYTES else 0 for share in shares]


def _without_parcels(replies: Replies) -> tuple[BlockReply, ...]:
    return tuple(map(_inside, replies))


def _inside(reply: BlockReply | WrittenReply) -> BlockReply:
    """A reply to a block that was inside the message: nothing else can answer it."""
    if isinstance(reply, WrittenReply):
        raise TypeError("a block that was in no parcel is answered in the room of one")
    return reply


def goes_by_reference(sent: Sequence[Block | Parcel], reply_bytes: int) -> bool:
    """Whether a call, or its reply of about so many bytes where it has no room, is too big for its own messages."""
    inside = sum(nbytes_of(one.inputs) for one in sent if isinstance(one, Block))
    have_room = all(isinstance(one, Parcel) and one.room_bytes for one in sent)
    return max(inside, 0 if have_room else reply_bytes) > BY_REFERENCE_BYTES


class Inbox:
    """Opens a release's parcels and answers in their room; keeps the files mapped, because they come again."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._mapped: OrderedDict[str, Array] = OrderedDict()

    def open_all(self, sent: Sequence[Block | Parcel]) -> list[Block] | None:
        """The blocks that were sent; None if the file of one of them is not on this machine."""
        opened = [block for one in sent if (block := self.open(one)) is not None]
        return opened if len(opened) == len(sent) else None

    def open(self, sent: Block | Parcel) -> Block | None:
        """The block in a parcel, with read-only views of the shared pages as its tensors; None without its file."""
        if isinstance(sent, Block):
            return sent
        memory = self._memory(sent.name)
        if memory is None:
            return None
        readable = memory.view()
        readable.flags.writeable = False
        return replace(sent.block, inputs=_views(readable, sent.tensors))

    async def answered(self, sent: Sequence[Block | Parcel], replies: Sequence[BlockReply]) -> Replies:
        """The replies to what was sent, in the room that there is for them."""
        answers = list[BlockReply | WrittenReply]()
        for one, reply in zip(sent, replies, strict=True):
            memory = self._memory(one.name) if isinstance(one, Parcel) and one.room_bytes else None
            layout = None if memory is None or isinstance(one, Block) else _layout(reply, one.room_at, one.room_bytes)
            if memory is None or layout is None:
                answers.append(reply)
                continue
            if nbytes_of(reply.outputs) > IN_LOOP_BYTES:
                await asyncio.to_thread(_write, reply, memory, layout)
            else:
                _write(reply, memory, layout)
            answers.append(WrittenReply(layout, replace(reply, outputs={})))
        return tuple(answers)

    def _memory(self, name: str) -> Array | None:
        """The bytes of a file; None if it is not on this machine."""
        memory = self._mapped.get(name)
        if memory is None:
            memory = self._map(name)
        if memory is not None:
            self._mapped.move_to_end(name)
        return memory

    def _map(self, name: str) -> Array | None:
        if not _NAME.fullmatch(name):
            return None
        try:
            with (self._directory / name).open("r+b") as file:
                memory: Array = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint8)
        except OSError:
            return None
        self._mapped[name] = memory
        if len(self._mapped) > MOST_MAPPED:
            self._mapped.popitem(last=False)  # its pages go with the last array that shows them
        return memory


def _layout(reply: BlockReply, at: int, room_bytes: int) -> Layout | None:
    """Where the outputs go; None if they are short, do not fit or are texts: then they travel inside the message."""
    if any(array.dtype == object for array in reply.outputs.values()) or nbytes_of(reply.outputs) < SHORTEST_BYTES:
        return None
    layout, offset = list[Place](), at
    for name, array in reply.outputs.items():
        layout.append((name, _dtype_name(array), array.shape, offset))
        offset += _aligned(array.nbytes)
    return tuple(layout) if offset <= at + room_bytes else None


def _write(reply: BlockReply, memory: Array, layout: Layout) -> None:
    for (_, view), array in zip(_views(memory, layout).items(), reply.outputs.values(), strict=True):
        np.copyto(view, array)


_numbers = itertools.count(secrets.randbits(48))  # a process of the same pid, on another machine or before, has others


class _Pages:
    """A file in memory, mapped for writing; its room is taken beforehand, since a full file system would end us later.

    Attributes:
        reader: Who has the reply in it; None if nobody has.

    Raises:
        OSError: There is no room.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self.reader: weakref.ref[Array] | None = None
        self.name = name_of(os.getpid(), next(_numbers))
        self._path = directory / self.name
        file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.posix_fallocate(file, 0, size)
            self.memory = mmap.mmap(file, size)
        except BaseException:
            self.remove()
            raise
        finally:
            os.close(file)

    def __len__(self) -> int:
        return len(self.memory)

    def remove(self) -> None:
        """Give the file up; whoever has it mapped may go on reading."""
        self._path.unlink(missing_ok=True)


def _views(memory: Array, layout: Layout) -> dict[str, Array]:
    return {name: _view(memory, np.dtype(dtype), shape, offset) for name, dtype, shape, offset in layout}


def _view(memory: Array, dtype: np.dtype[np.generic], shape: tuple[int, ...], offset: int) -> Array:
    """Numbers among the bytes of a file, whose array lives as long as all of its views."""
    return memory[offset : offset + dtype.itemsize * math.prod(shape)].view(dtype).reshape(shape)


def _in_few_sizes(size: int) -> int:
    """The size of a file for so many bytes: up to a quarter more, so that the next one may be somewhat longer."""
    step = max(SHORTEST_BYTES, (1 << size.bit_length()) // 8)
    return -(-size // step) * step


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _dtype_name(array: Array) -> str:
    return array.dtype.str if array.dtype.kind != "V" else array.dtype.name
