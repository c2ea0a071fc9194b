"""The gateway's args and its traffic table."""

import pytest
from pydantic import ValidationError

from serve_app.config.gateway import ExpressConfig, GatewayArgs, ModelTraffic, TlsConfig, TrafficTable


def test_limits_have_defaults():
    assert GatewayArgs().limits.max_body_bytes == 64 * 1024 * 1024
    assert GatewayArgs().limits.timeout_s == 30


@pytest.mark.parametrize("limits", [{"max_body_bytes": 0}, {"max_request_rows": -1}, {"timeout_s": 0}])
def test_limits_must_be_positive(limits):
    with pytest.raises(ValidationError, match="greater than 0"):
        GatewayArgs.model_validate({"limits": limits})


def test_the_versions_are_those_with_traffic_and_those_behind_labels():
    model = ModelTraffic(traffic={"v1": 100}, labels={"canary": "v2", "stable": "v1"})
    assert model.versions == {"v1", "v2"}


def test_thirds_sum_up_to_100():
    assert ModelTraffic(traffic={"a": 33.3, "b": 33.3, "c": 33.4}).traffic["c"] == 33.4


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"traffic": {}}, "at least 1 item"),
        ({"traffic": {"v1": 99}}, "traffic weights sum up to 99, not to 100"),
        ({"traffic": {"v1": 101, "v2": -1}}, "less than or equal to 100"),
        ({"traffic": {"v1": float("nan")}}, "less than or equal to 100"),
        ({"traffic": {"v1": 100}, "labels": {"v1": "v2"}}, "'v1' is a label and a version tag"),
        ({"traffic": {"v 1": 100}}, "pattern"),
    ],
)
def test_a_split_that_cannot_be_followed_is_refused(table, reason):
    with pytest.raises(ValidationError, match=reason):
        ModelTraffic.model_validate(table)


def test_the_sum_is_a_fault_of_the_weights_alone():
    with pytest.raises(ValidationError) as caught:
        TrafficTable.model_validate({"models": {"digits": {"traffic": {"v1": 1}}}})
    assert caught.value.errors()[0]["loc"] == ("models", "digits", "traffic")


def test_the_default_model_must_be_served():
    with pytest.raises(ValidationError, match="default_model 'b' is not among models: a"):
        TrafficTable.model_validate({"models": {"a": {"traffic": {"v1": 100}}}, "default_model": "b"})


def test_a_table_without_models_is_refused():
    with pytest.raises(ValidationError, match="at least 1 item"):
        TrafficTable.model_validate({"models": {}})


def test_there_is_no_express_door_unless_it_is_asked_for():
    assert GatewayArgs().express is None
    door = GatewayArgs.model_validate({"express": {}}).express
    assert (door.host, door.port, door.tls) == ("127.0.0.1", 8001, None)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "http"])
def test_an_express_port_that_is_none_is_refused(port):
    with pytest.raises(ValidationError, match="port"):
        ExpressConfig(port=port)


def test_tls_needs_a_certificate_and_its_key():
    with pytest.raises(ValidationError, match="key"):
        TlsConfig.model_validate({"certificate": "door.pem"})
    assert TlsConfig(certificate="door.pem", key="door.key").min_version == "tls1.3"


def test_a_revocation_list_without_an_authority_is_refused():
    files = {"certificate": "door.pem", "key": "door.key", "client_crl": ["revoked.pem"]}
    with pytest.raises(ValidationError, match="client_crl has no effect without client_ca"):
        TlsConfig.model_validate(files)
    assert TlsConfig.model_validate({**files, "client_ca": "authority.pem"}).client_crl[0].name == "revoked.pem"


def test_an_inline_version_is_one_that_the_table_names():
    inline = {"v1": {"source": "models/m/v1", "slo_ms": 20, "batching": {"max_rows": 8}}}
    table = TrafficTable.model_validate({"models": {"m": {"traffic": {"v1": 100}, "inline": inline}}})
    (args,) = table.inline
    assert (args.release, args.slo_ms, args.accelerator) == ("m-v1", 20, "cpu")
    for traffic in ({"traffic": {"v1": 0, "v2": 100}}, {"traffic": {"v2": 100}, "labels": {"next": "v1"}}):
        assert ModelTraffic.model_validate({**traffic, "inline": inline}).inline.keys() == {"v1"}
    with pytest.raises(ValidationError, match="inline version 'v1' can be reached by nobody"):
        ModelTraffic.model_validate({"traffic": {"v2": 100}, "inline": inline})


@pytest.mark.parametrize("wrong", ["maybe", 2, None])
def test_explanations_are_allowed_or_not(wrong):
    assert not GatewayArgs().explain
    assert GatewayArgs.model_validate({"explain": True}).explain
    with pytest.raises(ValidationError, match="explain"):
        GatewayArgs.model_validate({"explain": wrong})
