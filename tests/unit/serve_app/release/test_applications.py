"""Applications compared: what is the same, what changes in place, and what would be another thing."""

import pytest

from serve_app.release.applications import Change, Running, RunningApplication, canonical, step

V1 = {
    "name": "digits-v1",
    "route_prefix": None,
    "import_path": "graphs.inference:build",
    "args": {"model": "digits", "version": "v1", "source": "models/digits/v1"},
    "deployments": [{"name": "digits", "ray_actor_options": {"num_cpus": 1}}],
}


def step_from(config, wanted, status="RUNNING", **options):
    return step(RunningApplication("digits-v1", config, status), wanted, options)


def test_what_is_not_there_is_added():
    assert step(None, V1, {}).change is Change.ADD
    assert step_from(None, V1, "DELETING").change is Change.ADD


@pytest.mark.parametrize(
    "same",
    [
        V1,
        {**V1, "runtime_env": {}, "logging_config": None, "external_scaler_enabled": False},
        {**V1, "deployments": [{"name": "digits", "ray_actor_options": {"num_cpus": 1.0}}, {"name": "other"}]},
        dict(reversed(V1.items())),
    ],
)
def test_the_same_thing_said_otherwise_is_the_same(same):
    assert step_from(same, V1).change is Change.KEEP


def test_the_files_logging_config_is_copied_into_every_application_by_ray():
    logging = {"log_level": "DEBUG"}
    assert step_from({**V1, "logging_config": logging}, V1, logging_config=logging).change is Change.KEEP
    assert step_from({**V1, "logging_config": logging}, V1).change is Change.ADJUST


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"args": {**V1["args"], "slo_ms": 5}}, Change.REPLACE, "args.slo_ms: not given -> 5"),
        (
            {"import_path": "graphs.other:build"},
            Change.REPLACE,
            'import_path: "graphs.inference:build" -> "graphs.other',
        ),
        (
            {"deployments": [{"name": "digits", "ray_actor_options": {"num_cpus": 2}}]},
            Change.RESTART,
            "deployments.digits.ray_actor_options.num_cpus: 1 -> 2",
        ),
        (
            {"deployments": [*V1["deployments"], {"name": "own", "num_replicas": 2}]},
            Change.ADJUST,
            'deployments.own: not given -> {"num_replicas": 2}',
        ),
    ],
)
def test_a_difference_is_named_with_its_path(change, kind, said):
    found = step_from(V1, {**V1, **change})
    assert found.change is kind
    assert len(found.differences) == 1
    assert found.differences[0].startswith(said)


def test_secrets_of_an_environment_are_not_shown():
    before, after = ({**V1, "runtime_env": {"env_vars": {"KEY": value}}} for value in ("old", "new"))
    assert step_from(before, after).differences == ("runtime_env.env_vars.KEY differs",)
    assert "new" not in " ".join(step_from(V1, after).differences)


@pytest.mark.parametrize(
    "options",
    [
        {"ray_actor_options": {"runtime_env": {"env_vars": {"KEY": "s3cret"}}}},
        {"deployment_actors": [{"runtime_env": {"env_vars": {"KEY": "s3cret"}}}]},
    ],
)
def test_secrets_of_an_environment_are_not_shown_within_what_is_new_or_gone(options):
    bare = {**V1, "deployments": [{"name": "own", "num_replicas": 1}]}
    given = {**V1, "deployments": [{"name": "own", "num_replicas": 1, **options}]}
    for before, after in ((V1, given), (bare, given), (given, bare)):
        said = " ".join(step_from(before, after).differences)
        assert "s3c" not in said
    assert "KEY" in " ".join(step_from(bare, given).differences)


@pytest.mark.parametrize(
    ("releases", "said"),
    [
        ({"webhooks": [{"url": "https://hooks.example/T0/s3cret"}]}, "args.releases.webhooks differs"),
        (
            {"state_url": "postgresql+psycopg://ann:s3cret@db/state"},
            'args.releases.state_url: "sqlite:///x" -> "postgresql+psycopg://***@db/state"',
        ),
        (
            {"state_url": "postgresql+psycopg://db/state?password=s3cret"},
            'args.releases.state_url: "sqlite:///x" -> "postgresql+psycopg://db/state?password=***"',
        ),
    ],
)
def test_secrets_of_urls_are_not_shown(releases, said):
    given = {**V1, "args": {"releases": {"state_url": "sqlite:///x", **releases}}}
    before = {**V1, "args": {"releases": {"state_url": "sqlite:///x"}}}
    assert step_from(before, given).differences == (said,)
    assert "s3c" not in " ".join(step_from({**V1, "args": {}}, given).differences)


def test_items_of_lists_of_mappings_are_compared_one_by_one():
    nodes = [{"kind": "model", "name": "a", "source": "x"}, {"kind": "model", "name": "b", "source": "y"}]
    before = {**V1, "args": {"graph": {"nodes": nodes}}}
    after = {**V1, "args": {"graph": {"nodes": [nodes[0], {**nodes[1], "source": "z"}]}}}
    assert step_from(before, after).differences == ('args.graph.nodes.1.source: "y" -> "z"',)


def test_only_the_first_of_many_differences_are_told():
    after = {**V1, "args": {f"a{n}": n for n in range(9)}}
    assert step_from({**V1, "args": {}}, after).differences[-1] == "and 1 more"


def test_what_failed_is_deployed_again():
    assert step_from(V1, V1, "DEPLOY_FAILED").change is Change.RETRY
    assert step_from(V1, V1, "UNHEALTHY").change is Change.KEEP


def test_what_a_program_deployed_is_no_release_of_a_file():
    assert step_from(None, V1).change is Change.REPLACE


def test_the_gateways_table_is_compared_elsewhere():
    gateway = {"name": "gateway", "import_path": "x:y", "deployments": [{"name": "Gateway", "user_config": {"a": 1}}]}
    assert canonical(gateway)["deployments"] == {}


def test_only_what_a_file_deployed_must_be_named_again():
    apps = {
        "a": RunningApplication("a", {"name": "a"}, "RUNNING"),
        "b": RunningApplication("b", None, "RUNNING"),
        "c": RunningApplication("c", {"name": "c"}, "DELETING"),
    }
    assert Running(apps).kept == {"a": {"name": "a"}}
