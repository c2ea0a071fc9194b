"""Rules between applications, one at a time; whole files are in test_serve_file."""

import pytest

from serve_app.config.cross_checks import cross_check, never_fills
from serve_app.config.declared import DeploymentEntry, read_declared


def gateway(traffic=None, **options):
    table = {"models": traffic or {"m": {"traffic": {"v1": 100}}}}
    entry = {"name": "Gateway", "user_config": table, **options}
    return {
        "name": "gateway",
        "import_path": "graphs.gateway:build",
        "deployments": [entry],
    }


def release(version="v1", model="m", **more):
    args = {"model": model, "version": version, "source": "s", **more.pop("args", {})}
    return {
        "name": f"{model}-{version}",
        "route_prefix": None,
        "import_path": "graphs.inference:build",
        "args": args,
        **more,
    }


def found(*applications, host="127.0.0.1"):
    file, _ = read_declared({"http_options": {"host": host}, "applications": list(applications)})
    return [(".".join(map(str, path)), message) for path, message in cross_check(file)]


def test_a_file_that_fits_together_has_no_findings():
    assert found(gateway(), release()) == []


def test_a_release_that_nothing_reaches_is_fine():
    assert found(gateway(), release(), release("v2"), release("v1", "other")) == []


def test_an_own_application_may_have_a_route_of_its_own():
    assert found(gateway(), release(), {"name": "mine", "route_prefix": "/mine", "import_path": "mine:app"}) == []


def test_a_route_begins_with_a_slash():
    own = {"name": "mine", "route_prefix": "mine", "import_path": "mine:app"}
    assert found(gateway(), release(), own) == [
        ("applications.2.route_prefix", "a route must begin with '/', not be 'mine'")
    ]


def with_releases(**options):
    application = gateway()
    application["deployments"].append({"name": "Releases", **options})
    return application


def test_the_controller_of_releases_may_have_options():
    assert found(with_releases(num_replicas=1, ray_actor_options={"num_cpus": 0.1}), release()) == []


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ({"num_replicas": 2}, "num_replicas", "must be 1, not 2: there is one controller of releases"),
        ({"num_replicas": "auto"}, "num_replicas", 'must be 1, not "auto": there is one controller of releases'),
        ({"autoscaling_config": {}}, "autoscaling_config", "there is one controller of releases, which is not scaled"),
        ({"user_config": {}}, "user_config", "has no effect: the controller's settings are args.releases"),
    ],
)
def test_there_is_one_controller_of_releases(options, key, says):
    assert found(with_releases(**options), release()) == [(f"applications.0.deployments.1.{key}", says)]


def test_a_fault_in_one_model_hides_nothing_about_the_others():
    traffic = {"m": {"traffic": {"v1": 1}, "typo": 1}, "n": {"traffic": {"v9": 100}}}
    (finding,) = found(gateway(traffic), release(), release("v1", "n"))
    assert finding[0] == "applications.0.deployments.0.user_config.models.n.traffic.v9"


def test_a_release_whose_names_cannot_be_read_is_not_called_missing():
    broken = release()
    broken["args"]["model"] = 3
    assert found(gateway(), broken) == []
    broken = release()
    broken["args"]["version"] = 1
    assert found(gateway(), broken) == []


def test_one_deployment_has_one_entry():
    entries = [{"name": "m"}, {"name": "m"}]
    assert found(gateway(), release(deployments=entries)) == [
        ("applications.1.deployments.1.name", "a second entry for 'm'")
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("conv", "node 'conv' is fused; placement: own gives it replicas of its own"),
        ("half", "node 'half' is fused; placement: own gives it replicas of its own"),
        ("far", "node 'far' is a model of another server, which scales it"),
        ("safe", "node 'safe' is of kind fallback, which is always in the process of its graph"),
        ("elsewhere", "it has: m, big"),
    ],
)
def test_options_of_a_node_without_replicas_say_what_would_give_it_some(name, why):
    y = {"name": "y", "datatype": "FP32", "shape": [-1]}
    nodes = [
        {"kind": "model", "name": "conv", "source": "s"},
        {"kind": "model", "name": "big", "source": "s", "retries": 1},
        {"kind": "transform", "name": "half", "input": "x", "steps": [{"op": "softmax"}]},
        {"kind": "remote", "name": "far", "url": "far:1", "model": "m", "inputs": {"x": "x"}, "outputs": [y]},
        {"kind": "fallback", "name": "safe", "targets": ["big", "conv"]},
    ]
    graph = {"inputs": [{**y, "name": "x"}], "nodes": nodes, "outputs": {"y": "safe.y"}}
    entries = [{"name": "m"}, {"name": "big"}, {"name": name}]
    assert found(gateway(), release(args={"source": "", "graph": graph}, deployments=entries)) == [
        ("applications.1.deployments.2.name", f"m-v1 has no deployment {name!r}; {why}")
    ]


def test_an_entry_without_a_name_says_so():
    assert found(gateway(), release(deployments=[{}])) == [
        ("applications.1.deployments.0.name", "required key is missing")
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_local(host):
    assert found(gateway(), release(), host=host) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", 0])  # noqa: S104
def test_any_other_host_is_refused(host):
    ((path, message),) = found(gateway(), release(), host=host)
    assert path == "http_options.host"
    assert message.startswith(f"{host} is reachable from other machines and there is no authentication yet")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_express_door_may_be_on_loopback(host):
    assert found(gateway() | {"args": {"express": {"host": host}}}, release()) == []


def test_the_express_door_is_refused_on_any_other_host():
    ((path, message),) = found(gateway() | {"args": {"express": {"host": "192.168.1.2"}}}, release())
    assert path == "applications.0.args.express.host"
    assert message.startswith("192.168.1.2 is reachable from other machines and there is no authentication yet")


@pytest.mark.parametrize(
    ("ongoing", "replicas", "rows", "fills"),
    [(64, 1, 64, True), (63, 1, 64, False), (16, 4, 64, True), (16, 3, 64, False), (None, 1, 4096, True)],
)
def test_a_batch_fills_if_all_gateway_replicas_together_hold_its_rows(ongoing, replicas, rows, fills):
    entry = DeploymentEntry(("d", 0), "Gateway", ongoing, replicas, {})
    assert (never_fills(entry, rows, "m-v1") is None) == fills


def test_rows_that_the_args_leave_to_the_manifest_are_not_judged_here():
    small = gateway(max_ongoing_requests=1)
    assert found(small, release()) == []
    assert found(small, release(args={"batching": {"max_queue_rows": 100}})) == []
    assert len(found(small, release(args={"batching": {"max_rows": 2}}))) == 1


def test_a_release_takes_a_block_of_every_gateway_replica():
    entries = [{"name": "m", "max_ongoing_requests": 2}]
    assert found(gateway(num_replicas=2), release(deployments=entries)) == []
    assert [path for path, _ in found(gateway(num_replicas=3), release(deployments=entries))] == [
        "applications.1.deployments.0.max_ongoing_requests"
    ]


TABLE = "applications.0.deployments.0.user_config.models.m"


def inline(*versions, **more):
    return {"m": {"traffic": {"v1": 100}, "inline": {version: {"source": "s", **more} for version in versions}}}


def test_an_inline_version_needs_no_application():
    assert found(gateway(inline("v1"))) == []
    assert found(gateway(inline("v1")), release("v2")) == []
    both = {"m": {"traffic": {"v1": 50, "v2": 50}, "inline": {"v1": {"source": "s"}}}}
    assert found(gateway(both), release("v2")) == []
    assert found(gateway(both)) == [
        (f"{TABLE}.traffic.v2", "version 'v2' of m has no release in this file; there are: v1")
    ]


def test_an_inline_version_is_no_application_as_well():
    says = "m-v1 is an application of this file already; a version runs in one place"
    assert found(gateway(inline("v1")), release()) == [(f"{TABLE}.inline.v1", says)]


def test_two_inline_versions_have_two_names():
    models = {
        "m": {"traffic": {"n-v1": 100}, "inline": {"n-v1": {"source": "s"}}},
        "m-n": {"traffic": {"v1": 100}, "inline": {"v1": {"source": "s"}}},
    }
    assert found(gateway(models)) == [
        (
            "applications.0.deployments.0.user_config.models.m-n.inline.v1",
            "m-n-v1 is a version inside the gateway already; a version runs in one place",
        )
    ]


def test_an_inline_version_gets_the_requests_of_one_replica_only():
    small = {"max_ongoing_requests": 16, "num_replicas": 4}
    assert found(gateway(inline("v1", batching={"max_rows": 16}), **small)) == []
    ((path, message),) = found(gateway(inline("v1", batching={"max_rows": 17}), **small))
    assert path == "applications.0.deployments.0.max_ongoing_requests"
    assert "a batch of m-v1 (batching.max_rows 17) could never fill" in message


def test_a_nodes_objective_is_its_share_of_the_releases():
    x = {"name": "x", "datatype": "FP32", "shape": [-1]}
    nodes = [{"kind": "model", "name": "a", "source": "s", "placement": "own"}]
    args = {"source": "", "graph": {"inputs": [x], "nodes": nodes, "outputs": {"y": "a.y"}}}
    options = [{"name": "a", "user_config": {"slo_ms": 5, "batching": {"max_rows": 4}}}]
    ((path, message),) = found(gateway(), release(args=args, deployments=options))
    assert path == "applications.1.deployments.0.user_config.slo_ms"
    assert message == "has no effect on the node 'a': its time is its share of the release's"


def test_a_shadow_needs_a_release_too():
    table = {"m": {"traffic": {"v1": 100}, "shadow": [{"to": "v1"}, {"to": "v9"}]}}
    assert found(gateway(table), release("v1")) == [
        (f"{TABLE}.shadow.1.to", "version 'v9' of m has no release in this file; there are: v1")
    ]
