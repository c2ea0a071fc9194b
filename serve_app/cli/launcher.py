"""One foreground run of a server process: ready line, Ctrl-C, and nothing left behind.

The child gets a session of its own, so that a Ctrl-C in the terminal reaches only this process, which passes exactly
one SIGINT on: Ray's own processes must outlive `serve run`'s orderly shutdown, and a second one would cut that short.
"""

from __future__ import annotations

import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from serve_app.cli.marked import end_marked

MARKER = "SERVE_APP_RUN"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each step may take, in seconds; the steps of stopping add up to less than 45.

    Attributes:
        ready_hint_s: Until the operator is told where to look if the server is not ready.
        shutdown_s: For the child's own shutdown after SIGINT.
        closed_s: For the rest of that shutdown once a server that was ready answers no more. Behind HAProxy, Ray holds
            the gateway's replica for another 30 s, long after the last connection to it is gone.
        terminate_s: For what is left after SIGTERM.
        kill_s: For what is left after SIGKILL.
    """

    ready_hint_s: float = 60.0
    shutdown_s: float = 20.0
    closed_s: float = 3.0
    terminate_s: float = 5.0
    kill_s: float = 5.0


@dataclass(slots=True)
class Launcher:
    """Runs a command in the foreground until it is asked to stop, then ends all that came from it.

    Attributes:
        command: The server; its output goes where ours goes.
        environment: The child's environment, to which the marker is added.
        is_ready: Asked until it says yes; must answer within about a second.
        on_ready: Called once, when the server is ready.
        on_late: Called once if the server is not ready after `patience.ready_hint_s`.
        say: Where the launcher's own lines go.
        patience: Bounds in time.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    on_ready: Callable[[], None]
    on_late: Callable[[], None]
    say: Callable[[str], None]
    patience: Patience = Patience()
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    _stops: int = field(default=0, init=False)
    _was_ready: bool = field(default=False, init=False)

    def run(self) -> int:
        """Run until the child ends or a stop signal comes.

        Returns:
            The exit code: 0 after a stop signal, else that of the child, 1 where that is 0 (it was not asked to end) or
            where a process could not be ended.
        """
        with self._stop_signals_counted():
            # SPT_NOENV: Ray's workers write their title over their environment otherwise, and with it over the marker.
            environment = {**self.environment, MARKER: self.marker, "SPT_NOENV": "1"}
            child = subprocess.Popen(self.command, env=environment, start_new_session=True)  # noqa: S603 - not a shell
            try:
                self._watch(child)
            finally:
                code, is_clean = self._end(child)
        return code if is_clean else 1

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        """Wait for the child's end or the first stop signal, and say when the server is ready."""
        started, is_late = time.perf_counter(), False
        while child.poll() is None and not self._stops:
            if not self._was_ready and self.is_ready():
                self._was_ready = True
                self.on_ready()
            if not self._was_ready and not is_late and time.perf_counter() - started > self.patience.ready_hint_s:
                is_late = True
                self.on_late()
            _wait(child, _POLL_S)

    def _end(self, child: subprocess.Popen[bytes]) -> tuple[int, bool]:
        """End everything; returns the exit code and whether nothing is left."""
        started = time.perf_counter()
        ended_itself = child.poll() is not None and not self._stops
        if ended_itself:
            self.say(f"{self.command[0]} ended by itself with code {child.returncode}")
        else:
            self.say("stopping; once more stops at once")
            child.send_signal(signal.SIGINT)
            self._await_shutdown(child)
        ended, left = end_marked(MARKER, self.marker, self.patience.terminate_s, self.patience.kill_s)
        child.poll()
        took = f"{time.perf_counter() - started:.1f} s"
        for process in left:
            self.say(f"process {process.pid} could not be ended")
        self.say(f"stopped in {took}; {ended} left-over processes were ended")
        return (child.returncode or 1) if ended_itself else 0, not left

    def _await_shutdown(self, child: subprocess.Popen[bytes]) -> None:
        """Let the child shut down, no longer than it may and not beyond a second stop signal."""
        is_closed = False
        deadline = time.perf_counter() + self.patience.shutdown_s
        while child.poll() is None and self._stops < 2 and time.perf_counter() < deadline:
            if self._was_ready and not is_closed and not self.is_ready():
                is_closed = True
                deadline = min(deadline, time.perf_counter() + self.patience.closed_s)
            _wait(child, _POLL_S)

    @contextmanager
    def _stop_signals_counted(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._count) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


def _wait(child: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return
