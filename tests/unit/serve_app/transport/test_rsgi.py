"""The RSGI door over real sockets, where it differs from what a test client would send: see also test_parity."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from support.arithmetic import Recording
from support.bad_requests import INFER, MAX_BODY_BYTES, body, tensor
from support.doors import digits, digits_plane, express_of, rsgi_of
from support.waiting import until
from support.wire import Connection, head

from serve_app.batching.coalescer import Bounds
from serve_app.config.gateway import LimitsConfig
from serve_app.transport.asgi import HEAD_FIELDS, _length_and_head
from serve_app.transport.http import IN_LOOP_BYTES, HttpResponse, RequestHead
from serve_app.transport.rsgi import GatewayRsgi, _head

GOOD = body(tensor())


@pytest.fixture
async def plane():
    async with digits_plane() as plane:
        yield plane


@pytest.fixture
async def connection(plane):
    async with express_of(plane) as door:
        connection = await Connection.to(door.port)
        yield connection
        await connection.leave()


async def test_a_told_length_over_the_limit_is_refused_before_the_body_comes(connection):
    connection.writer.write(head(MAX_BODY_BYTES + 1))
    status, _, answer = await connection.answer()
    assert status == 413
    assert json.loads(answer)["error"] == f"the body has {MAX_BODY_BYTES + 1} bytes, the limit is {MAX_BODY_BYTES}"


async def test_a_client_that_asks_before_it_sends_is_refused_and_sent_away(connection):
    connection.writer.write(head(MAX_BODY_BYTES + 1, INFER, "POST", "expect: 100-continue"))
    status, headers, _ = await connection.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert await connection.reader.read() == b""


async def test_a_client_that_asks_before_it_sends_is_asked_for_its_body(connection):
    connection.writer.write(head(len(GOOD), INFER, "POST", "expect: 100-continue"))
    assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.writer.write(GOOD)
    assert (await connection.answer())[0] == 200


def test_both_doors_read_every_header_into_the_field_of_its_name():
    values = {name.decode(): f"value of {name.decode()}" for name in HEAD_FIELDS}
    sent = [(name.encode(), value.encode()) for name, value in values.items()]
    _, by_asgi = _length_and_head({"headers": sent, "query_string": b"a=1"})
    by_rsgi = _head("a=1", values)
    assert by_rsgi._replace(lookup=None) == by_asgi._replace(lookup=None)
    assert {getattr(by_rsgi, field): field for field in HEAD_FIELDS.values()} == {
        f"value of {name.decode()}": field for name, field in HEAD_FIELDS.items()
    }
    assert _head("", {})[:-1] == RequestHead()[:-1]


@pytest.fixture
def busy(plane):
    """An event loop with no time for anybody."""
    plane._lag.stop()
    plane._lag.lag_s = 60.0


@pytest.mark.parametrize("framing", ["chunked", 3 * IN_LOOP_BYTES], ids=["chunked", "long"])
async def test_who_is_turned_away_is_answered_before_its_body_comes_and_may_ask_again(plane, busy, connection, framing):
    connection.writer.write(head(framing))
    status, headers, answer = await connection.answer()
    assert status == 429
    assert "the request allows" in json.loads(answer)["error"]
    assert "connection" not in headers
    plane._lag.lag_s = 0.0
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    connection.writer.write((chunked if framing == "chunked" else bytes(framing)) + head(len(GOOD)) + GOOD)
    assert (await connection.answer())[0] == 200


async def test_who_is_turned_away_with_a_short_body_may_ask_again(plane, busy, connection):
    for _ in range(3):
        connection.writer.write(head(len(GOOD)) + GOOD)
        assert (await connection.answer())[0] == 429
    plane._lag.lag_s = 0.0
    connection.writer.write(head(len(GOOD)) + GOOD)
    assert (await connection.answer())[0] == 200


async def test_who_is_turned_away_without_its_short_body_is_answered_all_the_same(busy, connection):
    connection.writer.write(head(len(GOOD)))
    assert (await connection.answer())[0] == 429
    assert await connection.reader.read() == b""


async def test_chunks_that_are_malformed_are_no_body(connection):
    connection.writer.write(head("chunked") + b"2\r\n{}\r\nno number\r\n")
    status, _, answer = await connection.answer()
    assert status == 400
    assert json.loads(answer)["error"] == "the body is cut off or its chunks are malformed"


async def test_long_bodies_and_answers_travel_in_pieces_and_stay_whole(plane):
    class Echo:
        def turned_away(self, route, head):
            return None

        async def __call__(self, route, head, body):
            return HttpResponse(200, body[::-1], {"content-type": "x/y"})

    long = random.Random(0).randbytes(3 * IN_LOOP_BYTES + 7)
    app = GatewayRsgi(Echo(), None, LimitsConfig(max_body_bytes=len(long)))
    async with express_of(plane, app=app) as door:
        connection = await Connection.to(door.port)
        for _ in range(2):  # the connection lives on
            connection.writer.write(head(len(long)) + long)
            status, headers, answer = await connection.answer()
            assert (status, headers["content-type"], answer) == (200, "x/y", long[::-1])
        app.is_draining = True
        connection.writer.write(head(len(long)) + long)
        assert (await connection.answer())[1]["connection"] == "close"
        await connection.leave()


async def test_a_client_that_leaves_in_a_long_body_is_nobody_to_answer(plane):
    answered = []

    class Never:
        def turned_away(self, route, head):
            return None

        async def __call__(self, route, head, body):
            answered.append(body)

        def refuse(self, route, error, request_id):
            return HttpResponse(400, b"", {})

    app = GatewayRsgi(Never(), None, LimitsConfig(max_body_bytes=4 * IN_LOOP_BYTES))
    async with express_of(plane, app=app) as door:
        leaver = await Connection.to(door.port)
        leaver.writer.write(head(3 * IN_LOOP_BYTES) + bytes(IN_LOOP_BYTES))
        await leaver.writer.drain()
        await leaver.leave()
    assert answered == []


async def test_requests_follow_each_other_on_one_connection(connection):
    connection.writer.write((head(len(GOOD)) + GOOD) * 3)
    assert [(await connection.answer())[0] for _ in range(3)] == [200] * 3


async def test_a_client_that_leaves_in_its_body_asks_for_nothing():
    model = Recording()
    async with digits_plane(model) as plane, express_of(plane) as door:
        leaver = await Connection.to(door.port)
        leaver.writer.write(head(len(GOOD)) + GOOD[:20])
        await leaver.writer.drain()
        await leaver.leave()
    assert model.batches == []


async def test_a_client_that_leaves_takes_its_waiting_rows_along():
    held = asyncio.Event()
    loop = asyncio.get_running_loop()
    rows = []

    def slow(inputs):
        rows.append(len(inputs["pixels"]))
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)
        return digits(inputs)

    async with digits_plane(slow) as plane, express_of(plane) as door:
        coalescer = plane.directory.resolve("digits", "v1", 0).coalescer
        coalescer.slots, coalescer.bounds = 1, Bounds()
        first, leaver = await Connection.to(door.port), await Connection.to(door.port)
        first.writer.write(head(len(GOOD)) + GOOD)
        await until(lambda: len(rows) == 1)
        leaver.writer.write(head(len(GOOD)) + GOOD)
        await until(lambda: coalescer.queued_rows == 1)
        await leaver.leave()
        await until(lambda: coalescer.queued_rows == 0)
        held.set()
        assert (await first.answer())[0] == 200
        await first.leave()
    assert rows == [1]


async def test_a_page_that_fails_is_answered_with_a_sentence(plane, caplog):
    async def scrape() -> bytes:
        raise ValueError("no metrics today")

    app = rsgi_of(plane, scrape)
    async with express_of(plane, app=app) as door:
        connection = await Connection.to(door.port)
        connection.writer.write(head(None, "/metrics", "GET"))
        status, _, answer = await connection.answer()
        await connection.leave()
    assert status == 500
    assert "internal error" in json.loads(answer)["error"]
    assert "no metrics today" in caplog.text


async def test_while_it_drains_every_answer_sends_the_client_elsewhere(plane):
    app = rsgi_of(plane)
    async with express_of(plane, app=app) as door:
        await says(door.port, app, is_draining=False)
        await says(door.port, app, is_draining=True)


async def says(port: int, app: GatewayRsgi, is_draining: bool) -> None:
    app.is_draining = is_draining
    for request in (head(len(GOOD)) + GOOD, head(None, "/v2", "GET"), head(0)):
        connection = await Connection.to(port)
        connection.writer.write(request)
        status, headers, _ = await connection.answer()
        assert status == (400 if request == head(0) else 200)
        assert (headers.get("connection") == "close") is is_draining
        await connection.leave()
    connection = await Connection.to(port)
    connection.writer.write(head(None, "/v2/health/ready", "GET"))
    status, _, answer = await connection.answer()
    await connection.leave()
    assert status == (503 if is_draining else 200)
    assert json.loads(answer).get("error") == ("draining: this door is closing" if is_draining else None)
