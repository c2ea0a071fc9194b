"""`serve-app serve`, with a script standing in for Ray's `serve`."""

import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from serve_app.cli.launcher import MARKER
from serve_app.cli.marked import marked_processes
from serve_app.cli.serve import launcher_of
from serve_app.config.serve_file import read_serve_file

PROD = Path(__file__).parents[4] / "configs/prod.yaml"
FAKE = """#!{python}
import http.server, sys
assert sys.argv[1] == "run"
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v2/health/ready" else 404)
        self.end_headers()
print("fake serve is up", flush=True)
try:
    http.server.HTTPServer(("127.0.0.1", {port}), Ready).serve_forever()
except KeyboardInterrupt:
    print("fake serve is down", flush=True)
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def good_file(tmp_path, port):
    file = tmp_path / "good.yaml"
    file.write_text(PROD.read_text().replace("port: 8000", f"port: {port}"))
    return file


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_good_file_is_served_until_it_is_stopped(tmp_path, capfd):
    port = free_port()
    file = good_file(tmp_path, port)
    script = tmp_path / "serve"
    script.write_text(FAKE.format(python=sys.executable, port=port))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    launcher = launcher_of(file, read_serve_file(file).declared, str(script))
    announce = launcher.on_ready
    launcher.on_ready = lambda: (announce(), os.kill(os.getpid(), signal.SIGINT))
    assert launcher.run() == 0
    out = capfd.readouterr().out.splitlines()
    url = f"http://127.0.0.1:{port}"
    assert out == ["fake serve is up", f"ready at {url} - try: curl {url}/v2/models/digits", "fake serve is down"]
    assert marked_processes(MARKER, launcher.marker) == []


def test_no_workers_are_started_ahead_unless_somebody_says_so(tmp_path, monkeypatch):
    file = good_file(tmp_path, 8000)
    declared, setting = read_serve_file(file).declared, "RAY_prestart_worker_first_driver"
    monkeypatch.delenv(setting, raising=False)
    assert launcher_of(file, declared, "serve").environment[setting] == "0"
    monkeypatch.setenv(setting, "1")
    assert launcher_of(file, declared, "serve").environment[setting] == "1"


def test_a_bad_file_is_not_started(run, tmp_path):
    file = good_file(tmp_path, 8000)
    text = file.read_text().replace("host: 127.0.0.1", "host: 0.0.0.0")
    file.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("http_options"))
    code, _, err = run("serve", file)
    assert code == 1
    assert err.splitlines()[0].startswith(f"{file}:{line}: http_options.host: 0.0.0.0 is reachable")


def test_a_slow_python_is_named_at_the_start(run, tmp_path, monkeypatch):
    monkeypatch.setattr("serve_app.cli.serve.interpreter_fault", lambda: "slow")
    monkeypatch.setattr("serve_app.cli.serve._serve_script", lambda: "/bin/false")
    code, out, _ = run("serve", good_file(tmp_path, free_port()))
    assert code == 1
    assert out.splitlines()[0] == "slow"


def test_a_taken_port_is_named_at_once(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        file = good_file(tmp_path, port)
        file.write_text(file.read_text().replace("models/", "s3://nowhere/"))  # so that no artifact is opened
        code, out, err = run("serve", file)
    assert (code, out) == (1, "")
    assert f"port {port} for HTTP (http_options.port) is taken by process {os.getpid()} (" in err
    assert err.startswith("error: port ")
