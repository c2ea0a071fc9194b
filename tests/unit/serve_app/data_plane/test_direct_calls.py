"""Calls over a replica's socket: each caller gets its own answer, and nothing is lost where a replica goes."""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import socket
import tempfile
from collections.abc import Coroutine
from pathlib import Path

import numpy as np
import pytest
from support.waiting import until

from serve_app.data_plane import direct_server
from serve_app.data_plane.direct_calls import ConnectionLost, DirectCalls, socket_path
from serve_app.data_plane.direct_server import DirectServer
from serve_app.data_plane.files import sweep
from serve_app.data_plane.frames import Unreadable
from serve_app.errors import ModelRaised
from serve_app.types import Block, BlockEntry, BlockReply, EntryResult


def block(value: float) -> Block:
    return Block({"x": np.full((2, 3), value, np.float32)}, (BlockEntry(2, "r"),))


class Replica:
    """Doubles what it gets, once it may."""

    def __init__(self) -> None:
        self.may_answer, self.begun, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self.calls = 0

    async def infer(self, sent: Block) -> tuple[BlockReply, ...]:
        self.calls += 1
        self.begun.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return (BlockReply({"y": 2 * sent.inputs["x"]}, (EntryResult(),)),)

    async def held(self, call: Coroutine[object, object, object]) -> asyncio.Task[object]:
        """The call, which it has begun with and does not answer yet."""
        self.may_answer.clear()
        self.begun.clear()
        task = asyncio.get_running_loop().create_task(call)
        await self.begun.wait()
        return task


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory(prefix="d", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
async def serve(directory):
    servers = []

    async def start(answer, name: str = "a") -> DirectServer:
        server = DirectServer(directory / name, answer)
        servers.append(server)
        await server.listen()
        return server

    yield start
    for server in servers:
        for connection in list(server.connections):
            connection.close()
        await server.close()


@pytest.fixture
def calls():
    made = DirectCalls()
    yield made
    made.use(())


def frame_of(value: object) -> bytes:
    pickled = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(pickled).to_bytes(8, "little") + pickled


def value_of(replies: tuple[BlockReply, ...] | None) -> float:
    assert replies is not None
    (reply,) = replies
    assert reply.outputs["y"].shape == (2, 3)
    return float(reply.outputs["y"][0, 0])


async def test_calls_side_by_side_get_their_own_answers(serve, calls, directory):
    replica = Replica()
    await serve(replica.infer)
    calls.use([directory / "a"])
    for _ in range(2):
        answers = await asyncio.gather(*(calls.call((block(value),)) for value in range(10)))
        assert [value_of(answer) for answer in answers] == [2.0 * value for value in range(10)]
    assert replica.calls == 20


async def test_the_replica_with_the_fewest_calls_is_called(serve, calls, directory):
    busy, free = Replica(), Replica()
    await serve(busy.infer, "busy")
    calls.use([directory / "busy"])
    held = await busy.held(calls.call((block(1),)))
    await serve(free.infer, "free")
    calls.use([directory / "busy", directory / "free"])
    for value in (2, 3, 4):
        assert value_of(await calls.call((block(value),))) == 2 * value
    assert (busy.calls, free.calls) == (1, 3)
    busy.may_answer.set()
    assert value_of(await held) == 2
    for _ in range(4):
        await calls.call((block(0),))
    assert busy.calls > 1  # idle ones take turns
    assert free.calls > 3


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("a", lambda: None)

    def __repr__(self) -> str:
        raise ValueError("it has no words")


class Untravelled(Exception):
    """As many an exception: it can be pickled, and not unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


class Panic(BaseException):
    """As those of extensions in Rust."""


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ModelRaised("digits", "it is Monday"), (ModelRaised, "it is Monday")),
        (Unpicklable(), (RuntimeError, "raised Unpicklable")),
        (Untravelled("a", "b"), (RuntimeError, "raised Untravelled")),
        (Panic(), (RuntimeError, "raised Panic")),
        (asyncio.CancelledError(), (RuntimeError, "raised CancelledError")),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_raised_there_is_raised_here_and_ends_the_call_only(serve, calls, directory, raised, expected):
    replica = Replica()
    failing = True

    async def fail_once(sent: Block) -> tuple[BlockReply, ...]:
        nonlocal failing
        if failing:
            failing = False
            raise raised
        return await replica.infer(sent)

    server = await serve(fail_once)
    calls.use([directory / "a"])
    kind, says = expected
    with pytest.raises(kind, match=says):
        await calls.call((block(1),))
    assert value_of(await calls.call((block(2),))) == 4
    assert len(server.connections) == 1
    assert not next(iter(server.connections)).is_busy


async def test_what_cannot_be_read_is_an_error_of_its_call(serve, calls, directory):
    async def answer(*_: object) -> tuple[BlockReply, ...]:
        return (Untravelled("a", "b"),)  # type: ignore[return-value]

    await serve(answer)
    calls.use([directory / "a"])
    for _ in range(2):
        with pytest.raises(Unreadable, match="TypeError"):
            await calls.call((block(1),))
    with pytest.raises(Unreadable, match="TypeError"):
        await calls.call((Untravelled("a", "b"),))


async def test_what_cannot_be_sent_leaves_nothing_behind(serve, calls, directory, caplog):
    replica = Replica()
    await serve(replica.infer)
    calls.use([directory / "a"])
    with pytest.raises(Exception, match="pickle"):
        await calls.call((lambda: None,))
    gc.collect()
    assert value_of(await calls.call((block(1),))) == 2
    assert caplog.text == ""  # no future's error that nobody asked for


async def test_an_empty_reply_is_an_answer(serve, calls, directory):
    async def has_no_such_file(*_: object) -> tuple[BlockReply, ...]:
        return ()

    await serve(has_no_such_file)
    calls.use([directory / "a"])
    assert await calls.call((block(1),)) == ()
    assert await calls.call((block(1),)) == ()


async def test_a_call_given_up_is_cancelled_there_and_its_answer_is_nobody_elses(serve, calls, directory):
    replica = Replica()
    await serve(replica.infer)
    calls.use([directory / "a"])
    given_up = await replica.held(calls.call((block(1),)))
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await replica.cancelled.wait()
    replica.may_answer.set()
    assert value_of(await calls.call((block(5),))) == 10
    assert replica.calls == 2


async def test_without_a_socket_calls_go_by_handle_until_there_is_one(serve, calls, directory):
    calls.use([directory / "a"])
    assert await calls.call((block(1),)) is None
    replica = Replica()
    await serve(replica.infer)
    assert await calls.call((block(1),)) is None  # the next look at the cluster has it tried again
    calls.use([directory / "a"])
    assert value_of(await calls.call((block(1),))) == 2


async def test_one_replica_without_a_socket_has_all_calls_go_by_handle(serve, calls, directory):
    replica = Replica()
    await serve(replica.infer)
    calls.use([directory / "a", directory / "b"])
    while await calls.call((block(1),)) is not None:
        pass
    assert await calls.call((block(1),)) is None
    assert replica.calls <= 1


async def test_no_replica_has_all_calls_go_by_handle(calls):
    assert await calls.call((block(1),)) is None


async def test_a_replica_that_dies_takes_only_the_calls_it_has(serve, calls, directory):
    replica = Replica()
    server = await serve(replica.infer)
    calls.use([directory / "a"])
    lost = await replica.held(calls.call((block(1),)))
    (directory / "a").unlink()
    for connection in list(server.connections):
        connection.close()
    with pytest.raises(ConnectionLost):
        await lost
    assert await calls.call((block(1),)) is None


async def test_connections_that_ended_while_idle_are_not_used(serve, calls, directory):
    replica = Replica()
    server = await serve(replica.infer)
    calls.use([directory / "a"])
    await asyncio.gather(calls.call((block(0),)), calls.call((block(0),)))
    (here,) = (replica._idle for replica in calls._replicas.values())
    assert len(here) == len(server.connections) == 2
    for connection in list(server.connections):
        connection.close()
    await until(lambda: not any(connection.is_open for connection in here))
    assert value_of(await calls.call((block(1),))) == 2


async def test_another_users_replica_is_not_called(serve, calls, directory, monkeypatch):
    replica = Replica()
    await serve(replica.infer)
    calls.use([directory / "a"])
    other = os.geteuid() + 1
    monkeypatch.setattr("serve_app.data_plane.frames.os.geteuid", lambda: other)
    assert await calls.call((block(1),)) is None
    assert replica.calls == 0


async def test_a_replica_that_ends_answers_what_it_took_and_takes_no_more(serve, calls, directory, monkeypatch):
    monkeypatch.setattr(direct_server, "LEAVING_S", 0.01)
    replica = Replica()
    server = await serve(replica.infer)
    calls.use([directory / "a"])
    await asyncio.gather(calls.call((block(0),)), calls.call((block(0),)))  # two connections
    taken = await replica.held(calls.call((block(1),)))
    closing = asyncio.ensure_future(server.close())
    await asyncio.sleep(0)
    assert server.is_closing
    assert await calls.call((block(2),)) is None
    await asyncio.wait([closing], timeout=0.1)
    assert not closing.done()  # however long a call takes
    replica.may_answer.set()
    assert value_of(await taken) == 2
    await closing
    assert replica.calls == 3
    assert list(directory.iterdir()) == []


async def test_idle_gateways_leave_as_soon_as_they_are_told(serve, calls, directory):
    replica = Replica()
    server = await serve(replica.infer)
    calls.use([directory / "a"])
    await calls.call((block(0),))
    await server.close()
    assert not server.connections
    assert await calls.call((block(1),)) is None


async def test_who_comes_as_the_replica_ends_is_told_so(serve, directory):
    replica = Replica()
    server = await serve(replica.infer)
    reader, writer = await asyncio.open_unix_connection(str(directory / "a"))
    writer.write(frame_of((block(1),)))  # neither accepted nor read yet
    closing = asyncio.ensure_future(server.close())
    said = await reader.readexactly(len(frame_of(None)))
    assert said == frame_of(None)
    writer.close()
    await closing
    assert replica.calls == 0


async def test_a_replica_that_is_left_answers_what_it_has(serve, calls, directory):
    replica = Replica()
    server = await serve(replica.infer)
    calls.use([directory / "a"])
    taken = await replica.held(calls.call((block(1),)))
    calls.use(())
    replica.may_answer.set()
    assert value_of(await taken) == 2
    await server.close()  # in time, because the connection is closed with its answer
    assert not server.connections


async def test_a_killed_replicas_socket_is_removed_by_who_finds_it(calls, directory):
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(directory / "a"))
    calls.use([directory / "a"])
    assert await calls.call((block(1),)) is None
    assert list(directory.iterdir()) == []


def test_a_dead_replicas_socket_is_swept(directory):
    ended = 2**22 + 1  # over any pid
    socket_path(ended, "abc", directory).touch()
    sweep(directory)
    assert list(directory.iterdir()) == []
