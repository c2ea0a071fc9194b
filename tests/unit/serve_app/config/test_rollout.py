"""Rollouts in a file: what is accepted, and what is refused because it could not take effect."""

import json

import pytest
from pydantic import ValidationError

from serve_app.config.rollout import (
    ExperimentConfig,
    GateConfig,
    RolloutConfig,
    ShadowConfig,
    StepConfig,
    StickyConfig,
)

ERRORS = {"metric": "error_rate", "max_increase": 0.005}
CANARY = {"strategy": "canary", "steps": [{"percent": 5}, {"percent": 50, "seconds": 10}]}


def refused(schema, document):
    with pytest.raises(ValidationError) as raised:
        schema.model_validate(document)
    return str(raised.value)


def test_nothing_needs_to_be_said():
    config = RolloutConfig()
    assert (config.strategy, config.confidence, config.automatic) == ("blue_green", 0.95, True)
    assert not config.compares


def test_a_whole_canary_is_read_and_survives_json():
    config = RolloutConfig.model_validate(
        CANARY
        | {
            "gates": [
                ERRORS,
                {"metric": "deadline_miss_rate", "max": 0},
                {"metric": "latency_ms", "quantile": 0.95, "max_ratio": 1.5, "min_requests": 500},
                {"metric": "latency_ms", "quantile": 0.999, "max": 800},
                {"metric": "disagreement", "max": 0.02},
                {"metric": "distance", "max": 0},
                {"metric": "accuracy", "max_decrease": 0.02},
                {"metric": "reward", "min": -1.5},
                {"expression": "refused / requests", "max_increase": 0},
            ],
            "confidence": 0.99,
            "automatic": False,
            "shadow_percent": 10,
        }
    )
    assert config.steps == (StepConfig(percent=5, seconds=60), StepConfig(percent=50, seconds=10))
    assert RolloutConfig.model_validate(json.loads(config.model_dump_json())) == config
    assert RolloutConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("gate", "name", "bound"),
    [
        (ERRORS, "error_rate", ("max_increase", 0.005)),
        ({"metric": "latency_ms", "quantile": 0.999, "max": 80}, "latency_ms p99.9", ("max", 80.0)),
        ({"expression": "errors / requests", "max": 0}, "errors / requests", ("max", 0.0)),
    ],
)
def test_a_gate_tells_what_it_measures_and_its_bound(gate, name, bound):
    config = GateConfig.model_validate(gate)
    assert (config.name, config.bound) == (name, bound)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"max": 1}, "needs either metric or expression"),
        ({"metric": "reward", "expression": "errors", "max": 1}, "needs either metric or expression"),
        ({"metric": "latency", "max": 1}, "Input should be 'error_rate'"),
        ({"metric": "latency_ms", "max": 1}, "quantile belongs to latency_ms, which needs one"),
        ({"metric": "reward", "quantile": 0.5, "max": 1}, "quantile belongs to latency_ms"),
        ({"metric": "latency_ms", "quantile": 1, "max": 1}, "less than 1"),
        ({"metric": "reward"}, "needs exactly one of max, min, max_increase, max_decrease, max_ratio; it has none"),
        ({"metric": "reward", "min": 0, "max": 1}, "it has max, min"),
        ({"metric": "reward", "max": True}, "must be a number, not true"),
        ({"metric": "reward", "max": float("nan")}, "finite number"),
        ({"metric": "reward", "max": float("inf")}, "finite number"),
        ({"metric": "latency_ms", "quantile": 0.9, "min": 1}, "latency_ms is bounded by max or max_ratio, not by min"),
        ({"metric": "latency_ms", "quantile": 0.9, "max": -1}, "cannot be under 0, as -1 is"),
        ({"metric": "latency_ms", "quantile": 0.9, "max_ratio": 0}, "greater than 0"),
        ({"metric": "reward", "max_ratio": 2}, "not by max_ratio"),
        ({"expression": "errors", "max_ratio": 2}, "an expression is bounded by max or min"),
        ({"metric": "error_rate", "min": 0.1}, "error_rate is bounded by max or max_increase, not by min"),
        ({"metric": "accuracy", "max": 0.9}, "accuracy is bounded by min or max_decrease, not by max"),
        ({"metric": "disagreement", "max_increase": 0.1}, "disagreement is bounded by max, not by max_increase"),
        ({"metric": "error_rate", "max": 5}, "max of error_rate is a share between 0 and 1, not 5"),
        ({"metric": "error_rate", "max": -0.1}, "is a share between 0 and 1, not -0.1"),
        ({"metric": "accuracy", "min": 0}, "min of accuracy is a share between 0 and 1, not 0"),
        ({"metric": "error_rate", "max_increase": 1}, "a difference of shares between -1 and 1, not 1"),
        ({"metric": "distance", "max": -1}, "cannot be under 0"),
        ({"expression": "disagreed / compared", "max_increase": 0.1}, "against the stable version already"),
        ({"expression": "error / requests", "max": 0.1}, "names 'error'"),
        ({"expression": "errors" + " " * 500, "max": 0.1}, "at most 500 characters"),
        ({**ERRORS, "min_requests": 0}, "greater than 0"),
        ({**ERRORS, "min_request": 10}, "Extra inputs are not permitted"),
    ],
)
def test_gates_that_could_not_work_are_refused(gate, message):
    assert message in refused(GateConfig, gate)


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"strategy": "canary"}, "steps belong to strategy canary, which needs some"),
        ({"steps": [{"percent": 5}]}, "steps belong to strategy canary"),
        ({"strategy": "canary", "steps": [{"percent": 50}, {"percent": 5}]}, "must ascend, not be 50, 5"),
        ({"strategy": "canary", "steps": [{"percent": 5}, {"percent": 5}]}, "must ascend, not be 5, 5"),
        ({"strategy": "canary", "steps": [{"percent": 0}]}, "greater than 0"),
        ({"strategy": "canary", "steps": [{"percent": 101}]}, "less than or equal to 100"),
        ({"strategy": "canary", "steps": [{"percent": 5, "seconds": -1}]}, "greater than or equal to 0"),
        ({"strategy": "canary", "steps": [{"percent": 5, "seconds": float("inf")}]}, "finite number"),
        ({"gates": [ERRORS]}, "gates have no effect on strategy blue_green"),
        ({"strategy": "all-at-once", "gates": [ERRORS]}, "gates have no effect on strategy all-at-once"),
        ({"strategy": "rolling"}, "Input should be 'all-at-once'"),
        ({"confidence": 1}, "less than 1"),
        ({"keep_for_s": float("inf")}, "finite number"),
        (CANARY | {"gates": [ERRORS, ERRORS]}, "two gates bound error_rate the same way"),
        ({"shadow_seconds": 10}, "shadow_seconds has no effect on strategy blue_green"),
        (CANARY | {"gates": [ERRORS], "shadow_percent": 10}, "shadow_percent has no effect"),
        ({"strategy": "shadow", "shadow_percent": 0}, "copies no request"),
    ],
)
def test_rollouts_that_could_not_work_are_refused(rollout, message):
    assert message in refused(RolloutConfig, rollout)


@pytest.mark.parametrize(
    "gate",
    [
        ERRORS,
        {"metric": "latency_ms", "quantile": 0.9, "max_ratio": 2},
        {"metric": "accuracy", "max_decrease": 0.1},
        {"metric": "disagreement", "max": 0.1},
    ],
)
def test_nothing_is_compared_with_a_version_that_has_no_traffic_left(gate):
    steps = [{"percent": 10}, {"percent": 100}]
    document = {"strategy": "canary", "steps": steps, "gates": [gate]}
    assert "the step of 100% leaves no requests to the version" in refused(RolloutConfig, document)


def test_the_last_step_may_have_all_traffic_under_absolute_bounds():
    gates = [{"metric": "error_rate", "max": 0.01}, {"metric": "latency_ms", "quantile": 0.9, "max": 100}]
    RolloutConfig.model_validate({"strategy": "canary", "steps": [{"percent": 100}], "gates": gates})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"metric": "accuracy", "min": 0.5}, "accuracy cannot be known of a shadow"),
        ({"metric": "reward", "min": 0.5}, "reward cannot be known of a shadow"),
        ({"metric": "deadline_miss_rate", "max": 0.5}, "deadline_miss_rate cannot be known of a shadow"),
        ({"metric": "latency_ms", "quantile": 0.9, "max": 5}, "latency_ms cannot be known of a shadow"),
        ({"expression": "errors / requests", "max": 0.5}, "names 'errors', which cannot be known of a shadow"),
    ],
)
def test_a_shadow_has_no_gates_on_what_it_cannot_show(gate, message):
    assert message in refused(RolloutConfig, {"strategy": "shadow", "gates": [gate]})


def test_a_shadow_has_gates_on_copies():
    gates = [
        ERRORS,
        {"metric": "disagreement", "max": 0.01},
        {"metric": "distance", "max": 0.5},
        {"expression": "dropped / (dropped + compared + shadow_errors)", "max": 0.1},
    ]
    document = {"strategy": "shadow", "gates": gates, "shadow_seconds": 30, "shadow_percent": 20}
    assert RolloutConfig.model_validate(document).compares


@pytest.mark.parametrize(
    ("gate", "compares"),
    [
        (ERRORS, False),
        ({"metric": "disagreement", "max": 0.1}, True),
        ({"metric": "distance", "max": 0.1}, True),
        ({"expression": "disagreed / compared", "max": 0.1}, True),
        ({"expression": "refused / requests", "max": 0.1}, False),
    ],
)
def test_a_canary_copies_requests_if_a_gate_needs_it(gate, compares):
    assert RolloutConfig.model_validate(CANARY | {"gates": [gate]}).compares is compares


@pytest.mark.parametrize(
    "sticky", [{"header": "x-user"}, {"cookie": "uid"}, {"tensor": "user_id"}, {"parameter": "user"}]
)
def test_a_user_is_known_by_one_thing(sticky):
    config = StickyConfig.model_validate(sticky)
    assert StickyConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("sticky", "message"),
    [
        ({}, "needs exactly one of header, cookie, tensor, parameter"),
        ({"header": None}, "needs exactly one of"),
        ({"header": "x-user", "cookie": "uid"}, "needs exactly one of"),
        ({"header": "x user"}, "String should match pattern"),
        ({"tensor": ""}, "at least 1 character"),
        ({"parameter": ""}, "at least 1 character"),
    ],
)
def test_users_known_by_nothing_or_two_things_are_refused(sticky, message):
    assert message in refused(StickyConfig, sticky)


def test_shadows_and_experiments_have_their_limits():
    assert ShadowConfig(to="v2").tolerance == 1e-3
    assert "less than or equal to 100" in refused(ShadowConfig, {"to": "v2", "percent": 101})
    assert "finite number" in refused(ShadowConfig, {"to": "v2", "tolerance": float("inf")})
    assert ExperimentConfig(name="colours", control="v1").confidence == 0.95
    assert "less than 1" in refused(ExperimentConfig, {"name": "a", "control": "v1", "confidence": 95})
