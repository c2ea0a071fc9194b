"""What ended processes left is removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

from serve_app.data_plane.files import sweep


def test_files_of_processes_that_are_gone_are_swept(tmp_path):
    gone = 2**22 + 1  # over the largest pid there is
    for pid in (gone, os.getpid()):
        (tmp_path / f"serve-app-{pid}-1").write_bytes(b"")
    (tmp_path / "other").write_bytes(b"")
    sweep(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other", f"serve-app-{os.getpid()}-1"]


def test_a_process_whose_parent_has_not_asked_how_it_ended_is_gone(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:  # noqa: S603 - ours
        (tmp_path / f"serve-app-{process.pid}-1").write_bytes(b"")
        sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        assert process.stdin is not None
        process.stdin.close()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and not asked yet
        sweep(tmp_path)
        assert list(tmp_path.iterdir()) == []
