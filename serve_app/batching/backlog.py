"""What still waits at the gateways, as each said with its last block: rows that no queue of the replica shows."""

from __future__ import annotations

from collections.abc import Callable

from serve_app.types import Block

FORGOTTEN_AFTER_S = 2.0  # a gateway that sends nothing for so long has nothing that waits


class Backlog:
    """Rows by gateway.

    Args:
        clock: Seconds from any origin, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_sender: dict[str, tuple[int, float]] = {}

    def update(self, block: Block) -> None:
        """Take what a block says of its sender."""
        if block.sender:
            self._by_sender[block.sender] = (block.backlog_rows, self._clock())

    @property
    def rows(self) -> int:
        """Rows that wait at all gateways together."""
        oldest = self._clock() - FORGOTTEN_AFTER_S
        self._by_sender = {sender: said for sender, said in self._by_sender.items() if said[1] >= oldest}
        return sum(rows for rows, _ in self._by_sender.values())
