"""Content codings of bodies (RFC 9110, 8.4): what clients compressed, within a bound, and what they take compressed."""

from __future__ import annotations

import asyncio
import gzip
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from serve_app.errors import MalformedBody, TooLarge, UnknownCoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIN_BYTES = 2**12  # of an answer: a shorter one fits a few packets as it is
_AT_ONCE_BYTES = 2**10  # of a compressed body: more may be long enough to keep the event loop from others
_IN_LOOP_BYTES = 2**15  # of an answer
_AT_A_TIME = 2  # bodies that grow while they are decompressed, so that memory has a bound
_MAX_MEMBERS = 16  # of one body: each costs a copy of all that follow
_PIECE_BYTES, _FEED_BYTES = 2**18, 2**14  # out and in at a time: no call keeps the interpreter from others for long
_PROBE_BYTES = 2**14  # of a long answer's middle
_WORTH = 0.8  # of its length; floats shrink to 0.88 to 0.93, and cost a core a second for 20 to 50 MB
_LEVEL = 1  # for all of them the fastest: an answer is sent once


class _Stream(Protocol):
    """A decompressor of one member (gzip), stream (deflate) or frame (zstd)."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Up to so many bytes; what of `data` was not needed for them is kept."""

    @property
    def is_hungry(self) -> bool:
        """Whether there is no more without more data."""


class _Zlib:
    """zlib's own leaves it to its caller to keep what was not needed."""

    def __init__(self, wbits: int) -> None:
        self._stream = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""
        return self._stream.unused_data

    @property
    def is_hungry(self) -> bool:
        """Whether there is no more without more data."""
        return not self._stream.unconsumed_tail

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Up to so many bytes."""
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


class _Zstd:
    """One frame."""

    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor()

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""
        return self._stream.unused_data

    @property
    def is_hungry(self) -> bool:
        """Whether there is no more without more data."""
        return self._stream.needs_input

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Up to so many bytes."""
        return self._stream.decompress(data, max_length)


def _deflate(head: bytes) -> _Stream:
    """RFC 9110 means the zlib format, but some clients send bare deflate."""
    is_zlib = len(head) >= 2 and head[0] & 0x0F == zlib.DEFLATED and (head[0] << 8 | head[1]) % 31 == 0
    return _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


_STREAMS: Mapping[str, Callable[[bytes], _Stream]] = {
    "zstd": lambda head: _Zstd(),
    "gzip": lambda head: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": _deflate,
}
_COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstd.compress(body, _LEVEL),
    "gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
    "deflate": lambda body: zlib.compress(body, _LEVEL),
}
CODINGS = tuple(_STREAMS)
"""Those read and written; the first one that a client takes equally well is written."""


class Decompressor:
    """Gives bodies as they were before their clients compressed them.

    Args:
        max_bytes: Longest body that comes out.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def __call__(self, body: bytes, coding: str) -> bytes:
        """The decompressed body.

        Args:
            body: As it came.
            coding: The request's `content-encoding`.

        Raises:
            UnknownCoding: It is none of `CODINGS`, or more than one.
            TooLarge: The body is over the limit; what would follow was not decompressed.
            MalformedBody: It is not of that coding, or cut off.
        """
        coding = coding.strip().lower().removeprefix("x-")
        if coding == "identity":
            return body
        if coding not in _STREAMS:
            raise UnknownCoding(coding, CODINGS)
        if len(body) <= _AT_ONCE_BYTES:
            return _decompressed(body, coding, self._max_bytes)
        async with self._turns:
            return await asyncio.to_thread(_decompressed, body, coding, self._max_bytes)


async def compressed(body: bytes, accept: str) -> tuple[bytes, str]:
    """The body in the coding that the client likes best, and that coding; as it is with none, or if it hardly shrinks.

    Args:
        body: An answer.
        accept: The request's `accept-encoding`.
    """
    coding = preferred(accept) if len(body) >= MIN_BYTES else ""
    if not coding:
        return body, ""
    compress = _COMPRESS[coding]
    if len(body) <= _IN_LOOP_BYTES:
        return compress(body), coding
    middle = len(body) // 2
    probe = body[middle : middle + _PROBE_BYTES]
    if len(compress(probe)) > _WORTH * len(probe):
        return body, ""
    return await asyncio.to_thread(compress, body), coding


def preferred(accept: str) -> str:
    """The coding of ours with the highest weight in an `accept-encoding` field; empty where none is taken."""
    weights = dict[str, float]()
    for item in accept.lower().split(","):
        coding, _, parameter = item.partition(";")
        weights[coding.strip().removeprefix("x-")] = _weight(parameter)
    other = weights.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, other))
    return best if weights.get(best, other) > 0 else ""


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if not name.strip():
        return 1.0
    try:
        return float(value) if name.strip() == "q" else 0.0
    except ValueError:
        return 0.0


def _decompressed(body: bytes, coding: str, max_bytes: int) -> bytes:
    pieces, members, size, rest = list[bytes](), 0, 0, body
    try:
        while rest:  # a body may be several members, one behind the other
            members += 1
            if members > _MAX_MEMBERS:
                raise TooLarge(f"the body, compressed with {coding},", members, _MAX_MEMBERS, "members or more")
            stream = _STREAMS[coding](rest[:2])
            at = 0
            while not stream.eof:
                fed = b""
                if stream.is_hungry:
                    fed, at = rest[at : at + _FEED_BYTES], at + _FEED_BYTES
                    if not fed:
                        raise MalformedBody(f"the body is cut off: its content-encoding {coding} has no end")
                piece = stream.decompress(fed, min(_PIECE_BYTES, max_bytes - size + 1))
                size += len(piece)
                if size > max_bytes:
                    raise TooLarge("the decompressed body", size, max_bytes, "bytes or more")
                pieces.append(piece)  # not into one buffer: to let that grow copies it, while all other threads wait
            rest = stream.unused_data + rest[at:]
    except (zlib.error, zstd.ZstdError) as error:
        raise MalformedBody(f"the body is not of its content-encoding {coding}: {error}") from None
    return b"".join(pieces)  # other threads run meanwhile: all are bytes
