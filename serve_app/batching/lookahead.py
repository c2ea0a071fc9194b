"""Under pressure: whether serving the most urgent pieces in small batches costs more others than it saves."""

from __future__ import annotations

from collections.abc import Callable

from serve_app.batching.job import Piece
from serve_app.batching.queue import PieceQueue

HORIZON_BATCHES = 8  # how far the look ahead reaches, in largest batches

Seconds = Callable[[int], float]
"""What executing so many rows usually takes."""


def heads_to_give_up(queue: PieceQueue, now: float, max_rows: int, seconds: Seconds) -> list[Piece]:
    """The heads to refuse at once, so that what is behind them goes in larger batches and more of it is in time.

    Two futures of what waits are played through: batches as large as each head's deadline allows, and batches as large
    as the rows allow, without the heads that cannot wait for those. The second is taken if it serves more rows in time;
    without it, overload shrinks batches, which makes more overload.

    Args:
        queue: What waits.
        now: The clock's reading, in seconds.
        max_rows: Of a batch.
        seconds: What a batch takes.
    """
    pieces = list(queue.in_order(HORIZON_BATCHES * max_rows))
    given_up = _too_early(pieces, now, max_rows, seconds)
    if given_up and _served(pieces, now, max_rows, seconds, drops=True) > _served(
        pieces, now, max_rows, seconds, drops=False
    ):
        return given_up
    return []


def _too_early(pieces: list[Piece], now: float, max_rows: int, seconds: Seconds) -> list[Piece]:
    """The heads whose deadline is before the end of the largest batch there is behind them."""
    left = sum(piece.rows for piece in pieces)
    given_up: list[Piece] = []
    for piece in pieces:
        if now + seconds(min(left, max_rows)) <= piece.deadline:
            break
        given_up.append(piece)
        left -= piece.rows
    return given_up


def _served(pieces: list[Piece], now: float, max_rows: int, seconds: Seconds, *, drops: bool) -> int:
    """Rows in time if all pieces are executed one batch after the other."""
    at = served = 0
    while at < len(pieces):
        if drops:
            at += len(_too_early(pieces[at:], now, max_rows, seconds))
        rows, deadline, first = 0, float("inf"), at
        while at < len(pieces):
            after, earliest = rows + pieces[at].rows, min(deadline, pieces[at].deadline)
            if now + seconds(after) > earliest or (after > max_rows and at > first):
                break
            rows, deadline, at = after, earliest, at + 1
        if at == first:  # the head is late whatever is done
            at += 1
            continue
        served += rows
        now += seconds(rows)
    return served
