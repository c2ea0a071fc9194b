"""The ASGI door: bounded bodies on every route, and clients that leave."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest
from support.arithmetic import Executor, Recording
from support.gateway import plane_of, scrape, table
from support.waiting import until

from serve_app.batching.coalescer import Bounds
from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster
from serve_app.transport.asgi import GatewayAsgi
from serve_app.transport.http import InferHandler
from serve_app.transport.pages import Pages

INFER = "/v2/models/arithmetic/infer"
BODY = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 1, 1]}]}'


async def call(chunks, path=INFER, method="POST", headers=(), limit=200, **options):
    """Send one request through the bare ASGI interface; chunks of None are a disconnect."""
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    messages = [
        {"type": "http.disconnect"}
        if chunk is None
        else {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    read, sent = iter(messages), []

    async def receive():
        for message in read:
            return message
        return await asyncio.Event().wait()  # nothing more comes, and nobody hangs up

    async def send(message):
        sent.append(message)

    async with plane_of(LocalCluster(Executor("v1")), traffic, LimitsConfig(max_body_bytes=limit)) as plane:
        await GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits, **options)(scope, receive, send)
    left = len(list(read))
    return sent, left


def status_and_body(sent):
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.mark.parametrize("chunks", [[BODY], [BODY[:10], BODY[10:20], BODY[20:]], [b"", BODY], [BODY, b""]])
async def test_bodies_come_in_any_pieces(chunks):
    sent, _ = await call(chunks)
    status, answer = status_and_body(sent)
    assert (status, answer["outputs"][1]["data"]) == (200, [3])
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()


async def test_long_and_short_pieces_are_joined_in_order():
    data = np.arange(12_000, dtype=np.float32)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "datatype": "FP32",
                    "shape": [4000, 3],
                    "parameters": {"binary_data_size": data.nbytes},
                }
            ],
            "outputs": [{"name": "total"}],
        }
    ).encode()
    body, ends = head + data.tobytes(), (0, 10, 20, 9000, 9001, 30_000, 40_000)
    chunks = [body[start:end] for start, end in zip(ends, (*ends[1:], None), strict=True)]
    length = (b"inference-header-content-length", str(len(head)).encode())
    sent, _ = await call(chunks, headers=[length], limit=100_000)
    status, answer = status_and_body(sent)
    assert status == 200
    assert answer["outputs"][0]["data"] == data.reshape(-1, 3).sum(axis=1).tolist()


async def test_a_told_length_over_the_limit_is_refused_unread():
    sent, left = await call([b"x"], headers=[(b"content-length", b"201")])
    assert status_and_body(sent) == (413, {"error": "the body has 201 bytes, the limit is 200"})
    assert left == 1


async def test_a_body_that_grows_over_the_limit_is_refused_there():
    sent, left = await call([b"x" * 150] * 10)
    assert status_and_body(sent) == (413, {"error": "the body has 300 bytes, the limit is 200"})
    assert left == 8


async def test_the_limit_holds_on_cold_routes_too():
    sent, left = await call([b"x" * 150] * 10, path="/v2/repository/index")
    assert status_and_body(sent)[0] == 413
    assert left == 8


async def test_a_length_that_is_no_number_is_not_believed():
    sent, _ = await call([BODY], headers=[(b"content-length", b"9" * 30)])
    assert sent[0]["status"] == 200


async def test_a_client_that_leaves_in_its_body_gets_no_answer():
    sent, _ = await call([BODY[:10], None, b""])
    assert sent == []


async def test_the_request_id_is_left_to_a_server_that_sends_it():
    for options, expected in (({}, 1), ({"in_serve": True}, 0)):
        sent, _ = await call([BODY], **options)
        assert [name for name, _ in sent[0]["headers"]].count(b"x-request-id") == expected


async def test_another_method_on_an_infer_route_says_what_is_allowed():
    sent, _ = await call([b""], method="DELETE")
    assert sent[0]["status"] == 405
    assert dict(sent[0]["headers"])[b"allow"] == b"POST"


async def test_a_client_that_leaves_takes_its_waiting_rows_along():
    model = Recording(held=True)
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(Executor("v1", model)), traffic) as plane:
        app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)
        coalescer = plane.directory.resolve("arithmetic", "", 0).coalescer
        coalescer.slots, coalescer.bounds = 1, Bounds()
        scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}

        def connection() -> tuple[asyncio.Queue, asyncio.Task]:
            messages: asyncio.Queue = asyncio.Queue()
            messages.put_nowait({"type": "http.request", "body": BODY})
            return messages, asyncio.create_task(app(scope, messages.get, sent.put))

        sent: asyncio.Queue = asyncio.Queue()
        _, first = connection()
        await until(model.started.is_set)
        leaver, second = connection()
        await until(lambda: coalescer.queued_rows == 1)
        leaver.put_nowait({"type": "http.disconnect"})
        await second
        assert coalescer.queued_rows == 0
        model.release()
        await first
    assert model.batch_rows == [1]
    assert sent.qsize() == 2


async def slow_body(pieces, **limits):
    """What is sent after some pieces of a body that never ends."""
    sent: list[dict] = []
    left = list(pieces)

    async def receive():
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        return await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    async with plane_of(LocalCluster(Executor("v1")), traffic, LimitsConfig(**limits)) as plane:
        await GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)(scope, receive, send)
    return sent


@pytest.mark.parametrize("pieces", [[], [b"{"]], ids=["nothing at all", "a byte"])
async def test_a_body_that_does_not_end_is_given_up(pieces):
    sent = await slow_body(pieces, body_timeout_s=0.01)
    assert status_and_body(sent) == (408, {"error": "the body did not arrive within 0.01 s"})
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_body_in_too_many_pieces_is_refused():
    sent = await slow_body([b" "] * 11, max_body_pieces=10)
    assert status_and_body(sent) == (413, {"error": "the body has 11 pieces, the limit is 10"})


@pytest.mark.parametrize(("headers", "closes"), [([], False), ([(b"expect", b"100-continue")], True)])
@pytest.mark.parametrize(
    ("method", "length", "lag_s", "status"), [("POST", 10, 60.0, 429), ("POST", 10**6, 0.0, 413), ("GET", 10, 0.0, 405)]
)
async def test_who_may_leave_its_body_out_does_not_go_on_with_the_connection(
    headers, closes, method, length, lag_s, status
):
    """A server that is still waiting for that body would take the next request for it."""
    told = [(b"content-length", str(length).encode()), *headers]
    scope = {"type": "http", "method": method, "path": INFER, "headers": told}
    limits = LimitsConfig(max_body_bytes=1000)
    async with plane_of(LocalCluster(Executor("v1")), table(arithmetic={"traffic": {"v1": 100}}), limits) as plane:
        plane._lag.stop()
        plane._lag.lag_s = lag_s
        sent = []

        async def send(message):
            sent.append(message)

        await GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)(scope, None, send)
    assert sent[0]["status"] == status
    assert ((b"connection", b"close") in sent[0]["headers"]) is closes


async def test_no_more_requests_are_under_way_than_may_be():
    model = Recording(held=True)
    traffic = table(arithmetic={"traffic": {"v1": 100}})
    scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}
    async with plane_of(LocalCluster(Executor("v1", model)), traffic) as plane:
        app = GatewayAsgi(InferHandler(plane), Pages(plane, scrape).app, plane.limits)
        app.most_ongoing = 2

        async def ask():
            sent, read = [], iter([{"type": "http.request", "body": BODY}])

            async def receive():
                for message in read:
                    return message
                return await asyncio.Event().wait()

            async def send(message):
                sent.append(message)

            await app(scope, receive, send)
            return status_and_body(sent)

        first = [asyncio.create_task(ask()) for _ in range(2)]
        await until(model.started.is_set)
        status, answer = await ask()
        assert status == 429
        assert answer["error"].startswith("this gateway replica has 2 requests, as many as its max_ongoing_requests")
        model.release()
        assert [(await one)[0] for one in first] == [200, 200]
        assert (await ask())[0] == 200
