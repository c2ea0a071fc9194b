"""A request body as it comes: in pieces of any length, within the limits, and joined without holding up others."""

from __future__ import annotations

import asyncio

from serve_app.config.gateway import LimitsConfig
from serve_app.errors import TooLarge
from serve_app.transport.http import IN_LOOP_BYTES

PART_BYTES = 2**18  # joined so far of short pieces: what is longer would be copied at once, in the event loop
LONG_PIECE_BYTES = 2**12  # a list of shorter ones would cost many times their bytes


class Pieces:
    """The pieces of one body."""

    def __init__(self, limits: LimitsConfig) -> None:
        self._limits = limits
        self._bytes = self._count = 0
        self._parts, self._short = list[bytes](), bytearray()

    def count(self, piece: bytes) -> None:
        """Hold a piece that somebody else keeps against the limits.

        Raises:
            TooLarge: The body has too many bytes, or comes in too many pieces.
        """
        self._bytes += len(piece)
        self._count += 1
        check_bytes(self._bytes, self._limits)
        if self._count > self._limits.max_body_pieces:
            raise TooLarge("the body", self._count, self._limits.max_body_pieces, "pieces")

    def add(self, piece: bytes) -> None:
        """Keep a piece.

        Raises:
            TooLarge: As `count`.
        """
        self.count(piece)
        is_short = len(piece) < LONG_PIECE_BYTES
        if is_short:
            self._short += piece
        if self._short and (not is_short or len(self._short) >= PART_BYTES):
            self._parts.append(bytes(self._short))
            self._short.clear()
        if not is_short:
            self._parts.append(piece)

    async def whole(self) -> bytes:
        """All that was added; in a thread if that copies so many bytes that other requests would notice."""
        parts = [*self._parts, bytes(self._short)] if self._short else self._parts
        if len(parts) == 1:
            return parts[0]
        return b"".join(parts) if self._bytes <= IN_LOOP_BYTES else await asyncio.to_thread(b"".join, parts)


def check_bytes(size: int, limits: LimitsConfig) -> None:
    """Refuse a body of so many bytes, told or counted.

    Raises:
        TooLarge: It is over the limit.
    """
    if size > limits.max_body_bytes:
        raise TooLarge("the body", size, limits.max_body_bytes, "bytes")
