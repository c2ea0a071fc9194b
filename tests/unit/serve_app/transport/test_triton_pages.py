"""Triton's cold routes; what its own client makes of them stands in test_tritonclient."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table
from support.releases import BEARER, FakeControl, admin_of

from serve_app.data_plane.local import LocalCluster
from serve_app.release.commands import Load, Unload

TRAFFIC = table(arithmetic={"traffic": {"v1": 90, "v2": 10}, "labels": {"canary": "v2"}})
MODEL = "/v2/models/arithmetic"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6]}


@pytest.fixture
async def client():
    cluster = LocalCluster(Executor("v1"), failures={"arithmetic-v2": "CheckFailed: golden 0"})
    async with plane_of(cluster, TRAFFIC) as plane, client_of(plane) as http:
        yield http


async def test_models_are_listed_as_kserve_does(client):
    assert (await client.get("/v2/models")).json() == {"models": ["arithmetic"]}


@pytest.mark.parametrize("path", [MODEL, MODEL + "/versions/v1"])
async def test_the_configuration_is_that_of_the_version(client, path):
    config = (await client.get(path + "/config")).json()
    assert (config["name"], config["parameters"]["version"]) == ("arithmetic", {"string_value": "v1"})


@pytest.mark.parametrize("path", ["/v2/models/stats", MODEL + "/stats", MODEL + "/versions/v1/stats"])
async def test_what_was_executed_is_counted(client, path):
    await client.post(MODEL + "/infer", json={"inputs": [TENSOR]})
    (figures,) = (await client.get(path)).json()["model_stats"]
    assert (figures["name"], figures["version"], figures["replicas"]) == ("arithmetic", "v1", 1)
    assert (figures["inference_count"], figures["execution_count"]) == (2, 1)
    assert [size["batch_size"] for size in figures["batch_stats"]] == [2]
    assert figures["inference_stats"]["success"] == {"count": 1, "ns": 500_000_000}


@pytest.mark.parametrize("path", ["/v2", MODEL])
async def test_nothing_is_traced(client, path):
    settings = (await client.get(path + "/trace/setting")).json()
    assert settings["trace_level"] == ["OFF"]


async def test_the_logs_level_is_told(client):
    settings = (await client.get("/v2/logging")).json()
    assert (settings["log_error"], settings["log_verbose_level"], settings["log_file"]) == (True, 0, "")


@pytest.mark.parametrize("kind", ["system", "cuda"])
async def test_no_shared_memory_is_registered(client, kind):
    status = await client.get(f"/v2/{kind}sharedmemory/status")
    assert (status.status_code, status.json()) == (200, [])


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/v2/repository/models/new/load", 501, "loading a model by a call is switched off: change the app"),
        ("POST", "/v2/repository/r/models/arithmetic/unload", 501, "switch it on with args.admin of the gateway"),
        ("GET", "/v2/repository/models/new/load", 405, "method not allowed"),
        ("POST", "/v2/trace/setting", 501, "trace settings cannot be changed"),
        ("POST", MODEL + "/trace/setting", 501, "trace settings cannot be changed"),
        ("GET", "/v2/models/cats/trace/setting", 404, "model 'cats' is not served here"),
        ("POST", "/v2/logging", 501, "set logging_config in the serve YAML"),
        ("POST", "/v2/systemsharedmemory/region/r/register", 501, "never reads or writes a client's shared memory"),
        ("POST", "/v2/cudasharedmemory/unregister", 501, "never reads or writes a client's shared memory"),
        ("GET", "/v2/cudasharedmemory/region/r/status", 400, "shared memory region 'r' is not registered"),
        ("GET", MODEL + "/versions/v2/config", 503, "CheckFailed: golden 0"),
        ("GET", MODEL + "/labels/canary/stats", 503, "CheckFailed: golden 0"),
        ("GET", "/v2/models/cats/stats", 404, "model 'cats' is not served here"),
    ],
)
async def test_what_is_not_done_says_why(client, method, path, status, says):
    answer = await client.request(method, path, content=b"{}" if method == "POST" else None)
    assert answer.status_code == status
    assert says in answer.json()["error"]


async def ask(path: str, admin, headers=BEARER, content=b""):
    cluster = LocalCluster(Executor("v1"))
    async with plane_of(cluster, TRAFFIC) as plane, client_of(plane, admin) as http:
        return await http.post(path, headers=headers, content=content)


@pytest.mark.parametrize("repository", ["/v2/repository", "/v2/repository/r"])
async def test_a_model_is_unloaded_and_loaded_again_where_that_is_switched_on(repository):
    control = FakeControl()
    out = await ask(f"{repository}/models/arithmetic/unload", admin_of(control))
    back = await ask(f"{repository}/models/arithmetic/load", admin_of(control), content=b'{"parameters": {}}')
    assert (out.status_code, back.status_code) == (200, 200)
    actor = "admin token"
    assert control.commands == [Unload(model="arithmetic", actor=actor), Load(model="arithmetic", actor=actor)]


@pytest.mark.parametrize(
    ("path", "headers", "content", "status", "says"),
    [
        ("arithmetic/load", {}, b"", 401, "loading a model by a call needs a token"),
        (
            "arithmetic/unload",
            {"authorization": "Bearer x"},
            b"",
            401,
            "unloading a model by a call needs another token",
        ),
        ("arithmetic/unload", BEARER | {"origin": "null"}, b"", 403, "from a page in a browser"),
        ("cats/load", BEARER, b"", 404, "model 'cats' is not served here"),
        ("arithmetic/load", BEARER, b"{", 400, "the body is not JSON"),
        ("arithmetic/load", BEARER, b'{"parameters": {"config": "{}"}}', 501, "a load takes no parameters here"),
    ],
)
async def test_a_load_that_is_refused_says_why(path, headers, content, status, says):
    control = FakeControl()
    answer = await ask(f"/v2/repository/models/{path}", admin_of(control), headers, content)
    assert (answer.status_code, control.commands) == (status, [])
    assert says in answer.json()["error"]
