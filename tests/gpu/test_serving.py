"""A whole server where there is a GPU: placed there by Ray, swapped on it, and back on it after a replica's death."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.load import under_load
from support.server import Server, v2_body, wait_for

from load_tests.gpu_cost import images, release, repository_at
from load_tests.gpu_serving import CHECKED_ROWS, check_answers, config_of, target_of

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parents[2]
SIDE, MODEL = 16, "torch_export16"


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """Two versions of one net, the second of the same file."""
    (source,) = repository_at(tmp_path_factory.mktemp("repository"), ["torch_export"], (SIDE,)).values()
    first = release(source, "auto")
    return first, first.model_copy(update={"version": "v2"})


@pytest.fixture(scope="module")
def server(tmp_path_factory, releases) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    running = Server(ROOT, folder)
    running.config = config_of(running.config, releases, folder / "state.db")
    running.start()
    try:
        wait_for("the version without traffic", lambda: running.readiness(MODEL, "v2")[0] == 200, 60)
        yield running
    finally:
        running.stop()


def device(server, version: str) -> str:
    return httpx.get(f"{server.url}/v2/models/{MODEL}/versions/{version}").json()["parameters"]["device"]


def test_ray_places_both_versions_on_the_gpu_and_both_doors_answer_as_the_cpu_does(server, releases):
    for one in releases:
        assert device(server, one.version) == "cuda:0"
        for url in (server.url, server.express_url):
            check_answers(target_of(url, one, SIDE, CHECKED_ROWS), one, SIDE, CHECKED_ROWS)


async def test_a_swap_of_two_versions_on_one_gpu_loses_nothing(server):
    body = v2_body("input", images(1, SIDE))
    before = server.pids()
    async with under_load(server.url, model=MODEL, body=body) as load:
        await asyncio.to_thread(wait_for, "traffic", lambda: len(load.statuses) > 100, 60)
        await asyncio.to_thread(server.deploy, server.with_traffic(**{MODEL: {"traffic": {"v1": 0, "v2": 100}}}))
        swapped = time.monotonic() + 2
        await asyncio.to_thread(wait_for, "a second more", lambda: time.monotonic() > swapped + 1, 30)
    assert load.failures == []
    assert {version for at, version in load.versions if at > swapped} == {"v2"}
    assert "v1" in {version for _, version in load.versions}
    assert server.pids() == before


def test_a_killed_replica_returns_to_the_gpu(server, releases):
    (killed,) = server.deployment_pids(f"{MODEL}-v1", MODEL)
    os.kill(killed, signal.SIGKILL)
    wait_for("another replica", lambda: server.deployment_pids(f"{MODEL}-v1", MODEL) not in ([], [killed]), 60)
    wait_for("readiness", lambda: server.readiness(MODEL, "v1")[0] == 200, 60)
    url, body = f"{server.url}/v2/models/{MODEL}/versions/v1/infer", v2_body("input", images(1, SIDE))
    # The first may still meet the dead one.
    wait_for("an answer", lambda: httpx.post(url, content=body).status_code == 200, 60)
    assert device(server, "v1") == "cuda:0"
    check_answers(target_of(server.url, releases[0], SIDE, CHECKED_ROWS), releases[0], SIDE, CHECKED_ROWS)
