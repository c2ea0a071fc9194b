"""The scenario of a killed replica."""

from __future__ import annotations

from load_tests.releases import files, kills, scene
from load_tests.releases.files import DIGITS
from serve_app.config.serve_file import read_serve_file


def test_its_file_gives_one_replica_90_percent(tmp_path):
    file = scene.base(tmp_path).serving(files.digits("v1")).serving(files.digits("v2")).routed(DIGITS, kills.SPLIT)
    checked = read_serve_file(file.write(tmp_path / "serve.yaml"))
    assert checked.faults == []
    assert kills.SPLIT["v1"] == 90
    assert file.releases["digits-v1"]["deployments"] == [{"name": "digits", "num_replicas": 1}]
