"""Blocks that travel through shared memory: on one machine that saves the copies that a big message is made of.

The gateway writes a block's tensors to a file in memory that only its own user can read, and sends the file's name; the
release maps it and computes on the very pages. Files are used again once the call is over, so that their pages are
there already. Where the release runs on another machine there is no such file; it says so, and blocks go inside the
messages again.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import mmap
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from serve_app.batching.joined import parts_of
from serve_app.data_plane.files import DIRECTORY, PREFIX, name_of
from serve_app.types import Array, Block, BlockReply, nbytes_of

BY_REFERENCE_BYTES = 2**20  # below it a handle call's own message is faster, above it Ray's object store
SHORTEST_BYTES = 2**15  # below it a message is as fast
MOST_FREE, MOST_MAPPED = 8, 64  # files kept for the next call, by a gateway for each release; by a release
IN_LOOP_BYTES = 2**22  # written in the event loop, which a call of several requests never exceeds; more is in a thread
RETRY_S = 60.0  # until a release that has no such file is tried again
_NAME = re.compile(rf"{PREFIX}\d+-\d+")
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Parcel:
    """A block whose tensors are in a file.

    Attributes:
        name: Of the file.
        tensors: Name, dtype, shape and offset in bytes of each tensor.
        block: The rest of the block.
    """

    name: str
    tensors: tuple[tuple[str, str, tuple[int, ...], int], ...]
    block: Block


Call = Callable[[Sequence[Block | Parcel]], Awaitable[tuple[BlockReply, ...]]]
"""Carries blocks or parcels to a release; an empty reply says that a parcel's file is not there."""


class Post:
    """Sends blocks to one release, through shared memory where that works.

    Args:
        directory: A file system in memory; where there is none, everything goes inside the messages.
        clock: Seconds from any origin, monotonic.
    """

    def __init__(self, directory: Path = DIRECTORY, clock: Callable[[], float] = time.perf_counter) -> None:
        self._directory, self._clock = directory, clock
        self._not_before = 0.0 if directory.is_dir() else float("inf")
        self._free: list[_Pages] = []
        self._taking = threading.Lock()

    async def deliver(self, blocks: tuple[Block, ...], call: Call) -> tuple[BlockReply, ...]:
        """Have `call` carry the blocks, as parcels if they are big enough for it."""
        nbytes = sum(nbytes_of(part) for block in blocks for part in parts_of(block.inputs))
        if self._clock() < self._not_before or nbytes < SHORTEST_BYTES:
            return await call(blocks)
        used: list[_Pages] = []
        replies: tuple[BlockReply, ...] = ()
        try:
            in_loop = nbytes <= IN_LOOP_BYTES
            parcels = [
                self._packed(block, used) if in_loop else await asyncio.to_thread(self._packed, block, used)
                for block in blocks
            ]
            replies = await call(parcels)
        except OSError:  # the file system is full or not ours to write to
            self._not_before = self._clock() + RETRY_S
        finally:
            for pages in used:  # after a call that failed the release may still be reading them
                if replies and len(self._free) < MOST_FREE:
                    self._free.append(pages)
                else:
                    pages.remove()
        if replies:
            return replies
        self._not_before = self._clock() + RETRY_S
        return await call(blocks)

    def close(self) -> None:
        """Remove the files."""
        while self._free:
            self._free.pop().remove()

    def _packed(self, block: Block, used: list[_Pages]) -> Block | Parcel:
        """The block as a parcel; as it is if it has texts, which are not bytes in a row.

        Raises:
            OSError: There is no room for a file.
        """
        parts = {name: [part[name] for part in parts_of(block.inputs)] for name in block.inputs}
        if any(arrays[0].dtype == object for arrays in parts.values()):
            return block
        size = sum(_aligned(sum(array.nbytes for array in arrays)) for arrays in parts.values())
        with self._taking:
            pages = next((pages for pages in self._free if len(pages.memory) >= size), None)
            if pages is not None:
                self._free.remove(pages)
        pages = pages or _Pages(self._directory, max(SHORTEST_BYTES, 1 << (size - 1).bit_length()))
        used.append(pages)
        tensors: list[tuple[str, str, tuple[int, ...], int]] = []
        offset = 0
        for name, arrays in parts.items():
            first = arrays[0]
            shape = (sum(len(array) for array in arrays), *first.shape[1:])
            view = _view(pages.memory, first.dtype, shape, offset)
            np.concatenate(arrays, out=view)
            tensors.append((name, _dtype_name(first), shape, offset))
            offset += _aligned(view.nbytes)
        return Parcel(pages.name, tuple(tensors), replace(block, inputs={}))


def goes_by_reference(sent: Sequence[Block | Parcel], reply_bytes: int) -> bool:
    """Whether a call, or its reply of about so many bytes, is too big for the call's own messages."""
    inside = sum(nbytes_of(one.inputs) for one in sent if isinstance(one, Block))
    return max(inside, reply_bytes) > BY_REFERENCE_BYTES


class Inbox:
    """Opens the parcels that a release gets; keeps the files mapped, because they come again."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        self._mapped: OrderedDict[str, mmap.mmap] = OrderedDict()

    def open_all(self, sent: Sequence[Block | Parcel]) -> list[Block] | None:
        """The blocks that were sent; None if the file of one of them is not on this machine."""
        opened = [block for one in sent if (block := self.open(one)) is not None]
        return opened if len(opened) == len(sent) else None

    def open(self, sent: Block | Parcel) -> Block | None:
        """The block in a parcel, with read-only views of the shared pages as its tensors; None without its file."""
        if isinstance(sent, Block):
            return sent
        memory = self._mapped.get(sent.name) or self._map(sent.name)
        if memory is None:
            return None
        self._mapped.move_to_end(sent.name)
        inputs = {name: _view(memory, np.dtype(dtype), shape, at) for name, dtype, shape, at in sent.tensors}
        return replace(sent.block, inputs=inputs)

    def _map(self, name: str) -> mmap.mmap | None:
        if not _NAME.fullmatch(name):
            return None
        try:
            with (self._directory / name).open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except OSError:
            return None
        self._mapped[name] = memory
        if len(self._mapped) > MOST_MAPPED:
            self._mapped.popitem(last=False)  # its pages go with the last array that shows them
        return memory


_numbers = itertools.count(1)


class _Pages:
    """A file in memory, mapped for writing; its room is taken beforehand, since a full file system would end us later.

    Raises:
        OSError: There is no room.
    """

    def __init__(self, directory: Path, size: int) -> None:
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

    def remove(self) -> None:
        """Give the file up; whoever has it mapped may go on reading."""
        self._path.unlink(missing_ok=True)


def _view(memory: mmap.mmap, dtype: np.dtype[np.generic], shape: tuple[int, ...], offset: int) -> Array:
    return np.frombuffer(memory, dtype, math.prod(shape), offset).reshape(shape)


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


def _dtype_name(array: Array) -> str:
    return array.dtype.str if array.dtype.kind != "V" else array.dtype.name
