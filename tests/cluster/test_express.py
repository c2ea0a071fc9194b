"""The gateway's own port: the same answers as the Serve proxy's, and none is lost when gateways come and go."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import pytest
from support.bad_requests import BAD_REQUESTS
from support.load import under_load
from support.server import Server, outputs_of, v2_body, wait_for

from serve_app.samples.data import held_out


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return held_out("digits")[0]


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30) as client:
        yield client


def test_the_door_gives_the_answers_of_the_proxy(server, http, pixels):
    for path, rows in (("/v2/models/digits/versions/v1/infer", 1), ("/v2/models/digits/labels/canary/infer", 7)):
        body = v2_body("pixels", pixels[:rows], id="mine")
        doors = [http.post(url + path, content=body) for url in (server.url, server.express_url)]
        assert [door.status_code for door in doors] == [200, 200]
        assert outputs_of(doors[0].json()) == outputs_of(doors[1].json())
        assert len({door.headers["x-model-version"] for door in doors}) == 1
        for header in ("content-type", "x-request-id", "server-timing"):
            assert all(len(door.headers.get_list(header)) == 1 for door in doors)


@pytest.mark.parametrize("path", ["/v2", "/v2/health/ready", "/v2/models/digits", "/v2/models/wine/ready", "/nowhere"])
def test_the_door_shows_the_same_pages(server, http, path):
    doors = [http.get(url + path) for url in (server.url, server.express_url)]
    assert doors[0].status_code == doors[1].status_code
    assert doors[0].content == doors[1].content


def test_the_door_refuses_the_same_requests(server, http):
    wrong = {}
    for bad in BAD_REQUESTS:
        response = http.request(bad.method, server.express_url + bad.path, content=bad.body, headers=bad.headers)
        if response.status_code != bad.status or bad.says not in response.text:
            wrong[bad.name] = response.text
    assert wrong == {}


def gateway_of(config: dict[str, Any]) -> dict[str, Any]:
    deployment: dict[str, Any] = config["applications"][0]["deployments"][0]
    return deployment


@pytest.fixture
def restored(server: Server) -> Iterator[None]:
    """Deploys the configuration of before the test again and waits until one gateway serves it."""
    before = copy.deepcopy(server.config)
    yield
    server.deploy(before)
    wait_for("one gateway", lambda: len(server.pids()["gateway"]) == 1 and both_ready(server), 120)


def both_ready(server: Server) -> bool:
    return all(httpx.get(f"{url}/v2/health/ready").status_code == 200 for url in (server.url, server.express_url))


def gateways(server: Server) -> list[str]:
    """The states of the gateway's replicas; Serve may show none at the moment of a deployment."""
    deployment = server.applications()["gateway"]["deployments"].get("Gateway", {"replicas": []})
    return sorted(replica["state"] for replica in deployment["replicas"])


async def happens(what: str, claim: Any, seconds: float) -> None:
    await asyncio.to_thread(wait_for, what, claim, seconds)


async def test_gateways_come_and_go_and_the_door_loses_nothing(server, restored):
    one, two, replaced = (copy.deepcopy(server.config) for _ in range(3))
    gateway_of(two)["num_replicas"] = 2
    gateway_of(replaced)["max_surge_percent"] = 100  # the new one is there before the old one leaves
    replaced["applications"][0]["args"]["limits"]["timeout_s"] = 29

    def is_alone() -> bool:
        return gateways(server) == ["RUNNING"]

    async with AsyncExitStack() as stack:
        kept = await stack.enter_async_context(under_load(server.express_url, connections=4))
        fresh = await stack.enter_async_context(under_load(server.express_url, connections=2, keeps_alive=False))
        await happens("traffic", lambda: len(kept.statuses) > 50, 60)
        await asyncio.to_thread(server.deploy, two)
        await happens("a second gateway at the door", lambda: len(fresh.gateways) == 2, 90)
        await asyncio.to_thread(server.deploy, one)
        await happens("one gateway alone", is_alone, 90)
        (before,) = server.pids()["gateway"]
        await asyncio.to_thread(server.deploy, replaced)
        await happens("another gateway alone", lambda: is_alone() and server.pids()["gateway"] != [before], 120)
        seen = len(fresh.statuses)
        await happens("traffic through it", lambda: len(fresh.statuses) > seen + 50, 60)
    assert len(fresh.gateways) == 3
    for load in (kept, fresh):
        assert load.failures == []
        assert set(load.statuses) == {200}
        assert len(load.gateways) >= 2
