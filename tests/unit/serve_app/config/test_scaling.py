"""Settings of the row-aware policy."""

import pytest
from pydantic import ValidationError

from deployments.autoscaling import RowAwarePolicy
from serve_app.config.import_lookup import look_up
from serve_app.config.scaling import POLICY_PATH, ScalingArgs


def test_nothing_needs_to_be_set():
    assert ScalingArgs() == ScalingArgs(target_utilisation=0.75, drain_s=10.0)


@pytest.mark.parametrize(
    "wrong", [{"target_utilisation": 0}, {"target_utilisation": 0.96}, {"drain_s": 0}, {"drain_s": True}, {"drain": 1}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        ScalingArgs.model_validate(wrong)


def test_the_path_leads_to_the_policy():
    assert look_up(POLICY_PATH).kind == "class"
    assert f"{RowAwarePolicy.__module__}:{RowAwarePolicy.__name__}" == POLICY_PATH
