"""A `serve-app serve` of a scenario, and the commands that change it, each line of theirs with its time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from load_tests.models import ROOT
from load_tests.releases.files import Ports, ReleaseFile
from load_tests.releases.load import Sending
from load_tests.releases.truth import bodies
from load_tests.servers.program import Program, Started, started, wait_until
from load_tests.soak.production import is_ready
from load_tests.target import HostUnavailable
from serve_app.config.port_checks import DASHBOARD_PORT
from serve_app.data_plane.cluster import ANSWERING

RATE_PER_S = 80.0
DASHBOARD = f"http://127.0.0.1:{DASHBOARD_PORT}"
_SERVE_APP = str(Path(sys.executable).parent / "serve-app")
_READY_S, _STOP_S, _ASK_S = 180.0, 60.0, 10.0


def free_ports() -> Ports:
    """Three ports that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return Ports(*numbers)


@dataclass(slots=True)
class Command:
    """A `serve-app` command under way, or over.

    Attributes:
        began_s: When it was started, as `time.perf_counter` has it.
        lines: What it wrote so far, each with its time.
    """

    process: subprocess.Popen[str]
    began_s: float
    lines: list[tuple[float, str]] = field(default_factory=list)
    ended_s: float = 0.0
    _reader: threading.Thread | None = None

    @classmethod
    def start(cls, *arguments: str) -> Command:
        """Start one."""
        process = subprocess.Popen(  # noqa: S603 - our own command
            [_SERVE_APP, *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        command = cls(process, time.perf_counter())
        command._reader = threading.Thread(target=command._read, daemon=True)
        command._reader.start()
        return command

    def _read(self) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self.process.stdout:
            self.lines.append((time.perf_counter(), line.rstrip()))

    def wait(self, limit_s: float = 300.0) -> int:
        """The exit code.

        Raises:
            TimeoutExpired: It is still running; then it was killed.
        """
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._join()
        return code

    def kill(self) -> None:
        """End it with SIGKILL, as if its machine had lost power."""
        self.process.kill()
        self.process.wait()
        self._join()

    @property
    def output(self) -> str:
        """All that it wrote."""
        return "\n".join(line for _, line in self.lines)

    def said_s(self, text: str) -> float | None:
        """When the first line with a text came; None if none did."""
        return next((at for at, line in self.lines if text in line), None)

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.ended_s = self.ended_s or time.perf_counter()


@dataclass(slots=True)
class Running:
    """A server that runs a scenario's file.

    Attributes:
        url: Of the Serve proxy.
        express_url: Of the gateway's own port, whose answers tell the replica.
        folder: For files of the scenario.
    """

    url: str
    express_url: str
    folder: Path
    program: Started

    def sending(self, model: str, rate_per_s: float = RATE_PER_S, **more: Any) -> Sending:  # noqa: ANN401 - Sending's own
        """A load of one-row requests to a model, over its split."""
        return Sending(f"{self.url}/v2/models/{model}/infer", bodies(), rate_per_s, **more)

    def sending_express(self, model: str, rate_per_s: float = RATE_PER_S, **more: Any) -> Sending:  # noqa: ANN401 - as above
        """The same at the gateway's own port, with a new connection each, so that every replica has its share."""
        url = f"{self.express_url}/v2/models/{model}/infer"
        return Sending(url, bodies(), rate_per_s, keeps_alive=False, **more)

    def applying(self, file: ReleaseFile) -> Command:
        """`serve-app apply FILE --yes`, under way."""
        return Command.start("apply", str(file.write(self.folder / "apply.yaml")), "--yes")

    def apply(self, file: ReleaseFile, limit_s: float = 300.0) -> Command:
        """The same, over; whether it succeeded is its exit code."""
        command = self.applying(file)
        command.wait(limit_s)
        return command

    def rollback(self, model: str) -> Command:
        """`serve-app rollback MODEL`, over."""
        command = Command.start("rollback", model, "--url", self.url)
        command.wait()
        return command

    def status(self) -> dict[str, Any]:
        """What the controller shows; empty while it cannot be asked."""
        with suppress(httpx.HTTPError):
            answer = httpx.get(f"{self.url}/v2/releases", timeout=_ASK_S)
            if answer.is_success:
                document: dict[str, Any] = answer.json()
                return document
        return {}

    def model(self, name: str) -> dict[str, Any]:
        """A model's part of the status; empty where there is none."""
        found: dict[str, Any] = self.status().get("models", {}).get(name, {})
        return found

    def rollout(self, model: str) -> dict[str, Any]:
        """A model's last rollout; empty where there is none."""
        return self.model(model).get("rollout") or {}

    def ready_versions(self, model: str) -> set[str]:
        """Versions that every gateway can call."""
        return {version for version, state in self.model(model).get("versions", {}).items() if state["ready"]}

    def applications(self) -> Mapping[str, Any]:
        """What Serve's REST API says about every application."""
        token = (Path.home() / ".ray/auth_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{DASHBOARD}/api/serve/applications/", headers=headers, timeout=_ASK_S)
        found: dict[str, Any] = answer.raise_for_status().json()["applications"]
        return found

    def pids(self, application: str, deployment: str) -> list[int]:
        """Process ids of the running replicas of a deployment."""
        deployments = self.applications().get(application, {}).get("deployments", {})
        replicas = deployments.get(deployment, {}).get("replicas", ())
        return sorted(one["pid"] for one in replicas if one["state"] in ANSWERING)

    def kill(self, application: str, deployment: str) -> int:
        """End the first replica of a deployment with SIGKILL; gives its process id."""
        pid = self.pids(application, deployment)[0]
        os.kill(pid, signal.SIGKILL)
        return pid


@contextmanager
def serving(file: ReleaseFile, folder: Path, name: str) -> Iterator[Running]:
    """Serve a file until the block ends, as a user would.

    Raises:
        HostUnavailable: It does not get ready; the message has the end of its log.
    """
    path = file.write(folder / "serve.yaml")
    port = file.options["http_options"]["port"]
    url = f"http://127.0.0.1:{port}"
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))}
    program = Program(
        f"releases-{name}", [_SERVE_APP, "serve", str(path)], [port, DASHBOARD_PORT], environment, _STOP_S
    )
    with started(program) as process:
        if not wait_until(lambda: not process.is_alive or is_ready(url), _READY_S) or not process.is_alive:
            raise HostUnavailable(f"{path} is not ready; {process.log} ends with\n{process.log_tail()}")
        express_url = f"http://127.0.0.1:{file.gateway['args']['express']['port']}"
        running = Running(url, express_url, folder, process)
        if not wait_until(lambda: bool(running.status().get("models")), _READY_S):
            raise HostUnavailable(f"the controller of releases at {url} does not answer")
        yield running


class StatusWatch:
    """Asks for the status again and again in a thread; a context manager.

    Attributes:
        seen: Each status with its time.
    """

    def __init__(self, running: Running, every_s: float = 0.25) -> None:
        self._running, self._every_s = running, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: list[tuple[float, dict[str, Any]]] = []

    def __enter__(self) -> StatusWatch:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(self._every_s):
            if document := self._running.status():
                self.seen.append((time.perf_counter(), document))

    def percents(self, model: str, version: str) -> Sequence[float]:
        """The version's percent at each look."""
        models = (document["models"].get(model, {}) for _, document in self.seen)
        return [one.get("traffic", {}).get(version, 0.0) for one in models]

    def reasons(self, model: str, version: str) -> Sequence[str]:
        """Why the version was not ready, each reason once, in their order."""
        states = (document["models"].get(model, {}).get("versions", {}).get(version) for _, document in self.seen)
        found = (state["reason"] for state in states if state and not state["ready"])
        return list(dict.fromkeys(found))
