"""What ended processes left is removed, and nothing else."""

from __future__ import annotations

import os

from serve_app.data_plane.files import sweep


def test_files_of_processes_that_are_gone_are_swept(tmp_path):
    gone = 2**22 + 1  # over the largest pid there is
    for pid in (gone, os.getpid()):
        (tmp_path / f"serve-app-{pid}-1").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"")
    sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", f"serve-app-{os.getpid()}-1"]
