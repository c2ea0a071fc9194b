"""Whatever is asked, the express door and the ASGI door say the same, over real sockets."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
from support.bad_requests import BAD_REQUESTS, INFER, MAX_BODY_BYTES, TENSORFLOW, TORCHSERVE, BadRequest, body, tensor
from support.doors import digits_plane, express_of, uvicorn_of

DIFFER = {"date", "server", "server-timing", "x-request-id"}
SO_FAR = re.compile(rb"has \d+ bytes")  # how much had come when a body without a length went over its limit
GOOD = body(tensor())
MANY = body(tensor(shape=[100, 64], data=[0.5] * 6400))
TAKES_ZSTD = {"accept-encoding": "zstd"}


@dataclass(frozen=True)
class Request:
    name: str
    method: str
    path: str
    body: bytes | tuple[bytes, ...] = b""  # a tuple is sent in chunks, without a length
    headers: dict[str, str] = field(default_factory=dict)


def as_request(bad: BadRequest) -> Request:
    return Request(bad.name, bad.method, bad.path, bad.body, bad.headers)


GOOD_REQUESTS = [
    Request("one row", "POST", INFER, GOOD),
    Request("three rows", "POST", INFER, body(tensor(shape=[3, 64], data=[0.5] * 192))),
    Request("with an id", "POST", INFER, body(tensor(), id="7")),
    Request("one output", "POST", INFER, body(tensor(), outputs=[{"name": "label"}])),
    Request("a version", "POST", "/v2/models/digits/versions/v2/infer", GOOD),
    Request("a label", "POST", "/v2/models/digits/labels/stable/infer", GOOD),
    Request("a name in percent signs", "POST", "/v2/models/%64igits/infer", GOOD),
    Request("with a query", "POST", INFER + "?a=b&c", GOOD),
    Request("predict", "POST", "/predict", b'{"input": [' + b"0," * 63 + b"0]}"),
    Request("TF rows", "POST", TENSORFLOW, b'{"instances": [[' + b"0," * 63 + b"0]]}"),
    Request("TF columns", "POST", "/v1/models/digits/versions/v2:predict", b'{"inputs": [[' + b"0," * 63 + b"0]]}"),
    Request("TF classify", "POST", "/v1/models/digits:classify", b'{"examples": [{"pixels": [' + b"0," * 63 + b"0]}]}"),
    Request("TF status", "GET", "/v1/models/digits"),
    Request("TF metadata", "GET", "/v1/models/digits/labels/stable/metadata"),
    Request("TorchServe raw", "POST", TORCHSERVE, bytes(256)),
    Request("TorchServe file", "PUT", TORCHSERVE + "/v1", bytes(256)),
    Request("TorchServe file in chunks", "PUT", TORCHSERVE, (bytes(200), bytes(56))),
    Request("TorchServe JSON", "POST", TORCHSERVE, b"[" + b"0," * 63 + b"0]", {"content-type": "application/json"}),
    Request("TorchServe health", "GET", "/ping"),
    Request("TorchServe models", "GET", "/models?limit=1"),
    Request("TorchServe model", "GET", "/models/digits/all"),
    Request("raw bytes", "POST", INFER, bytes(256), {"inference-header-content-length": "0"}),
    Request("raw bytes in chunks", "POST", INFER, (bytes(100), bytes(156)), {"inference-header-content-length": "0"}),
    Request("in chunks", "POST", INFER, (GOOD[:10], GOOD[10:50], GOOD[50:])),
    Request("in one chunk", "POST", INFER, (GOOD,)),
    Request("in no chunk", "POST", INFER, ()),
    Request("chunks over the limit", "POST", INFER, (b" " * 400_000,) * 8),
    Request("at the limit", "POST", INFER, GOOD + b" " * (MAX_BODY_BYTES - len(GOOD))),
    Request("far over the limit", "POST", INFER, b" " * (20 * MAX_BODY_BYTES)),
    Request("not ASCII in the path", "POST", "/v2/models/d%C3%AFgits/infer", GOOD),
    Request("not UTF-8 in the path", "POST", "/v2/models/d%FFgits/infer", GOOD),
    Request("a version in a header", "POST", INFER, GOOD, {"x-model-version": "v2"}),
    Request(
        "a label in a header", "POST", "/predict", b'{"input": [' + b"0," * 63 + b"0]}", {"x-model-version": "stable"}
    ),
    Request("no version in a header", "POST", INFER, GOOD, {"x-model-version": "v 2"}),
    Request("a timeout in a header", "POST", INFER, GOOD, {"x-request-timeout-seconds": "5"}),
    Request("compressed", "POST", INFER, gzip.compress(GOOD), {"content-encoding": "gzip"}),
    Request("compressed in chunks", "POST", INFER, (zlib.compress(GOOD),), {"content-encoding": "deflate"}),
    Request("compressed both ways", "POST", INFER, gzip.compress(MANY), {"content-encoding": "gzip", **TAKES_ZSTD}),
    Request("answered compressed", "POST", INFER, MANY, TAKES_ZSTD),
    Request("too short to be compressed", "POST", INFER, GOOD, TAKES_ZSTD),
    Request("HEAD on infer", "HEAD", INFER),
    Request("PUT on infer", "PUT", INFER, GOOD),
    Request("PUT in chunks", "PUT", INFER, (GOOD, GOOD)),
    Request("PUT far over the limit", "PUT", INFER, b" " * (20 * MAX_BODY_BYTES)),
    Request("OPTIONS on infer", "OPTIONS", INFER),
    Request("a rare method", "PROPFIND", INFER),
    Request("the server", "GET", "/v2"),
    Request("HEAD of the server", "HEAD", "/v2"),
    Request("PUT to the server", "PUT", "/v2", b"{}"),
    Request("live", "GET", "/v2/health/live"),
    Request("ready", "GET", "/v2/health/ready"),
    Request("a model", "GET", "/v2/models/digits"),
    Request("a version's readiness", "GET", "/v2/models/digits/versions/v2/ready"),
    Request("the index", "POST", "/v2/repository/index"),
    Request("the index of the ready", "POST", "/v2/repository/index", b'{"ready": true}'),
    Request("the index in chunks", "POST", "/v2/repository/index", (b'{"ready"', b": true}")),
    Request("the index, cut in the middle", "POST", "/v2/repository/index", b'{"ready"'),
    Request("the index over its limit", "POST", "/v2/repository/index", b" " * 70_000),
    Request("the index far over its limit", "POST", "/v2/repository/index", b" " * (20 * MAX_BODY_BYTES)),
    Request("the index in chunks over its limit", "POST", "/v2/repository/index", (b" " * 40_000,) * 4),
    Request("nothing there", "GET", "/nowhere?at=all"),
    Request("the root", "GET", "/"),
    Request("metrics", "GET", "/metrics"),
]
REQUESTS = [*GOOD_REQUESTS, *map(as_request, BAD_REQUESTS)]


@pytest.fixture
async def doors() -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    async with (
        digits_plane() as plane,
        uvicorn_of(plane) as asgi_port,
        express_of(plane) as express,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{asgi_port}") as asgi,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{express.port}") as rsgi,
    ):
        yield asgi, rsgi


async def said(client: httpx.AsyncClient, request: Request) -> tuple[int, bytes, list[tuple[str, str]]]:
    async def chunks() -> AsyncIterator[bytes]:
        for chunk in request.body:
            yield chunk

    content = chunks() if isinstance(request.body, tuple) else request.body
    response = await client.request(request.method, request.path, content=content, headers=request.headers)
    content, cut = SO_FAR.subn(b"has more", response.content)
    differ = DIFFER | ({"content-length"} if cut else set())
    headers = sorted((name, value) for name, value in response.headers.multi_items() if name not in differ)
    return response.status_code, content, headers


async def test_both_doors_give_the_same_answer(doors):
    asgi, rsgi = doors
    answers = {request.name: (await said(rsgi, request), await said(asgi, request)) for request in REQUESTS}
    assert {name: pair for name, pair in answers.items() if pair[0] != pair[1]} == {}
    statuses = {name: rsgi[0] for name, (rsgi, _) in answers.items()}
    assert (
        statuses["one row"] == statuses["raw bytes"] == statuses["in chunks"] == statuses["the index in chunks"] == 200
    )
    assert {statuses[name] for name in statuses if name.startswith(("TF ", "TorchServe "))} == {200}
    assert statuses["far over the limit"] == statuses["chunks over the limit"] == 413
    assert statuses["HEAD on infer"] == 405
    assert set(statuses.values()) == {200, 400, 404, 405, 413, 415, 501}
    assert len(statuses) == len(REQUESTS) >= 99


async def test_both_doors_know_the_same_headers(doors):
    for client in doors:
        given = {"x-request-id": "mine", "x-request-timeout-seconds": "0.000000001"}
        late = await client.post(INFER, content=GOOD, headers=given)
        assert late.headers["x-request-id"] == "mine"
        assert late.headers.get_list("content-type") == ["application/json"]


async def test_a_refused_body_costs_neither_door_its_connection(doors):
    for client in doors:
        answers = [
            await client.post(INFER, content=b" " * (MAX_BODY_BYTES + 1)),
            await client.post(INFER, content=GOOD),
        ]
        assert [answer.status_code for answer in answers] == [413, 200]
        ports = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}
        assert len(ports) == 1


async def test_both_doors_turn_requests_away_while_the_event_loop_is_behind_and_their_connections_live_on():
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(GOOD), 20):
            yield GOOD[at : at + 20]

    async with digits_plane() as plane, express_of(plane) as door, uvicorn_of(plane) as port:
        plane._lag.stop()
        for one in (door.port, port):
            limits = httpx.Limits(max_connections=1)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one}", limits=limits) as client:
                plane._lag.lag_s = 60.0
                refused = [await client.post(INFER, content=content) for content in (GOOD, chunks(), GOOD)]
                plane._lag.lag_s = 0.0
                answered = await client.post(INFER, content=GOOD)
            assert [answer.status_code for answer in (*refused, answered)] == [429, 429, 429, 200]
            assert "digits-v1 has work ahead" in refused[0].json()["error"]
