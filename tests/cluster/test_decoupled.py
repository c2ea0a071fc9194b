"""A model with any number of responses, through every door of the running server."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc
from support.server import wait_for

MANIFEST = {
    "format": "python",
    "decoupled": True,
    "inputs": [{"name": "upto", "datatype": "INT64", "shape": [-1]}],
    "outputs": [{"name": name, "datatype": "INT64", "shape": [-1]} for name in ("ended", "pid", "number")],
    "golden": [{"inputs": {"upto": [2]}, "outputs": {"number": [1]}}],
}
ENDLESS = 10**9  # numbers, at 10 ms each: 116 days
STREAM = "/v2/models/count/generate_stream"


@pytest.fixture(scope="module")
def counting(server, tmp_path_factory) -> Iterator[None]:
    with server.beside("count", tmp_path_factory.mktemp("count"), "support.counting_model:Count", MANIFEST):
        yield


def events(url: str, upto: int) -> list[dict[str, Any]]:
    answer = httpx.post(url + STREAM, json={"upto": upto}, timeout=30)
    assert answer.status_code == 200, answer.text
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]


@pytest.mark.parametrize("door", ["url", "express_url"])
def test_every_response_comes_and_what_goes_wrong_is_the_last(server, counting, door):
    url = getattr(server, door)
    assert [event["number"] for event in events(url, 5)] == [1, 2, 3, 4, 5]
    *good, last = events(url, 20)
    assert ([event["number"] for event in good], "13 brings bad luck" in last["error"]) == ([*range(1, 13)], True)


@pytest.mark.parametrize("door", ["url", "express_url"])
def test_a_client_that_leaves_stops_the_model(server, counting, door):
    url = getattr(server, door)
    before = events(url, 1)[0]["ended"]
    with httpx.stream("POST", url + STREAM, json={"upto": ENDLESS}, timeout=30) as answer:
        next(answer.iter_lines())
    wait_for("the end of the stream", lambda: events(url, 1)[0]["ended"] >= before + 2, 10)


def test_long_streams_of_clients_that_left_make_room(server, counting):
    """Eight rows may be open: nine streams of hours would leave no room for the tenth if they went on."""
    for _ in range(9):
        with httpx.stream("POST", server.url + STREAM, json={"upto": [ENDLESS] * 8}, timeout=30) as answer:
            assert answer.status_code == 200
            next(answer.iter_lines())
    assert [event["number"] for event in events(server.url, 2)] == [1, 2]


def test_tritonclient_gets_every_response_of_each_request(server, counting):
    answers: queue.Queue = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as client:
        config = client.get_model_config("count").config
        client.start_stream(callback=lambda result, error: answers.put((result, error)))
        for name, upto in (("a", 3), ("b", 2)):
            given = tritonclient.grpc.InferInput("upto", [1], "INT64").set_data_from_numpy(np.array([upto]))
            client.async_stream_infer("count", [given], request_id=name, enable_empty_final_response=True)
        told = [answers.get(timeout=30) for _ in range(7)]
        client.stop_stream()
    assert config.model_transaction_policy.decoupled
    assert [error for _, error in told if error] == []
    numbers: dict[str, list[int]] = {"a": [], "b": []}
    for result, _ in told:
        response = result.get_response()
        if not response.parameters["triton_final_response"].bool_param:
            numbers[response.id].append(int(result.as_numpy("number")[0]))
    assert numbers == {"a": [1, 2, 3], "b": [1, 2]}


HANDLE = """
import asyncio, numpy as np, ray
from deployments.client import connect

async def main():
    ray.init(address="auto", log_to_driver=False)
    responses = connect("count").stream(upto=np.array([3]))
    print([int(outputs["number"][0]) async for outputs in responses])

asyncio.run(main())
"""


def test_a_python_handle_gets_every_response(server, counting):

    assert "[1, 2, 3]" in server.run(sys.executable, "-c", HANDLE)


def test_a_replica_that_dies_ends_the_stream_with_a_sentence_and_comes_back(server, counting):
    with httpx.stream("POST", server.url + STREAM, json={"upto": [ENDLESS] * 8}, timeout=60) as answer:
        lines = (line for line in answer.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        os.kill(first["pid"][0], signal.SIGKILL)
        last = json.loads(list(lines)[-1].removeprefix("data: "))
    assert "died" in last["error"]
    wait_for("its return", lambda: server.readiness("count", "v1")[0] == 200, 60)
    assert [event["number"] for event in events(server.url, 1)] == [1]
