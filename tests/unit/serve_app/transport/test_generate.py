"""Decoupled models by server-sent events, over real sockets at both doors."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from support.arithmetic import Executor
from support.decoupled import Counting, server_of
from support.doors import express_of, uvicorn_of
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.config.gateway import LimitsConfig
from serve_app.data_plane.local import LocalCluster

COUNT = "/v2/models/count"


@asynccontextmanager
async def client_of(door: str, model: Counting, limits: LimitsConfig | None = None, **changes: object):
    """A client of a gateway with the decoupled model and one with one response."""
    release = server_of(model, **changes)
    traffic = table(count={"traffic": {"v1": 100}, "labels": {"stable": "v1"}}, arithmetic={"traffic": {"v1": 100}})
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(plane_of(LocalCluster(release, Executor()), traffic, limits))
        if door == "express":
            port = (await stack.enter_async_context(express_of(plane))).port
        else:
            port = await stack.enter_async_context(uvicorn_of(plane))
        yield await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}"))
    release.close()


doors = pytest.mark.parametrize("door", ["asgi", "express"])


def events(text: str) -> list[dict[str, object]]:
    parts = text.split("\n\n")
    assert parts.pop() == ""
    assert all(part.startswith("data: ") for part in parts)
    return [json.loads(part.removeprefix("data: ")) for part in parts]


@doors
@pytest.mark.parametrize("path", [COUNT, COUNT + "/versions/v1", COUNT + "/labels/stable"])
async def test_each_response_is_an_event(door, path):
    async with client_of(door, Counting()) as client:
        answer = await client.post(path + "/generate_stream", json={"upto": 3, "id": "7"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-model-version"] == "v1"
    head = {"model_name": "count", "model_version": "v1", "id": "7"}
    assert events(answer.text) == [head | {"number": number} for number in (1, 2, 3)]


@doors
async def test_a_response_comes_before_the_next_one_is_made(door):
    model = Counting(held=True)
    async with (
        client_of(door, model) as client,
        client.stream("POST", COUNT + "/generate_stream", json={"upto": 2}) as answer,
    ):
        lines = answer.aiter_lines()
        assert json.loads((await anext(lines)).removeprefix("data: "))["number"] == 1
        model.go.set()
        rest = [line async for line in lines if line]
    assert [json.loads(line.removeprefix("data: "))["number"] for line in rest] == [2]


@doors
async def test_a_client_that_leaves_stops_the_model(door):
    model = Counting()
    async with client_of(door, model) as client:
        async with client.stream("POST", COUNT + "/generate_stream", json={"upto": 10**12}) as answer:
            await anext(answer.aiter_bytes())
        await until(model.closed.is_set)


@doors
async def test_a_client_that_leaves_before_the_first_response_stops_the_wait(door):
    model = Counting(held=True)
    async with client_of(door, model, max_rows=1) as client:
        async with client.stream("POST", COUNT + "/generate_stream", json={"upto": 9}) as answer:
            await anext(answer.aiter_bytes())
            waiting = asyncio.create_task(client.post(COUNT + "/generate_stream", json={"upto": 1}))
            await asyncio.sleep(0.2)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        model.go.set()
        again = await client.post(COUNT + "/generate_stream", json={"upto": 1})
    assert [event["number"] for event in events(again.text)] == [1]


@doors
async def test_what_goes_wrong_later_is_the_last_event(door):
    async with client_of(door, Counting()) as client:
        answer = await client.post(COUNT + "/generate_stream", json={"upto": 20})
    *good, last = events(answer.text)
    assert (answer.status_code, len(good)) == (200, 12)
    assert last == {"error": "count-v1 failed: ValueError: 13 brings bad luck"}


@doors
@pytest.mark.parametrize(
    ("path", "body", "status", "sentence"),
    [
        (COUNT, {"upto": "three"}, 400, "input 'upto'"),
        (COUNT, {}, 400, "input 'upto' is missing"),
        (COUNT, {"upto": [1, 2, 3, 4, 5]}, 413, "5 rows"),
        ("/v2/models/nobody", {"upto": 1}, 404, "nobody"),
        (COUNT + "/versions/v9", {"upto": 1}, 404, "v9"),
    ],
)
@pytest.mark.parametrize("verb", ["/generate", "/generate_stream"])
async def test_what_goes_wrong_first_has_its_status(door, path, body, status, sentence, verb):
    async with client_of(door, Counting()) as client:
        answer = await client.post(path + verb, json=body)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


@doors
async def test_generate_is_for_exactly_one_response(door):
    async with client_of(door, Counting()) as client:
        one = await client.post(COUNT + "/generate", json={"upto": 1})
        several = await client.post(COUNT + "/generate", json={"upto": 2})
        none = await client.post(COUNT + "/generate", json={"upto": 0})
    assert (one.status_code, one.json()["number"]) == (200, 1)
    assert (several.status_code, none.status_code) == (501, 501)
    assert "several responses" in several.json()["error"]
    assert "no response" in none.json()["error"]


@doors
async def test_no_response_at_all_is_an_empty_stream(door):
    async with client_of(door, Counting()) as client:
        answer = await client.post(COUNT + "/generate_stream", json={"upto": 0})
    assert (answer.status_code, answer.text) == (200, "")


@doors
async def test_a_model_of_one_response_is_a_stream_of_one(door):
    async with client_of(door, Counting()) as client:
        answer = await client.post("/v2/models/arithmetic/generate_stream", json={"x": [1, 2, 3]})
        alone = await client.post("/v2/models/arithmetic/generate", json={"x": [1, 2, 3]})
    assert [(event["y"], event["total"]) for event in events(answer.text)] == [([3, 5, 7], 6)]
    assert alone.json()["total"] == 6


@doors
async def test_the_body_may_be_large_and_compressed_within_the_limits(door):
    limits = LimitsConfig(max_body_bytes=200_000)
    async with client_of(door, Counting(), limits) as client:
        large = await client.post(COUNT + "/generate", json={"upto": 1, "note": "x" * 100_000})
        packed = await client.post(
            COUNT + "/generate", content=gzip.compress(b'{"upto": 1}'), headers={"content-encoding": "gzip"}
        )
        over = await client.post(COUNT + "/generate", json={"upto": 1, "note": "x" * 300_000})
    assert (large.status_code, packed.status_code, over.status_code) == (200, 200, 413)


async def test_other_verbs_say_where_to_ask():
    body = {"inputs": [{"name": "upto", "datatype": "INT64", "shape": [1], "data": [3]}]}
    async with client_of("asgi", Counting()) as client:
        answer = await client.post(COUNT + "/infer", json=body)
        wrong_method = await client.get(COUNT + "/generate")
    assert answer.status_code == 501
    assert "generate_stream" in answer.json()["error"]
    assert wrong_method.status_code == 405
