"""One real cluster for all cluster tests: configs/prod.yaml on ports of its own, started as a user starts it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.server import Server, v2_body, wait_for

from serve_app.samples.data import held_out

ROOT = Path(__file__).parents[2]
LAST = "test_stop.py"  # of the cluster tests: it ends the server
SPLIT = {"v1": 90, "v2": 10}  # of digits in configs/prod.yaml


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_here(item):
            item.add_marker(pytest.mark.cluster)
    items.sort(key=lambda item: (not is_here(item), item.path.name == LAST))


def is_here(item: pytest.Item) -> bool:
    return Path(__file__).parent in item.path.parents


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(ROOT, tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def restored(server) -> Iterator[None]:
    """Declares the configuration of before the test again and waits until it is in force and nothing else is left."""
    before = copy.deepcopy(server.config)
    yield
    server.deploy(before)
    names = {application["name"] for application in before["applications"]}
    wait_for("the first configuration", lambda: set(server.applications()) == names and answering(server) == SPLIT, 90)
    wait_for("answers of both", lambda: all(answers(server, version) for version in [*SPLIT] * 5), 60)


def answers(server, version: str) -> bool:
    """Whether a version answers now; after a replica's death the first call to another one may be lost too."""
    body = v2_body("pixels", held_out("digits")[0][:1])
    return httpx.post(f"{server.url}/v2/models/digits/versions/{version}/infer", content=body).status_code == 200


def answering(server) -> dict[str, float]:
    """Who answers for digits, as the gateway has it."""
    index = server.index()
    return {
        tag: one["effective_traffic"]
        for (model, tag), one in index.items()
        if model == "digits" and one["effective_traffic"]
    }
