"""The controller's status as programs read it."""

import pytest
from pydantic import ValidationError

from serve_app.release.overview import Overview, RolloutState
from serve_app.release.records import Phase, Routing

ROLLOUT = {
    "id": "1",
    "phase": "running",
    "from": {"traffic": {"v1": 100}},
    "to": {"traffic": {"v2": 100}, "labels": {"a": "v2"}},
}


def test_a_rollout_is_read_with_both_its_ends():
    rollout = RolloutState.model_validate({**ROLLOUT, "steps": 3, "more": 1})
    assert rollout.before.routing == Routing({"v1": 100}, {})
    assert rollout.after.routing == Routing({"v2": 100}, {"a": "v2"})
    assert (rollout.phase, rollout.steps) == (Phase.RUNNING, 3)


def test_a_whole_status_is_read_with_what_it_says_and_defaults_for_the_rest():
    overview = Overview.model_validate(
        {"models": {"digits": {"traffic": {"v1": 100}, "labels": {"stable": "v1"}, "rollout": ROLLOUT}}, "lock": None}
    )
    assert overview.models["digits"].live == Routing({"v1": 100}, {"stable": "v1"})
    assert overview.models["digits"].rollout.id == "1"
    assert Overview.model_validate({}) == Overview()


@pytest.mark.parametrize("document", [[], "x", {"models": []}, {"models": {"a": {"rollout": {"phase": "odd"}}}}])
def test_another_kind_of_document_is_none(document):
    with pytest.raises(ValidationError):
        Overview.model_validate(document)
