"""The express door's life: opened when it can answer, shared, and closed without losing a request."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from dataclasses import replace

import pytest
from support.bad_requests import body, tensor
from support.doors import AT_ONCE, digits, digits_plane, express_of, free_port, opened_later
from support.waiting import until
from support.wire import Connection, head

from serve_app.config.gateway import ExpressConfig
from serve_app.transport.express import ExpressDoor, Patience

GOOD = body(tensor())


@pytest.fixture
async def plane():
    async with digits_plane() as plane:
        yield plane


async def infer(port: int, connection: Connection | None = None) -> int:
    """The status of one infer request, on a connection of its own if none is given."""
    own = connection or await Connection.to(port)
    own.writer.write(head(len(GOOD)) + GOOD)
    status, headers, _ = await own.answer()
    if connection is None or headers.get("connection") == "close":
        await own.leave()
    return status


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.1).close()
    except (ConnectionRefusedError, TimeoutError):
        return False
    return True


async def test_it_answers_on_its_port(plane):
    async with express_of(plane) as door:
        assert await infer(door.port) == 200
        door.check()
    assert not accepts(door.port)


async def test_it_opens_once_everything_can_be_answered(plane):
    ready = False
    door = opened_later(plane)
    door._is_ready = lambda: ready
    door.start()
    await asyncio.sleep(0.05)
    assert not accepts(door.port)
    ready = True
    await door.opened()
    assert await infer(door.port) == 200
    await door.close()


async def test_it_opens_late_rather_than_never(plane):
    door = opened_later(plane, replace(AT_ONCE, ready_s=0.05))
    door._is_ready = lambda: False
    door.start()
    await door.opened()
    assert await infer(door.port) == 200
    await door.close()


async def test_a_door_that_never_opened_can_be_closed(plane):
    for is_started in (False, True):
        door = opened_later(plane)
        door._is_ready = lambda: False
        if is_started:
            door.start()
        await door.close()
        with socket.create_server(("127.0.0.1", door.port)):
            pass
        if is_started:
            await door.opened()


async def test_a_taken_port_is_said_at_once(plane):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        says = rf"the express door cannot have 127.0.0.1:{port} \(args.express\): Address already in use"
        with pytest.raises(RuntimeError, match=says):
            opened_later(plane, port=port)


async def test_an_address_of_another_machine_is_said_at_once(plane):
    with pytest.raises(RuntimeError, match=r"cannot have 203.0.113.1:\d+ \(args.express\)"):
        opened_later(plane, host="203.0.113.1")


async def test_two_doors_share_a_port(plane):
    port, seen = free_port(), set()
    async with express_of(plane, port=port) as one, express_of(plane, port=port) as two:
        for door, name in ((one, "one"), (two, "two")):
            inner = door._app._infer

            def told(route, head, name=name, turned_away=inner.turned_away):
                seen.add(name)
                return turned_away(route, head)

            inner.turned_away = told
        for _ in range(50):
            assert await infer(port) == 200
    assert seen == {"one", "two"}


async def test_a_door_that_closes_beside_another_loses_nothing(plane):
    """Many short connections, because what can be lost is what waits to be accepted when a listener closes."""
    port, statuses, stop = free_port(), [], asyncio.Event()

    async def caller(request: bytes) -> None:
        while not stop.is_set():
            connection = await Connection.to(port)
            connection.writer.write(request)
            statuses.append((await connection.answer())[0])
            await connection.leave()

    patience = Patience(ready_s=5, announce_s=0.05, settle_s=0.1, finish_s=5)
    requests = [head(len(GOOD)) + GOOD] * 10 + [head(0, method="PUT")] * 40
    async with express_of(plane, port=port):
        callers = [asyncio.create_task(caller(request)) for request in requests]
        for _ in range(3):
            async with express_of(plane, patience, port=port):
                seen = len(statuses)
                await until(lambda seen=seen: len(statuses) > seen + 500)
        stop.set()
        await asyncio.gather(*callers)
    assert set(statuses) == {200, 405}


async def test_clients_with_open_connections_are_told_before_the_door_closes(plane):
    """Each comes back on another connection when it is told, and none finds its connection closed under it."""
    port, statuses, stop = free_port(), [], asyncio.Event()
    patience = Patience(ready_s=5, announce_s=0.3, settle_s=0, finish_s=5)

    async def caller() -> None:
        connection = await Connection.to(port)
        while not stop.is_set():
            statuses.append(await infer(port, connection))
            await asyncio.sleep(0.005)  # idle most of the time, as a client is
            if connection.writer.is_closing():
                connection = await Connection.to(port)
        await connection.leave()

    async with express_of(plane, port=port):
        async with express_of(plane, patience, port=port):
            callers = [asyncio.create_task(caller()) for _ in range(20)]
            await until(lambda: len(statuses) > 200)
        stop.set()
        await asyncio.gather(*callers)
    assert set(statuses) == {200}


async def test_what_was_accepted_is_answered_though_the_door_closes():
    held, started = threading.Event(), threading.Event()

    def slow(inputs):
        started.set()
        held.wait(20)
        return digits(inputs)

    async with digits_plane(slow) as plane, express_of(plane) as door:
        accepted = asyncio.create_task(infer(door.port))
        await until(started.is_set)
        closing = asyncio.create_task(door.close())
        await until(lambda: not accepts(door.port))
        assert not closing.done()
        held.set()
        assert await accepted == 200
        await closing


async def test_a_door_does_not_wait_for_ever(caplog):
    held, started = threading.Event(), threading.Event()

    def stuck(inputs):
        started.set()
        held.wait(20)
        return digits(inputs)

    async with digits_plane(stuck) as plane, express_of(plane, replace(AT_ONCE, finish_s=0.05)) as door:
        accepted = asyncio.create_task(infer(door.port))
        await until(started.is_set)
        await door.close()
        held.set()
        await asyncio.gather(accepted, return_exceptions=True)
    assert "is shut before every answer was given" in caplog.text


async def test_closing_twice_is_closing_once(plane):
    async with express_of(plane) as door:
        await asyncio.gather(door.close(), door.close())
        await door.close()
        door.check()


async def test_a_door_that_is_shut_by_a_fault_says_so(plane, caplog):
    door = opened_later(plane)
    door.check()
    door.start()
    await door.opened()
    door._server.stop()
    await asyncio.wait((door._serving,))
    await asyncio.sleep(0)
    assert f"the express door on port {door.port} was shut by a fault" in caplog.text
    with pytest.raises(RuntimeError, match=f"port {door.port} was shut by a fault"):
        door.check()
    await door.close()


async def test_a_port_that_is_listened_on_elsewhere_by_now_is_a_fault(plane, caplog):
    caplog.set_level(logging.ERROR)
    door = opened_later(plane)
    door._listener.close()
    door.start()
    await door.opened()
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="was shut by a fault"):
        door.check()
    await door.close()


def test_patience_fits_the_time_that_serve_gives_a_replica():
    patience = Patience()
    assert patience.announce_s + patience.settle_s < 3
    assert ExpressConfig().port == 8001
    assert ExpressDoor.__doc__
