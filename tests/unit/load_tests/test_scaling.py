"""Steady rates and replicas: what counts as steady, and the file that is served."""

from __future__ import annotations

import pytest

from load_tests.scaling import MODEL, Step, changes, serve_file


@pytest.mark.parametrize(("numbers", "expected"), [([], 0), ([1], 0), ([1, 1, 2, 2], 1), ([1, 2, 1, 2], 3)])
def test_changes_are_counted(numbers, expected):
    assert changes(numbers) == expected


def test_one_change_while_settling_is_steady():
    assert Step(35.0, [2], (1, 0)).is_steady
    assert not Step(35.0, [1, 2], (1, 1)).is_steady
    assert not Step(35.0, [2], (2, 0)).is_steady
    assert not Step(35.0, [2], (0, 0), sent=10, lost=1).is_steady


def test_the_file_serves_the_sleeper_alone(tmp_path):
    gateway = {"name": "gateway", "deployments": [{"name": "Gateway", "user_config": {"models": {"digits": {}}}}]}
    made = serve_file({"http_options": {"port": 8000}, "applications": [gateway, {"name": "digits-v1"}]}, tmp_path)
    assert made["http_options"] == {"port": 8000}
    assert [application["name"] for application in made["applications"]] == ["gateway", f"{MODEL}-v1"]
    assert made["applications"][0]["deployments"][0]["user_config"] == {"models": {MODEL: {"traffic": {"v1": 100}}}}
    assert made["applications"][1]["args"]["source"] == str(tmp_path)
