"""The life of one run, with small scripts standing in for `serve run`.

Signals are real and come from the launcher's own callbacks, so that each arrives in a known state.
"""

import os
import signal
import sys

import pytest

from serve_app.cli.launcher import MARKER, Launcher, Patience
from serve_app.cli.marked import marked_processes

SHORT = Patience(ready_hint_s=60, shutdown_s=20, closed_s=20, terminate_s=10, kill_s=10)
UP = "open(sys.argv[1], 'w').close()\n"
WAIT = "import signal\nwhile True: signal.pause()\n"
POLITE = (
    "import sys, time, signal\n"
    + UP
    + "try:\n    while True: signal.pause()\n"
    + "except KeyboardInterrupt:\n    open(sys.argv[1] + '.bye', 'w').close()\n"
)
DEAF = "import sys, signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + UP + WAIT
STUBBORN = "import sys, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + DEAF
LEAVES_A_CHILD = (
    "import subprocess, sys\n"
    "code = 'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); signal.pause()'\n"
    "child = subprocess.Popen([sys.executable, '-c', code], start_new_session=True, stdout=subprocess.PIPE)\n"
    "child.stdout.readline()\n" + POLITE
)


class Run:
    """A launcher over a script; `stop` is sent to this process when the script is up."""

    def __init__(self, tmp_path, code, patience=SHORT, stop=signal.SIGINT):
        self.up = tmp_path / "up"
        self.said = []
        self.heard = []
        self.stop = stop
        self.launcher = Launcher(
            command=[sys.executable, "-c", code, str(self.up)],
            environment=os.environ,
            is_ready=self.up.exists,
            on_ready=self.on_ready,
            on_late=lambda: self.heard.append("late"),
            say=self.say,
            patience=patience,
        )

    def on_ready(self):
        self.heard.append("ready")
        if self.stop:
            os.kill(os.getpid(), self.stop)

    def say(self, text):
        self.said.append(text)

    def left(self):
        return marked_processes(MARKER, self.launcher.marker)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_lets_the_child_shut_down_and_is_success(tmp_path, stop):
    run = Run(tmp_path, POLITE, stop=stop)
    assert run.launcher.run() == 0
    assert run.heard == ["ready"]
    assert (tmp_path / "up.bye").exists()
    assert run.said[0] == "stopping; once more stops at once"
    assert run.said[-1].endswith("; 0 left-over processes were ended")
    assert run.left() == []


def test_a_child_that_ends_by_itself_is_a_failure_with_its_code(tmp_path):
    run = Run(tmp_path, "import sys; sys.exit(3)")
    assert run.launcher.run() == 3
    assert run.said[0] == f"{sys.executable} ended by itself with code 3"


def test_a_child_that_ends_by_itself_is_a_failure_even_with_code_0(tmp_path):
    assert Run(tmp_path, "").launcher.run() == 1


def test_a_child_that_was_killed_is_a_failure(tmp_path):
    assert Run(tmp_path, "import os; os.kill(os.getpid(), 9)").launcher.run() != 0


def test_what_the_child_leaves_behind_is_ended(tmp_path):
    run = Run(tmp_path, LEAVES_A_CHILD, patience=Patience(terminate_s=0.2))
    assert run.launcher.run() == 0
    assert (tmp_path / "up.bye").exists()
    assert run.said[-1].endswith("; 1 left-over processes were ended")
    assert run.left() == []


def test_what_a_dead_child_leaves_behind_is_ended_too(tmp_path):
    code = LEAVES_A_CHILD.replace("while True: signal.pause()", "sys.exit(5)")
    run = Run(tmp_path, code, patience=Patience(terminate_s=0.2), stop=None)
    assert run.launcher.run() == 5
    assert run.left() == []


def test_a_child_that_does_not_shut_down_in_time_is_terminated(tmp_path):
    run = Run(tmp_path, DEAF, patience=Patience(shutdown_s=0.2))
    assert run.launcher.run() == 0
    assert run.said[-1].endswith("; 1 left-over processes were ended")
    assert run.left() == []


def test_a_child_that_ignores_sigterm_is_killed(tmp_path):
    run = Run(tmp_path, STUBBORN, patience=Patience(shutdown_s=0.2, terminate_s=0.2))
    assert run.launcher.run() == 0
    assert run.left() == []


def test_a_second_stop_signal_shortens_the_wait(tmp_path):
    run = Run(tmp_path, DEAF, patience=Patience(shutdown_s=250))
    run.launcher.say = lambda text: (run.said.append(text), "once more" in text and os.kill(os.getpid(), signal.SIGINT))
    assert run.launcher.run() == 0
    assert run.left() == []


def test_a_server_that_was_ready_and_answers_no_more_is_not_waited_for_long(tmp_path):
    run = Run(tmp_path, DEAF, patience=Patience(shutdown_s=250, closed_s=0.1))
    run.launcher.on_ready = lambda: (run.up.unlink(), os.kill(os.getpid(), signal.SIGINT))
    assert run.launcher.run() == 0
    assert run.left() == []


def test_a_stop_before_the_server_is_ready_works_as_well(tmp_path):
    run = Run(tmp_path, POLITE)
    run.launcher.is_ready = lambda: run.up.exists() and os.kill(os.getpid(), signal.SIGINT) is not None
    assert run.launcher.run() == 0
    assert run.heard == []
    assert run.left() == []


def test_a_slow_start_is_explained_once(tmp_path):
    run = Run(tmp_path, POLITE, patience=Patience(ready_hint_s=0))
    run.launcher.is_ready = lambda: False
    run.launcher.on_late = lambda: (run.heard.append("late"), os.kill(os.getpid(), signal.SIGINT))
    run.up.touch()
    assert run.launcher.run() == 0
    assert run.heard == ["late"]


def test_the_child_is_out_of_reach_of_the_terminals_ctrl_c(tmp_path):
    run = Run(tmp_path, "import os, sys\nopen(sys.argv[1], 'w').write(str(os.getsid(0) == os.getpid()))")
    run.launcher.run()
    assert run.up.read_text() == "True"


def test_the_child_keeps_its_environment_where_it_can_be_read(tmp_path):
    run = Run(tmp_path, "import os, sys\nopen(sys.argv[1], 'w').write(os.environ['SPT_NOENV'])")
    run.launcher.run()
    assert run.up.read_text() == "1"


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    Run(tmp_path, "").launcher.run()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_each_run_has_a_mark_of_its_own(tmp_path):
    assert Run(tmp_path, "").launcher.marker != Run(tmp_path, "").launcher.marker


def test_stopping_takes_less_than_45_seconds_at_most():
    bounds = Patience()
    assert bounds.shutdown_s + bounds.terminate_s + bounds.kill_s < 40
