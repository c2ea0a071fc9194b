"""Candidates that cannot become ready, each for its own reason."""

from __future__ import annotations

from load_tests.releases import refusals


def test_each_has_a_folder_of_its_own_and_a_reason(tmp_path):
    found = refusals.candidates(tmp_path)
    assert list(found) == ["never", "raises", "golden"]
    for version, (application, reason) in found.items():
        assert (tmp_path / version / "model.yaml").exists()
        assert (application["name"], bool(reason)) == (f"digits-{version}", True)
    assert found["golden"][0]["args"].get("python_class") is None
    assert found["never"][0]["args"]["python_class"] == "load_tests.releases.spoiled:NeverReady"
