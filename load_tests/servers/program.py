"""A server as a process of its own: started on free ports, found with all that came from it, and ended whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from load_tests.models import BENCH, ROOT
from load_tests.target import HostUnavailable
from serve_app.cli.marked import end_marked, marked_processes
from serve_app.cli.ports import Port, taken_ports

MARKER = "LOAD_TESTS_HOST"
_TERMINATE_S, _KILL_S, _PORTS_S = 5.0, 5.0, 30.0
_POLL_S = 0.1
_LOG_TAIL_BYTES = 1500


@dataclass(frozen=True, slots=True)
class Program:
    """What is run and what it needs.

    Attributes:
        name: Of its log file below `build/bench/logs`.
        command: The program and its arguments; it runs in the repository's root.
        ports: TCP ports that must be free before it starts and are waited for after its end.
        environment: Added to our own.
        stop_s: How long it may take to end after SIGINT before it is ended the hard way.
    """

    name: str
    command: Sequence[str]
    ports: Sequence[int]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Started:
    """A program that was started."""

    process: subprocess.Popen[bytes]
    marker: str
    log: Path

    @property
    def is_alive(self) -> bool:
        """Whether its first process runs."""
        return self.process.poll() is None

    def root_pids(self) -> tuple[int, ...]:
        """Pids of process trees that together are every process that came from it, also of those that left its tree."""
        pids = {process.pid for process in marked_processes(MARKER, self.marker)}
        return tuple(sorted(pid for pid in pids if _parent_pid(pid) not in pids))

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()


@contextmanager
def started(program: Program, logs: Path = BENCH / "logs") -> Iterator[Started]:
    """Start a program, and at the end stop it and everything that came from it.

    Raises:
        HostUnavailable: One of its ports is taken, or it cannot be executed.
    """
    ports = [Port("127.0.0.1", number, program.name) for number in program.ports]
    if taken := taken_ports(ports):
        raise HostUnavailable("; ".join(taken))
    marker = uuid.uuid4().hex
    running = Started(_start(program, marker, logs), marker, logs / f"{program.name}.log")
    try:
        yield running
    finally:
        _stop(running, program.stop_s)
        wait_until(lambda: not taken_ports(ports), _PORTS_S)


def wait_until(claim: Callable[[], bool], limit_s: float) -> bool:
    """Whether the claim came true within the limit; it is asked ten times a second."""
    deadline = time.perf_counter() + limit_s
    while not (is_true := claim()) and time.perf_counter() < deadline:
        time.sleep(_POLL_S)
    return is_true


def _start(program: Program, marker: str, logs: Path) -> subprocess.Popen[bytes]:
    # SPT_NOENV: Ray's workers write their title over their environment otherwise, and with it over the marker.
    environment = {**os.environ, **program.environment, MARKER: marker, "SPT_NOENV": "1"}
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{program.name}.log").open("wb") as log:
        try:
            return subprocess.Popen(  # noqa: S603 - a command of this package's own
                list(program.command),
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal reaches only us, and we end it in order
            )
        except OSError as error:
            raise HostUnavailable(f"{program.command[0]} cannot be run: {error.strerror}") from None


def _stop(running: Started, stop_s: float) -> None:
    if running.is_alive:
        running.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):  # it is ended with the rest then
            running.process.wait(stop_s)
    end_marked(MARKER, running.marker, _TERMINATE_S, _KILL_S)
    running.process.wait()


def _parent_pid(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None
