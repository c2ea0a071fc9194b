"""The pieces of a body: counted, joined in order, and never copied whole in the event loop."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.config.gateway import LimitsConfig
from serve_app.errors import TooLarge
from serve_app.transport.http import IN_LOOP_BYTES
from serve_app.transport.pieces import LONG_PIECE_BYTES, PART_BYTES, Pieces, check_bytes


def numbered(count: int, length: int) -> list[bytes]:
    return [bytes([number % 251]) * length for number in range(count)]


async def whole(pieces: list[bytes]) -> bytes:
    body = Pieces(LimitsConfig())
    for piece in pieces:
        body.add(piece)
    return await body.whole()


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"a", b"", b"b"],
        numbered(3, LONG_PIECE_BYTES),
        [b"a", *numbered(2, LONG_PIECE_BYTES), b"b", b"c", *numbered(1, LONG_PIECE_BYTES + 1)],
        numbered(200, LONG_PIECE_BYTES - 1),
    ],
    ids=["none", "an empty one", "short", "long", "mixed", "many short"],
)
async def test_pieces_are_joined_in_order(pieces):
    assert await whole(pieces) == b"".join(pieces)


async def test_a_body_in_one_piece_is_not_copied():
    piece = bytes(LONG_PIECE_BYTES)
    assert await whole([piece]) is piece


@pytest.mark.parametrize("length", [LONG_PIECE_BYTES - 1, PART_BYTES])
async def test_a_long_body_is_joined_in_a_thread_whatever_its_pieces(monkeypatch, length):
    joined = []

    async def to_thread(join, parts):
        joined.extend(parts)
        return join(parts)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    pieces = numbered(2 * IN_LOOP_BYTES // length, length)
    assert await whole(pieces) == b"".join(pieces)
    assert 0 < max(map(len, joined)) < PART_BYTES + LONG_PIECE_BYTES


def test_a_piece_too_many_or_too_long_is_refused():
    body = Pieces(LimitsConfig(max_body_pieces=2, max_body_bytes=10))
    body.add(b"12345")
    body.count(b"12345")
    with pytest.raises(TooLarge, match="has 11 bytes, the limit is 10"):
        body.add(b"1")
    body = Pieces(LimitsConfig(max_body_pieces=2))
    body.add(b"")
    body.add(b"")
    with pytest.raises(TooLarge, match="has 3 pieces, the limit is 2"):
        body.add(b"")


def test_a_told_length_is_held_against_the_limit():
    check_bytes(10, LimitsConfig(max_body_bytes=10))
    with pytest.raises(TooLarge, match="has 11 bytes, the limit is 10"):
        check_bytes(11, LimitsConfig(max_body_bytes=10))
