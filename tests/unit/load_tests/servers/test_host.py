from __future__ import annotations

import sys

import numpy as np
import pytest
from support.server import free_port

from load_tests.servers.answers import Offer
from load_tests.servers.host import ProgramHost
from load_tests.servers.program import Program
from load_tests.target import HostUnavailable, Target

# answers every POST below /seven with the label 7, everything else with 404
SERVER = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if self.path == "/seven" else 404)
        self.end_headers()
        self.wfile.write(b'{"outputs":[{"name":"label","data":[7]}]}')

    def log_message(self, *arguments):
        print("asked for", self.path, flush=True)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def host(*paths: str, label: int = 7, optional: str = "", ready_s: float = 20.0) -> ProgramHost:
    port = free_port()
    program = Program("seven", [sys.executable, "-c", SERVER, str(port)], [port], stop_s=5)
    offers = [
        Offer(Target(path, "digits", f"http://127.0.0.1:{port}/{path}", (b"{}",)), np.array([label]), path == optional)
        for path in paths
    ]
    return ProgramHost("sevens", lambda: program, offers, ready_s=ready_s, optional_s=0.1)


def test_targets_that_answer_right_are_given_with_their_processes():
    with host("seven").running() as targets:
        (target,) = targets
        assert (target.name, len(target.pids)) == ("seven", 1)


def test_an_optional_target_that_does_not_answer_is_left_out_with_a_line(caplog):
    with host("seven", "door", optional="door").running() as targets:
        assert [target.name for target in targets] == ["seven"]
    assert "door, digits is left out: status 404" in caplog.text


def test_a_wrong_answer_makes_the_host_unavailable_and_says_what_was_logged():
    with pytest.raises(HostUnavailable) as raised, host("seven", label=8, ready_s=2).running():
        pass
    assert "seven, digits does not answer right: answered 7, not 8" in str(raised.value)
    assert "asked for /seven" in str(raised.value)


def test_a_program_that_ends_by_itself_is_not_waited_for():
    program = Program("ends", [sys.executable, "-c", "raise SystemExit('no such model')"], [])
    offer = Offer(Target("t", "digits", "http://127.0.0.1:9/", (b"",)), np.array([1]))
    with (
        pytest.raises(HostUnavailable, match="no such model"),
        ProgramHost("ends", lambda: program, [offer], ready_s=60).running(),
    ):
        pass


def test_what_cannot_be_prepared_is_unavailable():
    def fails() -> Program:
        raise HostUnavailable("pip failed")

    with pytest.raises(HostUnavailable, match="pip failed"), ProgramHost("x", fails, []).running():
        pass
