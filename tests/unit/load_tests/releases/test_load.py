"""The load accounts for every request, whatever becomes of it."""

from __future__ import annotations

import asyncio

import pytest
from support.http_servers import answer, answering

from load_tests.releases.load import Load, Sending, _Sender, header, under_load

BODIES = (b"row 0", b"row 1")
GOOD = answer(
    200,
    b'{"outputs": [{"name": "label", "data": [7]}]}',
    "X-Model-Version: v2",
    "x-request-id: 0123456789abcdef",
)


async def sent(reply, most: int = 4, users: tuple[str, ...] = ()) -> tuple[Load, list[bytes]]:
    load = Load()
    async with answering(reply) as (target, seen):
        await _Sender(Sending(target.url, BODIES, 500.0, users, most), load).run()
    return load, seen.heads


async def test_an_answer_tells_its_version_label_and_gateway():
    load, _ = await sent(lambda number: GOOD)
    assert (load.due, load.is_exact) == (4, True)
    assert {(one.version, one.label, one.gateway, one.failed) for one in load.outcomes} == {
        ("v2", 7, "0123456789ab", False)
    }
    assert sorted(one.row for one in load.outcomes) == [0, 0, 1, 1]


async def test_another_status_and_a_broken_connection_are_failures_with_their_reason():
    load, _ = await sent(lambda number: answer(503, b"not ready") if number == 0 else None, most=2)
    assert load.is_exact
    faults = sorted(one.fault for one in load.outcomes)
    assert faults == ["503 not ready", "ConnectionResetError: closed after 0 bytes of an answer"]
    assert all(one.failed and one.label is None for one in load.outcomes)


async def test_nobody_who_listens_is_a_failure_of_each_request():
    load = Load()
    await _Sender(Sending("http://127.0.0.1:1/x", BODIES, 500.0, most=3), load).run()
    assert (load.due, len(load.outcomes), all(one.status == 0 for one in load.outcomes)) == (3, 3, True)


async def test_what_gets_no_answer_is_a_failure(monkeypatch):
    monkeypatch.setattr("load_tests.releases.load.GRACE_S", 0.05)
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server, load = await asyncio.start_server(silent, "127.0.0.1", 0), Load()
    port = server.sockets[0].getsockname()[1]
    await _Sender(Sending(f"http://127.0.0.1:{port}/x", BODIES, 500.0, most=2), load).run()
    over.set()
    server.close()
    assert (load.is_exact, [one.fault for one in load.outcomes]) == (True, ["no answer", "no answer"])


async def test_users_take_turns_in_a_header():
    load, heads = await sent(lambda number: GOOD, users=("ann", "bob"))
    assert sorted(one.user for one in load.outcomes) == ["ann", "ann", "bob", "bob"]
    assert sum(b"x-user: ann" in head for head in heads) == 2


async def test_without_keeping_alive_each_request_has_a_connection_of_its_own():
    load = Load()
    async with answering(lambda number: GOOD) as (target, seen):
        await _Sender(Sending(target.url, BODIES, 500.0, most=3, keeps_alive=False), load).run()
    assert (load.is_exact, seen.connections) == (True, 3)


def test_a_load_ends_with_its_block_and_is_exact(thread_server):
    with under_load(Sending(thread_server.url, BODIES, 200.0)) as load:
        load.wait(0.3)
    assert load.due > 0
    assert load.is_exact


@pytest.mark.parametrize(("name", "value"), [(b"x-a", "1"), (b"x-b", "")])
def test_a_header_is_found_whatever_its_case(name, value):
    assert header(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nother: x-b", name) == value
