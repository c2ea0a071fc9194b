from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from support.doors import digits_plane, express_of, uvicorn_of

from load_tests.fuzz import CLOSED, WRONG, ask, fuzz, requests, right_requests


async def test_right_requests_are_answered_well_at_both_doors():
    async with digits_plane() as plane, uvicorn_of(plane) as port, express_of(plane) as express:
        for door in (port, express.port):
            statuses = [await asyncio.to_thread(ask, ("127.0.0.1", door), request) for request in right_requests()]
            assert set(statuses) == {"200", "400", "501"}
            assert statuses.count("501") == 3  # releases, those of a model, an experiment: there is no controller here
            assert (
                statuses.count("400") == 2 + 3
            )  # two regions of shared memory; no labels, twice; JSON without tensors


async def test_a_gateway_stands_it_and_every_outcome_is_counted():
    async with digits_plane() as plane, uvicorn_of(plane) as port, express_of(plane) as express:
        urls = [f"http://127.0.0.1:{door}" for door in (port, express.port)]
        times: list[float] = []
        result = await asyncio.to_thread(fuzz, urls, 0.0001, lambda: {"server": 1}, times.append)
    assert (result.failures, result.wrong) == ([], [])
    assert result.outcomes.total() >= 300
    assert {"200", "400"} <= set(result.outcomes)
    assert len(times) == len(result.memory) == 1


@pytest.mark.parametrize("status", [500, 502])
async def test_a_server_that_breaks_is_told(status):
    async def break_down(reader, writer):
        await reader.read(2**16)
        writer.write(b"HTTP/1.1 %d Broken\r\ncontent-length: 0\r\n\r\n" % status)
        writer.close()

    async with await asyncio.start_server(break_down, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        result = await asyncio.to_thread(fuzz, [url], 0.0001, None, lambda _: None)
    assert {outcome for outcome, _ in result.wrong} == {str(status)}
    assert result.failures == [f"{url} is not as it should be"]


def test_nobody_there_is_no_answer():
    assert ask(("127.0.0.1", 1), b"GET / HTTP/1.1\r\n\r\n") == CLOSED
    assert CLOSED not in WRONG


@given(requests())
def test_requests_are_bytes_and_never_empty(request):
    assert isinstance(request, bytes)
