"""What holds for a model: the live table for the entry it knows, else what is declared."""

from __future__ import annotations

from serve_app.config.gateway import ModelTraffic
from serve_app.data_plane.in_effect import in_effect
from serve_app.release.messages import LiveModel, Shadow

DECLARED = ModelTraffic.model_validate(
    {"traffic": {"v1": 100}, "labels": {"old": "v0"}, "shadow": [{"to": "v2", "percent": 5, "tolerance": 0.5}]}
)
LIVE = LiveModel("f1", "rollout-1", {"v3": 100}, {"new": "v4"}, (Shadow("v5"),))


def test_without_a_live_table_the_declared_entry_holds():
    holds = in_effect("cats", DECLARED, "f1", None)
    assert (holds.window, holds.remembers) == ("cats:f1", False)
    assert (holds.traffic, holds.labels) == ({"v1": 100}, {"old": "v0"})
    assert holds.shadows == (Shadow("v2", 5, 0.5),)
    assert holds.versions == {"v0", "v1", "v2"}


def test_a_live_table_replaces_it_and_all_versions_of_both_are_named():
    holds = in_effect("cats", DECLARED, "f1", LIVE)
    assert (holds.window, holds.remembers) == ("rollout-1", True)
    assert (holds.traffic, holds.labels, holds.shadows) == ({"v3": 100}, {"new": "v4"}, (Shadow("v5"),))
    assert holds.versions == {"v0", "v1", "v2", "v3", "v4", "v5"}


def test_a_live_table_for_another_entry_has_no_effect():
    assert in_effect("cats", DECLARED, "f2", LIVE) == in_effect("cats", DECLARED, "f2", None)


def test_what_is_kept_for_a_rollback_stays_known_whatever_is_declared():
    live = LiveModel("f1", "", {"v3": 100}, kept=("v9",))
    assert in_effect("cats", DECLARED, "f1", live).versions == {"v0", "v1", "v2", "v3", "v9"}
    holds = in_effect("cats", DECLARED, "f2", live)
    assert (holds.versions, holds.traffic) == ({"v0", "v1", "v2", "v9"}, {"v1": 100})


def test_without_a_window_of_its_own_a_live_table_counts_where_the_declared_one_does():
    holds = in_effect("cats", DECLARED, "f1", LiveModel("f1", "", {"v3": 100}))
    assert (holds.window, holds.traffic) == ("cats:f1", {"v3": 100})


def test_an_experiment_is_a_window_of_its_own_whatever_else_changes_and_remembers_answers():
    declared = ModelTraffic.model_validate(
        {
            "traffic": {"v1": 50, "v2": 50},
            "sticky": {"header": "x-user"},
            "experiment": {"name": "button", "control": "v1"},
        }
    )
    holds = in_effect("cats", declared, "f1", None)
    assert (holds.window, holds.remembers) == ("cats:experiment:button", True)


def test_a_rollout_without_a_stage_counts_as_without_a_rollout():
    holds = in_effect("cats", DECLARED, "f1", LiveModel("f1", "", {"v3": 100}))
    assert (holds.window, holds.home) == ("cats:f1", "cats:f1")
    assert in_effect("cats", DECLARED, "f1", LIVE).home == "cats:f1"
