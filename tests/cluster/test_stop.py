"""The end of the shared server; sorted last, because nothing runs after it."""

from __future__ import annotations

import socket
import subprocess

from support.server import BIN, left_over_processes

from serve_app.data_plane.files import DIRECTORY, PREFIX


def test_a_taken_port_is_named_at_once(server, tmp_path):
    """While the shared server runs, a second one cannot have its ports."""
    done = subprocess.run(  # noqa: S603 - our own command
        [BIN / "serve-app", "serve", server.folder / "serve.yaml"],
        cwd=server.root,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode != 0
    assert str(server.config["http_options"]["port"]) in done.stderr


def test_ctrl_c_ends_every_process(server):
    seconds = server.stop()
    assert seconds < 45
    assert left_over_processes() == []
    assert list(DIRECTORY.glob(f"{PREFIX}*")) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections may linger, a listener may not
        probe.bind(("127.0.0.1", server.config["http_options"]["port"]))
