"""TorchServe's management verbs."""

from __future__ import annotations

import pytest
from support.arithmetic import Executor
from support.gateway import client_of, plane_of, table
from support.releases import BEARER, FakeControl, admin_of

from serve_app.data_plane.local import LocalCluster
from serve_app.errors import CommandRefused
from serve_app.release.commands import Register, Scale, SetDefault, Unregister

TRAFFIC = table(arithmetic={"traffic": {"v1": 100, "v2": 0}, "labels": {"canary": "v2"}})
ACTOR = {"actor": "admin token"}


async def ask(method: str, path: str, admin, headers=BEARER):
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC) as plane, client_of(plane, admin) as client:
        return await client.request(method, path, headers=headers)


@pytest.fixture
def models(tmp_path):
    for version in ("v1", "v2"):
        (tmp_path / "arithmetic" / version).mkdir(parents=True)
        (tmp_path / "arithmetic" / version / "model.yaml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("query", "model", "replicas"),
    [("", "arithmetic", 1), ("&model_name=sums&initial_workers=3&synchronous=false", "sums", 3)],
)
async def test_a_version_is_registered_from_its_folder(models, query, model, replicas):
    control, source = FakeControl(), models / "arithmetic/v2"
    answer = await ask("POST", f"/models?url={source}{query}", admin_of(control, models))
    assert answer.json() == {"status": f'Model "{model}" Version: v2 registered with {replicas} initial workers'}
    assert control.commands == [Register(model=model, version="v2", source=str(source), replicas=replicas, **ACTOR)]


async def test_a_synchronous_one_is_answered_once_it_can_be_called(models):
    source = models / "arithmetic/v1"
    answer = await ask("POST", f"/models?url={source}&synchronous=true", admin_of(FakeControl(), models))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "command"),
    [
        ("PUT", "?min_worker=2", Scale(model="arithmetic", min_replicas=2, max_replicas=2, **ACTOR)),
        ("PUT", "/v1?max_worker=3", Scale(model="arithmetic", version="v1", max_replicas=3, **ACTOR)),
        ("PUT", "/canary?min_worker=1", Scale(model="arithmetic", version="v2", **ACTOR)),
        ("PUT", "/v2/set-default", SetDefault(model="arithmetic", version="v2", **ACTOR)),
        ("DELETE", "", Unregister(model="arithmetic", **ACTOR)),
        ("DELETE", "/v3", Unregister(model="arithmetic", version="v3", **ACTOR)),
    ],
)
async def test_a_verb_becomes_a_command(method, path, command):
    control = FakeControl()
    answer = await ask(method, "/models/arithmetic" + path, admin_of(control))
    assert (answer.status_code, list(answer.json())) == (200, ["status"])
    assert control.commands == [command]


VERBS = [
    ("POST", "/models?url=/m/arithmetic/v1"),
    ("PUT", "/models/arithmetic?min_worker=2"),
    ("PUT", "/models/arithmetic/v1?min_worker=2"),
    ("PUT", "/models/arithmetic/v1/set-default"),
    ("DELETE", "/models/arithmetic"),
    ("DELETE", "/models/arithmetic/v1"),
]


@pytest.mark.parametrize(("method", "path"), VERBS)
async def test_they_are_off_unless_the_operator_switches_them_on(method, path):
    control = FakeControl()
    off = await ask(method, path, admin_of(control, is_on=False))
    assert off.status_code == 501
    assert "switch it on with args.admin of the gateway" in off.json()["error"]
    without_token = await ask(method, path, admin_of(control), headers={})
    assert (without_token.status_code, control.commands) == (401, [])


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/models", 400, "query parameter 'url' must be given: a folder <model>/<version>"),
        ("POST", "/models?url=/v1", 400, "query parameter 'url' must be given"),
        ("POST", "/models?url=/m/arithmetic/v1", 403, "a model at '/m/arithmetic/v1' is not allowed here"),
        ("POST", "/models?url=/m/arithmetic/v%201", 400, "version: "),
        ("POST", "/models?url=/m/a/v1&handler=x", 400, "query parameter 'handler' has no effect here; there are: url"),
        ("POST", "/models?url=/m/a/v1&initial_workers=0", 400, "'initial_workers' is 0: a release without replicas"),
        (
            "PUT",
            "/models/arithmetic?min_worker=-1",
            400,
            "query parameter 'min_worker' is '-1', must be a whole number",
        ),
        ("PUT", "/models/arithmetic?min_worker=", 400, "query parameter 'min_worker' is '', must be a whole number"),
        ("PUT", "/models/arithmetic?min_worker=3&max_worker=2", 400, "min_replicas 3 is over max_replicas 2"),
        ("PUT", "/models/arithmetic?min_worker=99999", 400, "less than or equal to 1000, not 99999"),
        ("PUT", "/models/cats?min_worker=1", 404, "model 'cats' is not served here"),
        ("PUT", "/models/cats/v1/set-default", 404, "model 'cats' is not served here"),
        ("DELETE", "/models/cats", 404, "model 'cats' is not served here"),
    ],
)
async def test_what_is_wrong_is_said(method, path, status, says, tmp_path):
    control = FakeControl()
    answer = await ask(method, path, admin_of(control, tmp_path))
    assert (answer.status_code, control.commands) == (status, [])
    assert says in answer.json()["error"]


async def test_the_controllers_no_is_409():
    refusal = CommandRefused("arithmetic-v1 has 100 % of the traffic")
    answer = await ask("DELETE", "/models/arithmetic/v1", admin_of(FakeControl(refusal)))
    assert (answer.status_code, answer.json()) == (409, {"error": str(refusal)})
