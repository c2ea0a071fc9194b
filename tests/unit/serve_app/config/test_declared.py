"""Reading what a serve file declares, wrong parts included."""

import pytest

from serve_app.config.declared import read_declared

GATEWAY = {
    "name": "gateway",
    "import_path": "graphs.gateway:build",
    "deployments": [{"name": "Gateway", "user_config": {"models": {"m": {"traffic": {"v1": 100}}}}}],
}
RELEASE = {
    "name": "m-v1",
    "route_prefix": None,
    "import_path": "graphs.inference:build",
    "args": {"model": "m", "version": "v1", "source": "s"},
}


def declared(*applications, **top):
    return read_declared({**top, "applications": list(applications)})


def entry(**options):
    file, _ = declared({**GATEWAY, "deployments": [{**GATEWAY["deployments"][0], **options}]})
    return file.gateways[0].entry


def test_applications_are_sorted_into_ours_and_the_users_own():
    file, findings = declared(RELEASE, {"name": "mine", "import_path": "mine:app"}, GATEWAY)
    assert findings == []
    assert [application.name for application in file.applications] == ["m-v1", "mine", "gateway"]
    assert [release.release for release in file.releases] == ["m-v1"]
    assert [application.name for application in file.others] == ["mine"]
    assert file.gateways[0].traffic.models["m"].traffic == {"v1": 100}


def test_what_the_file_leaves_out_is_what_ray_takes():
    file, _ = declared({"import_path": "mine:app"})
    (own,) = file.others
    assert (own.name, own.route_prefix) == ("default", "/")
    assert (file.http_host, file.http_port, file.grpc_port, file.has_ha_proxy) == (None, 8000, None, False)


def test_a_release_with_wrong_args_is_still_known_by_its_names():
    file, findings = declared({**RELEASE, "args": {"model": "m", "version": "v1", "slo_ms": -1, "accelerator": "x"}})
    (release,) = file.releases
    assert (release.args, release.release) == (None, "m-v1")
    assert [path for path, _ in findings] == [
        ("applications", 0, "args", "accelerator"),
        ("applications", 0, "args", "slo_ms"),
    ]


@pytest.mark.parametrize(
    ("options", "replicas"),
    [
        ({}, 1),
        ({"num_replicas": 3}, 3),
        ({"num_replicas": "auto"}, 100),
        ({"num_replicas": "auto", "autoscaling_config": {"max_replicas": 5}}, 5),
        ({"autoscaling_config": {"max_replicas": 5}}, 5),
        ({"autoscaling_config": {"min_replicas": 1}}, 1),
        ({"num_replicas": True}, 1),
        ({"num_replicas": -2}, 1),
    ],
)
def test_the_most_replicas_there_can_be(options, replicas):
    assert entry(**options).max_replicas == replicas


@pytest.mark.parametrize(("value", "read"), [(7, 7), (0, None), ("7", None), (True, None)])
def test_only_a_positive_number_is_a_number_of_requests(value, read):
    assert entry(max_ongoing_requests=value).max_ongoing_requests == read


def test_ports_and_proxy_are_read_from_rays_part():
    file, _ = declared(
        http_options={"host": "::1", "port": 80},
        grpc_options={"port": 90, "grpc_servicer_functions": ["a.b"]},
        controller_options={"runtime_env": {"env_vars": {"RAY_SERVE_ENABLE_HA_PROXY": "1"}}},
    )
    assert (file.http_host, file.http_port, file.grpc_port, file.has_ha_proxy) == ("::1", 80, 90, True)


def test_without_servicers_there_is_no_grpc_server():
    assert declared(grpc_options={"port": 90})[0].grpc_port is None
    assert declared(grpc_options={"grpc_servicer_functions": ["a.b"]})[0].grpc_port == 9000


@pytest.mark.parametrize(
    ("applications", "path"),
    [
        (None, ("applications",)),
        ("x", ("applications",)),
        (["x"], ("applications", 0)),
        ([{}], ("applications", 0, "import_path")),
        ([{**RELEASE, "deployments": "x"}], ("applications", 0, "deployments")),
        ([{**RELEASE, "deployments": ["x"]}], ("applications", 0, "deployments", 0)),
        ([{**GATEWAY, "deployments": []}], ("applications", 0, "deployments")),
        ([{**GATEWAY, "deployments": [{"name": "Gateway"}]}], ("applications", 0, "deployments", 0, "user_config")),
    ],
)
def test_a_wrong_shape_is_one_finding_and_no_exception(applications, path):
    _, findings = read_declared({"applications": applications})
    assert [where for where, _ in findings] == [path]


CODED = {**RELEASE, "import_path": "graphs.digits_cascade:build", "args": {"model": "m", "version": "v1"}}


def test_a_release_may_be_coded_in_python():
    file, findings = declared(CODED, RELEASE)
    assert findings == []
    assert [(release.release, release.is_coded) for release in file.releases] == [("m-v1", True), ("m-v1", False)]
    assert [node.name for node in file.releases[0].args.graph.nodes] == ["mlp", "conv", "sure"]


@pytest.mark.parametrize("key", ["source", "graph"])
def test_what_the_code_says_cannot_be_said_again(key):
    file, findings = declared({**CODED, "args": {**CODED["args"], key: "s"}})
    path = ("applications", 0, "args", key)
    assert findings == [(path, "has no effect: the graph is coded in Python")]
    assert (file.releases[0].release, file.releases[0].args) == ("m-v1", None)


def test_a_module_of_graphs_without_a_graph_is_no_release():
    file, _ = declared({**CODED, "import_path": "graphs.missing:build"})
    assert (file.releases, len(file.others)) == ((), 1)
