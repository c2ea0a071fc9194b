"""Calls of release replicas on the gateway's own machine, over a socket that each of them listens at.

A handle call takes Serve's router, gRPC and the replica's wrapper; between two processes of one machine a message over
a Unix domain socket does the same (figures are in docs/benchmarks.md). Whatever cannot go this way goes by handle: to a
release with a replica elsewhere, one that does not listen, one that is about to end.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence
from pathlib import Path

from serve_app.data_plane.files import DIRECTORY, name_of
from serve_app.data_plane.frames import FrameProtocol, Unreadable
from serve_app.data_plane.parcel import Parcel, Replies
from serve_app.types import Block

Sent = Sequence[Block | Parcel]


class ConnectionLost(Exception):
    """The replica ended, or closed the connection, while it had a call."""


def socket_path(pid: int, replica_id: str, directory: Path = DIRECTORY) -> Path:
    """Where a replica of this machine listens; what it leaves behind when killed is swept with its other files."""
    return directory / name_of(pid, replica_id)


class DirectCalls:
    """The connections to the replicas of one release, each of which carries a call at a time."""

    def __init__(self) -> None:
        self._replicas: dict[Path, _Replica] = {}
        self._turns = itertools.count(1)

    def use(self, paths: Collection[Path]) -> None:
        """Take into use where the replicas of the release listen, all that it has, and leave all others.

        Calls under way at those that are left are answered. Those that did not listen are tried again.
        """
        for path in set(self._replicas) - set(paths):
            self._replicas.pop(path).leave()
        for path in paths:
            if path not in self._replicas or self._replicas[path].is_gone:
                self._replicas[path] = _Replica(path)

    async def call(self, sent: Sent) -> Replies | None:
        """Have the replica with the fewest calls under way execute blocks; a cancelled call is cancelled there.

        Returns:
            None if this call is to go by handle: nothing was executed.

        Raises:
            ConnectionLost: The replica may have executed them.
            Exception: What was raised there.
        """
        if not self._replicas or any(replica.is_gone for replica in self._replicas.values()):
            return None
        replica = min(self._replicas.values(), key=_load)
        replica.turn = next(self._turns)
        return await replica.call(sent)


class _Replica:
    """One replica.

    Attributes:
        calls: Under way.
        turn: When it was chosen last.
        is_gone: Whether it does not listen, is about to end, or is not the release's any more.
    """

    def __init__(self, path: Path) -> None:
        self.calls = self.turn = 0
        self.is_gone = False
        self._path = path
        self._idle: list[_Connection] = []

    async def call(self, sent: Sent) -> Replies | None:
        self.calls += 1
        try:
            connection = await self._connection()
            answer = await connection.ask(sent) if connection else None
        finally:
            self.calls -= 1
        if connection:
            self._idle.append(connection)
        if answer is None or self.is_gone:  # left meanwhile
            self.leave()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def leave(self) -> None:
        """Call it no more; calls under way are answered."""
        self.is_gone = True
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> _Connection | None:
        while self._idle:
            if (connection := self._idle.pop()).is_open:
                return connection
        try:
            _, made = await asyncio.get_running_loop().create_unix_connection(_Connection, str(self._path))
        except ConnectionRefusedError:  # nobody listens: it was killed
            self._path.unlink(missing_ok=True)
            return None
        except OSError:
            return None
        return made if made.is_open else None


def _load(replica: _Replica) -> tuple[int, int]:
    return replica.calls, replica.turn


class _Connection(FrameProtocol[Replies | Exception | None]):
    """The gateway's end of a connection."""

    _answer: asyncio.Future[Replies | Exception | None] | None = None

    async def ask(self, sent: Sent) -> Replies | Exception | None:
        """What the replica answers; None if it does not take the call.

        Raises:
            ConnectionLost: The connection ended.
        """
        try:
            self.send(tuple(sent))
            self._answer = asyncio.get_running_loop().create_future()
            return await self._answer
        except BaseException:  # a cancelled call's, too: its answer must not be taken for the next one's
            self.close()
            raise

    def received(self, value: Replies | Exception | Unreadable | None) -> None:
        """Take the answer; without a question it is that of a replica which says that it is about to end."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(value)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        super().connection_lost(exc)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionLost())
