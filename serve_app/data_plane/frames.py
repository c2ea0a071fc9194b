"""Objects over a Unix domain socket between two processes of one user on one machine.

A frame is a length of eight bytes and a pickle. Pickles are as safe here as in Ray's own calls: both ends run this
project's code as the same user, which the kernel says of the other end (`SO_PEERCRED`).
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import struct
from abc import abstractmethod
from typing import Any, Generic, Protocol, TypeVar, cast

_LENGTH = struct.Struct("<Q")
_CREDENTIALS = struct.Struct("3i")  # pid, uid and gid: struct ucred of unix(7)

Received = TypeVar("Received")


class Unreadable(Exception):
    """The other end sent what this one cannot unpickle: it runs other code, or an error does not pickle well."""


class FrameProtocol(asyncio.Protocol, Generic[Received]):
    """One end of a connection on which frames take turns: a question, its answer, the next question.

    Attributes:
        is_open: Whether it is connected, with a process of this user.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_open = False
        self._received, self._size = bytearray(), 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, unless another user is at its other end."""
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = _is_own_user(transport.get_extra_info("socket"))
        if not self.is_open:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone."""
        self.is_open = False

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a frame is whole."""
        if not self.is_open:
            return
        self._received += data
        if not self._size and len(self._received) >= _LENGTH.size:
            self._size = _LENGTH.size + int(_LENGTH.unpack_from(self._received)[0])
        if self._size and len(self._received) >= self._size:
            whole, self._received, self._size = memoryview(self._received), bytearray(), 0
            self.received(_unpickled(whole[_LENGTH.size :]))

    @abstractmethod
    def received(self, value: Received | Unreadable) -> None:
        """Take the object of a frame, one of those that the other end sends."""

    def send(self, value: object) -> None:
        """Send an object; where the connection is gone it is lost.

        Raises:
            Exception: It cannot be pickled; nothing was sent.
        """
        pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        if self.is_open:
            self._transport.write(_LENGTH.pack(len(pickled)) + pickled)

    def close(self) -> None:
        """Close the connection at once."""
        self.is_open = False
        self._transport.abort()


def _unpickled(pickled: memoryview) -> Any:  # noqa: ANN401 - what the other end sends
    try:
        return pickle.loads(pickled)  # noqa: S301 - from a process of the same user
    except Exception as error:  # it runs the code of what was pickled
        return Unreadable(f"{type(error).__name__} in what came over the socket")


class _Socket(Protocol):
    """A socket, or what uvloop has in its place."""

    def getsockopt(self, level: int, option: int, size: int, /) -> bytes:
        """The bytes of an option's value."""


def _is_own_user(end: _Socket) -> bool:
    user: int = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
    return user == os.geteuid()
