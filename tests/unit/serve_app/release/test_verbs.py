"""The verbs of other servers over applications and a table that are only noted."""

from __future__ import annotations

import pytest
from support.releases import FakeApplications, KeptInMemory, Table

from serve_app.errors import CommandRefused
from serve_app.release.commands import Load, Register, Scale, SetDefault, Unload, Unregister
from serve_app.release.records import Routing
from serve_app.release.verbs import Verbs

GATEWAY = {"name": "gateway", "import_path": "graphs.gateway:build", "args": {"limits": {}}}


def release(version: str, model: str = "digits", import_path: str = "graphs.inference:build", **more):
    args = {"model": model, "version": version, "source": f"models/{model}/{version}"}
    return {"name": f"{model}-{version}", "route_prefix": None, "import_path": import_path, "args": args, **more}


def verbs_of(*configs, **models: Routing):
    applications, table, kept = FakeApplications(GATEWAY, *configs), Table(**models), KeptInMemory()
    return Verbs(applications, table.models.get, table.move, kept), applications, table, kept


async def test_what_is_unloaded_comes_back_as_it_was():
    scaled = release("v2", deployments=[{"name": "digits", "num_replicas": 3}])
    verbs, applications, _, kept = verbs_of(release("v1"), scaled, release("v1", "wine"))
    before = dict(applications.now)
    assert await verbs(Unload(model="digits")) == {"model": "digits", "deleted": ["digits-v1", "digits-v2"]}
    assert list(applications.now) == ["gateway", "wine-v1"]
    assert await verbs(Load(model="digits")) == {"model": "digits", "deployed": ["digits-v1", "digits-v2"]}
    assert applications.now == before
    assert kept.kept == {}


async def test_what_runs_is_loaded_already():
    verbs, applications, _, _ = verbs_of(release("v1"))
    before = dict(applications.now)
    assert await verbs(Load(model="digits")) == {"model": "digits", "deployed": []}
    assert applications.now == before


async def test_what_was_deployed_anew_since_it_was_unloaded_is_left_as_it_is():
    verbs, applications, _, kept = verbs_of(release("v1"), release("v2"))
    await verbs(Unload(model="digits"))
    newer = release("v1", deployments=[{"name": "digits", "num_replicas": 2}])
    await applications.deploy([newer])
    assert await verbs(Load(model="digits")) == {"model": "digits", "deployed": ["digits-v2"]}
    assert applications.now["digits-v1"] == newer
    assert kept.kept == {}


async def test_an_application_is_remembered_before_it_is_deleted():
    verbs, applications, _, kept = verbs_of(release("v1"))

    async def fails(names):
        raise ConnectionError(names)

    applications.delete = fails
    with pytest.raises(ConnectionError):
        await verbs(Unload(model="digits"))
    assert list(kept.kept) == ["digits-v1"]


async def test_a_graph_in_python_is_a_release_and_other_peoples_applications_are_not():
    theirs = release("v2", import_path="their.code:build")
    verbs, applications, _, _ = verbs_of(release("v1", import_path="graphs.digits_cascade:build"), theirs)
    assert (await verbs(Unload(model="digits")))["deleted"] == ["digits-v1"]
    assert list(applications.now) == ["gateway", "digits-v2"]


async def test_a_registered_version_joins_the_table_without_traffic():
    verbs, applications, table, _ = verbs_of(release("v1"), digits=Routing({"v1": 100.0}, {"stable": "v1"}))
    await verbs(Register(model="digits", version="v3", source="/models/digits/v3", replicas=2, actor="ci"))
    assert applications.now["digits-v3"] == {
        "name": "digits-v3",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": {"model": "digits", "version": "v3", "source": "/models/digits/v3"},
        "deployments": [{"name": "digits", "num_replicas": 2}],
    }
    assert table.models["digits"] == Routing({"v1": 100.0, "v3": 0.0}, {"stable": "v1"})
    assert table.actors == ["ci"]


async def test_the_only_version_gets_all_traffic():
    verbs, _, table, _ = verbs_of(digits=Routing({"v1": 100.0}))
    await verbs(Register(model="digits", version="v3", source="/models/digits/v3"))
    assert table.models["digits"] == Routing({"v3": 100.0})


async def test_a_version_that_the_table_waits_for_keeps_its_share():
    verbs, _, table, _ = verbs_of(digits=Routing({"v1": 90.0, "v2": 10.0}))
    await verbs(Register(model="digits", version="v2", source="/models/digits/v2"))
    assert table.models["digits"] == Routing({"v1": 90.0, "v2": 10.0})
    assert table.actors == []


async def test_a_table_that_cannot_change_leaves_no_application_behind():
    verbs, applications, table, _ = verbs_of(release("v1"), digits=Routing({"v1": 100.0}))
    table.refusal = CommandRefused("a rollout of digits is under way")
    with pytest.raises(CommandRefused, match="under way"):
        await verbs(Register(model="digits", version="v3", source="/models/digits/v3"))
    assert list(applications.now) == ["gateway", "digits-v1"]


NODES = [{"name": "digits", "user_config": {"slo_ms": 50}}, {"name": "net", "num_replicas": 4}]
AUTOSCALED = [{"name": "digits", "autoscaling_config": {"min_replicas": 1, "max_replicas": 2, "upscale_delay_s": 1}}]
OUR_POLICY = {"policy_function": "deployments.autoscaling:RowAwarePolicy"}


@pytest.mark.parametrize(
    ("deployments", "least", "most", "scaled"),
    [
        ([], 2, 2, [{"name": "digits", "num_replicas": 2}]),
        (NODES, 3, 3, [{**NODES[0], "num_replicas": 3}, NODES[1]]),
        (AUTOSCALED, 2, 2, [{"name": "digits", "num_replicas": 2}]),
        (
            AUTOSCALED,
            2,
            5,
            [{"name": "digits", "autoscaling_config": {"min_replicas": 2, "max_replicas": 5, "upscale_delay_s": 1}}],
        ),
        (
            [{"name": "digits", "num_replicas": 1}],
            1,
            4,
            [{"name": "digits", "autoscaling_config": {"policy": OUR_POLICY, "min_replicas": 1, "max_replicas": 4}}],
        ),
    ],
)
async def test_the_main_deployment_is_scaled_and_nothing_else_changes(deployments, least, most, scaled):
    config = release("v1", deployments=deployments)
    verbs, applications, _, _ = verbs_of(config)
    await verbs(Scale(model="digits", min_replicas=least, max_replicas=most))
    assert applications.now["digits-v1"] == {**config, "deployments": scaled}


async def test_the_default_gets_all_traffic_and_labels_stay():
    verbs, _, table, _ = verbs_of(
        release("v1"), release("v2"), digits=Routing({"v1": 90.0, "v2": 10.0}, {"stable": "v1"})
    )
    await verbs(SetDefault(model="digits", version="v2", actor="me"))
    assert table.models["digits"] == Routing({"v1": 0.0, "v2": 100.0}, {"stable": "v1"})
    assert table.actors == ["me"]


async def test_an_unregistered_version_leaves_the_table_and_the_cluster():
    verbs, applications, table, _ = verbs_of(release("v1"), release("v2"), digits=Routing({"v1": 100.0, "v2": 0.0}))
    assert await verbs(Unregister(model="digits", version="v2")) == {"deleted": ["digits-v2"]}
    assert list(applications.now) == ["gateway", "digits-v1"]
    assert table.models["digits"] == Routing({"v1": 100.0})


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (Load(model="cats"), "model 'cats' cannot be loaded: no serve file has a release of it, and none was unloaded"),
        (Unload(model="cats"), "model 'cats' cannot be unloaded: no application runs a release of it"),
        (Register(model="cats", version="v1", source="/m"), "'cats' is not in the traffic table, so nobody could"),
        (Register(model="digits", version="v1", source="/m"), "application 'digits-v1' exists; a changed model"),
        (Scale(model="digits"), "'digits' has several versions, so one must be given: v1, v2, v3"),
        (Scale(model="digits", version="v9"), "no application runs digits v9; versions that run: v1, v2, v3"),
        (Scale(model="cats"), "no application runs cats; versions that run: none"),
        (SetDefault(model="wine", version="v1"), "model 'wine' is not in the traffic table"),
        (SetDefault(model="digits", version="v9"), "no application runs digits v9"),
        (Unregister(model="digits", version="v1"), "digits-v1 has 90 % of the traffic; give it to another"),
        (Unregister(model="digits", version="v3"), "digits-v3 has the label 'next'; give it to another"),
    ],
)
async def test_what_cannot_be_done_says_why_and_changes_nothing(verb, says):
    routing = Routing({"v1": 90.0, "v2": 10.0}, {"next": "v3"})
    releases = [*map(release, ("v1", "v2", "v3")), release("v1", "wine")]
    verbs, applications, table, kept = verbs_of(*releases, digits=routing)
    before = dict(applications.now)
    with pytest.raises(CommandRefused, match=says):
        await verbs(verb)
    assert (applications.now, table.models, kept.kept) == (before, {"digits": routing}, {})
