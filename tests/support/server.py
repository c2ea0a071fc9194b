"""Starts `serve-app serve` on a copy of configs/prod.yaml, redeploys it, and looks at what runs."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from serve_app.data_plane.cluster import ANSWERING

BIN = Path(sys.executable).parent
DASHBOARD = "http://127.0.0.1:8265"
MAX_BODY_BYTES = 2**20
PATIENCE_S = 120.0  # for a replica to come or to go


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, claim: Callable[[], object], seconds: float) -> Any:
    """The first true value of `claim`; polls ten times a second and fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := claim():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)  # between two looks at a server that tells nothing by itself; only the claim ends the wait
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


class Server:
    """A `serve-app serve` of our own.

    Attributes:
        url: Where the Serve proxy listens.
        grpc_address: Where gRPC is answered.
        express_url: Where the gateway's express door does.
        config: What is deployed now, as plain data.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.config: dict[str, Any] = yaml.safe_load((root / "configs/prod.yaml").read_text())
        self.config["http_options"]["port"] = free_port()
        self.config["grpc_options"]["port"] = free_port()
        self.config["applications"][0]["args"]["express"]["port"] = free_port()
        self.config["applications"][0]["args"]["limits"]["max_body_bytes"] = MAX_BODY_BYTES
        self.config["applications"][0]["args"]["releases"] = {"state_url": f"sqlite:///{folder}/state.db"}
        self.url = f"http://127.0.0.1:{self.config['http_options']['port']}"
        self.grpc_address = f"127.0.0.1:{self.config['grpc_options']['port']}"
        self.express_url = f"http://127.0.0.1:{self.config['applications'][0]['args']['express']['port']}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "serve.log").open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command
                [BIN / "serve-app", "serve", self.write(self.config)],
                cwd=self.root,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for("readiness", self._is_ready, 120)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}; the log ends with\n{self.log()[-3000:]}") from None

    def _is_ready(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError("serve-app serve ended by itself")
        return httpx.get(f"{self.url}/v2/health/ready").status_code == 200

    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")

    def stop(self) -> float:
        """Ctrl-C as a terminal sends it, to the whole process group; gives the seconds until the end."""
        started = time.monotonic()
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
            self.process.wait(60)
        return time.monotonic() - started

    def write(self, config: Mapping[str, Any]) -> Path:
        path = self.folder / "serve.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return path

    def deploy(self, config: Mapping[str, Any]) -> None:
        """What a user does: `serve deploy` of the changed file."""
        self.run(BIN / "serve", "deploy", "--address", DASHBOARD, self.write(config))
        self.config = copy.deepcopy(dict(config))

    def apply(self, config: Mapping[str, Any]) -> tuple[int, str]:
        """`serve-app apply` of the changed file: its exit code and all that it wrote."""
        done = self._done(BIN / "serve-app", "apply", self.write(config), "--yes")
        return done.returncode, done.stdout + done.stderr

    def rollback(self, model: str) -> tuple[int, str]:
        """`serve-app rollback`: its exit code and all that it wrote."""
        done = self._done(BIN / "serve-app", "rollback", model, "--url", self.url)
        return done.returncode, done.stdout + done.stderr

    def run(self, *command: str | Path, **environment: str) -> str:
        done = self._done(*command, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _done(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            list(command),
            cwd=self.root,
            env={**os.environ, "RAY_AUTH_MODE": "token", **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def with_traffic(self, **models: Mapping[str, Any]) -> dict[str, Any]:
        """The present configuration with other traffic for some models."""
        config = copy.deepcopy(self.config)
        config["applications"][0]["deployments"][0]["user_config"]["models"].update(models)
        return config

    def python_release(self, model: str, source: Path, python_class: str) -> dict[str, Any]:
        """The application of version v1 of a model whose class is in tests/, at most 8 rows a batch."""
        return {
            "name": f"{model}-v1",
            "route_prefix": None,
            "import_path": "graphs.inference:build",
            "runtime_env": {"env_vars": {"PYTHONPATH": str(self.root / "tests")}},
            "args": {
                "model": model,
                "version": "v1",
                "source": str(source),
                "python_class": python_class,
                "batching": {"max_rows": 8},
            },
        }

    @contextmanager
    def beside(
        self, model: str, folder: Path, python_class: str, manifest: Mapping[str, Any], **application: object
    ) -> Iterator[None]:
        """Deploys version v1 of a model whose class is in tests/ beside what is there, and removes it again."""
        before = copy.deepcopy(self.config)
        (folder / "model.yaml").write_text(yaml.safe_dump(manifest))
        changed = self.with_traffic(**{model: {"traffic": {"v1": 100}}})
        changed["applications"].append({**self.python_release(model, folder, python_class), **application})
        self.deploy(changed)
        try:
            wait_for(f"model {model}", lambda: self.readiness(model, "v1")[0] == 200, PATIENCE_S)
            yield
        finally:
            self.deploy(before)
            wait_for(f"the removal of {model}", lambda: f"{model}-v1" not in self.applications(), PATIENCE_S)

    def index(self) -> dict[tuple[str, str], dict[str, Any]]:
        versions = httpx.post(f"{self.url}/v2/repository/index").json()
        return {(version["name"], version["version"]): version for version in versions}

    def ready(self) -> dict[str, Any]:
        """The server's own readiness."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/v2/health/ready").json()
        return answer

    def readiness(self, model: str, version: str) -> tuple[int, str]:
        """Status and sentence of a version's readiness."""
        response = httpx.get(f"{self.url}/v2/models/{model}/versions/{version}/ready")
        return response.status_code, response.json().get("error", "")

    def applications(self) -> dict[str, Any]:
        """What Serve's REST API says about every application."""
        token = (Path.home() / ".ray/auth_token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{DASHBOARD}/api/serve/applications/", headers=headers, timeout=30)
        applications: dict[str, Any] = answer.raise_for_status().json()["applications"]
        return applications

    def releases(self) -> dict[str, Any]:
        """What the controller of releases shows."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/v2/releases", timeout=30).raise_for_status().json()
        return answer

    def deployment_pids(self, application: str, deployment: str) -> list[int]:
        """Process ids of the running replicas of one deployment."""
        replicas = self.applications()[application]["deployments"][deployment]["replicas"]
        return sorted(replica["pid"] for replica in replicas if replica["state"] in ANSWERING)

    def pids(self) -> dict[str, list[int]]:
        """Process ids of the running replicas, by application, without the controller of releases."""
        return {
            name: sorted(
                replica["pid"]
                for deployment in application["deployments"].values()
                for replica in deployment["replicas"]
                if replica["state"] in ANSWERING and deployment["name"] != "Releases"
            )
            for name, application in self.applications().items()
        }

    def session_logs(self, pattern: str) -> list[Path]:
        """Serve's log files of the running session."""
        return sorted(Path("/tmp/ray/session_latest/logs/serve").glob(pattern))  # noqa: S108 - Ray's own place


def left_over_processes() -> list[str]:
    """Processes of a Ray cluster that are alive."""
    names = ("raylet", "gcs_server", "haproxy")
    found = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or [])
        is_ray = process.info["name"] in names or line.startswith("ray::") or "serve run" in line
        if is_ray and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.pid} {line[:80]}")
    return found


def v2_body(name: str, rows: Any, **more: object) -> bytes:
    """A V2 infer body of one FP32 tensor."""
    tensor = {"name": name, "datatype": "FP32", "shape": list(rows.shape), "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **more}).encode()


def outputs_of(answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in answer["outputs"]}
