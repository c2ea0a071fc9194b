import shutil

import pytest

from load_tests.points import LoadFailed
from load_tests.target import Target
from load_tests.wrk import find_wrk, needed_wrk, parse, run, write_script

PRINTED = """Running 2s test @ http://127.0.0.1:1/infer
  1 threads and 16 connections
wrk-result {"requests": 4000, "us": 2000000, "status": 100, "socket": 3, "p50": 1500, "p90": 2500, "p99": 9000}
"""


def test_figures_come_from_the_scripts_own_line():
    point = parse(PRINTED, 16, "t")
    assert (point.connections, point.seconds, point.answers, point.requests_per_s) == (16, 2, 4000, 1950)
    assert (point.p50_ms, point.p90_ms, point.p99_ms, point.failed, point.tool) == (1.5, 2.5, 9, 103, "wrk")


def test_a_run_without_result_is_an_error_with_what_was_printed():
    with pytest.raises(LoadFailed, match="wrk put no load on peer: unable to connect"):
        parse("unable to connect to 127.0.0.1:1", 1, "peer")


def test_the_script_has_the_headers_and_the_bodies_lie_beside_it(tmp_path):
    target = Target("t", "cnn", "http://h/p", (b"\0\xff", b"b"), "application/octet-stream", (("x-a", 'say "1"'),))
    script = write_script(tmp_path, target).read_text()
    assert '["Content-Type"] = "application/octet-stream", ["x-a"] = "say \\"1\\""' in script
    assert "for number = 1, 2 do" in script
    assert "index % #requests" in script
    assert (tmp_path / "1").read_bytes() == b"\0\xff"


@pytest.mark.skipif(find_wrk() is None, reason="wrk is not installed")
def test_wrk_sends_the_bodies_in_turn_and_counts_answers(thread_server):
    wrk = find_wrk()
    bodies = (b"\0binary\r\n\r\n", b'{"a": 1}')
    point = run(wrk, thread_server.target(bodies=bodies), connections=2, seconds=1)
    assert set(thread_server.bodies) == set(bodies)
    assert abs(thread_server.bodies.count(bodies[0]) - thread_server.bodies.count(bodies[1])) <= 2
    assert 0 < point.answers <= len(thread_server.bodies)
    assert point.failed == 0
    assert run(wrk, thread_server.target(path="/busy"), connections=2, seconds=1).requests_per_s == 0


def test_a_command_that_needs_wrk_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", {"wrk": None}.get)
    with pytest.raises(SystemExit, match="wrk is not installed: apt-get install wrk"):
        needed_wrk()
    monkeypatch.setattr(shutil, "which", {"wrk": "/bin/wrk"}.get)
    assert needed_wrk() == "/bin/wrk"
