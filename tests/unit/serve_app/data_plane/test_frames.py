"""Frames arrive whole, whatever pieces they come in, and from the same user only."""

from __future__ import annotations

import asyncio
import os
import socket

import numpy as np
import pytest

from serve_app.data_plane.frames import FrameProtocol


class End(FrameProtocol[object]):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.got: asyncio.Queue[object] = asyncio.Queue()

    def received(self, value: object) -> None:
        self.got.put_nowait(value)


@pytest.fixture
async def ends():
    loop = asyncio.get_running_loop()
    made = [(await loop.create_unix_connection(End, sock=sock))[1] for sock in socket.socketpair()]
    yield made
    for end in made:
        end.close()


async def test_a_value_arrives_as_it_was(ends):
    here, there = ends
    sent = {"x": np.arange(300_000, dtype=np.float32), "t": np.array([b"a", b""], dtype=object)}
    here.send(sent)
    got = await there.got.get()
    assert np.array_equal(got["x"], sent["x"])
    assert got["t"].tolist() == [b"a", b""]
    there.send("back")
    assert await here.got.get() == "back"


async def test_bytes_may_come_one_by_one():
    written: list[bytes] = []
    sender, receiver = End(), End()
    sender._transport = type("Wire", (), {"write": lambda _, data: written.append(data)})()
    receiver.is_open = True
    sender.send(("first", 1))
    sender.send("second")
    for at, frame in enumerate(written):
        for byte in frame[:-1]:
            receiver.data_received(bytes([byte]))
        assert receiver.got.empty()
        receiver.data_received(frame[-1:])
        assert receiver.got.get_nowait() == (("first", 1), "second")[at]


async def test_what_cannot_be_pickled_leaves_the_connection_as_it_was(ends):
    here, there = ends
    with pytest.raises(Exception, match="pickle"):
        here.send(lambda: None)
    here.send("next")
    assert await there.got.get() == "next"


async def test_another_user_is_not_listened_to(monkeypatch):
    other = os.geteuid() + 1
    monkeypatch.setattr("serve_app.data_plane.frames.os.geteuid", lambda: other)
    one, two = socket.socketpair()
    loop = asyncio.get_running_loop()
    _, end = await loop.create_unix_connection(End, sock=one)
    assert not end.is_open
    end.data_received(b"\x04\0\0\0\0\0\0\0cos\n")  # nothing is unpickled
    assert end.got.empty()
    two.setblocking(False)
    assert await loop.sock_recv(two, 1) == b""  # closed
    two.close()
