"""Ports that are none, or somebody else's."""

import pytest

from serve_app.config.declared import read_declared
from serve_app.config.port_checks import port_findings

HA_PROXY = {"runtime_env": {"env_vars": {"RAY_SERVE_ENABLE_HA_PROXY": "1"}}}


def found(http, **more):
    data = {"applications": [], "http_options": {"port": http}, **more}
    return [(".".join(path), message) for path, message in port_findings(data, read_declared(data)[0])]


@pytest.mark.parametrize("port", [1, 8000, 65535, 8404, 9101])
def test_a_free_port_is_good(port):
    assert found(port) == []


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_number_that_is_no_port_is_refused(port):
    assert found(port) == [("http_options.port", f"must be a port from 1 to 65535, not {port}")]
    assert found(8000, grpc_options={"port": port}) == [
        ("grpc_options.port", f"must be a port from 1 to 65535, not {port}")
    ]


def test_a_boolean_is_no_port():
    assert found(True) == [("http_options.port", "must be a port from 1 to 65535, not true")]


def test_a_port_of_the_cluster_itself_is_refused():
    assert found(8265) == [("http_options.port", "the port 8265 is the Ray dashboard's already")]
    for port in (8404, 9101):
        assert len(found(port, controller_options=HA_PROXY)) == 1


def test_http_and_grpc_need_two_ports():
    servicers = {"grpc_servicer_functions": ["a.b"]}
    message = "the port 9000 is http_options.port's already"
    assert found(9000, grpc_options=servicers) == [("grpc_options.port", message)]
    assert found(9000, grpc_options={"port": 9000}) == []  # without a servicer there is no gRPC server


def with_express(port, **more):
    gateway = {"import_path": "graphs.gateway:build", "args": {"express": {"port": port}}}
    return port_findings_of({"applications": [gateway], **more})


def port_findings_of(data):
    return [(".".join(map(str, path)), message) for path, message in port_findings(data, read_declared(data)[0])]


def test_the_express_door_needs_a_port_of_its_own():
    servicers = {"grpc_servicer_functions": ["a.b"]}
    where = "applications.0.args.express.port"
    assert with_express(8001) == []
    assert with_express(8000) == [(where, "the port 8000 is http_options.port's already")]
    assert with_express(81, http_options={"port": 81}) == [(where, "the port 81 is http_options.port's already")]
    assert with_express(9000) == []
    assert with_express(9000, grpc_options=servicers) == [(where, "the port 9000 is grpc_options.port's already")]
    assert with_express(8265) == [(where, "the port 8265 is the Ray dashboard's already")]
    assert with_express(8404) == with_express(9101) == []
    assert with_express(8404, controller_options=HA_PROXY) == [
        (where, "the port 8404 is HAProxy's, for statistics already")
    ]
    assert with_express(9101, controller_options=HA_PROXY) == [
        (where, "the port 9101 is HAProxy's, for metrics already")
    ]


def test_an_express_door_that_cannot_be_read_is_left_to_its_schema():
    assert with_express("http") == with_express(0) == []
