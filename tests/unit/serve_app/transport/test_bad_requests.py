"""Every bad request gets its status and a sentence, in no time, and the gateway goes on."""

from __future__ import annotations

import time

import pytest
from support.bad_requests import BAD_REQUESTS, BadRequest, body, tensor
from support.doors import digits_plane
from support.gateway import client_of


@pytest.fixture
async def client():
    async with digits_plane() as plane, client_of(plane) as http:
        yield http


@pytest.mark.parametrize("bad", BAD_REQUESTS, ids=lambda bad: bad.name)
async def test_a_bad_request_is_refused_with_a_sentence(client, bad: BadRequest):
    started = time.perf_counter()
    response = await client.request(bad.method, bad.path, content=bad.body, headers=bad.headers)
    assert time.perf_counter() - started < 1
    assert response.status_code == bad.status, response.text
    assert bad.says in response.json()["error"]
    good = await client.post("/v2/models/digits/infer", content=body(tensor()))
    assert good.status_code == 200


def test_the_table_has_no_duplicates():
    names = [bad.name for bad in BAD_REQUESTS]
    assert len(set(names)) == len(names) >= 30
