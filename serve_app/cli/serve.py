"""`serve-app serve`: check the file and the ports, run `serve run`, and leave nothing behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.interpreter import interpreter_fault
from serve_app.cli.launcher import Launcher
from serve_app.cli.output import CommandError, errors_reported, say, say_error
from serve_app.cli.ports import ports_of, taken_ports
from serve_app.cli.ray_cluster import running_cluster
from serve_app.cli.validate import checks_of, good_file
from serve_app.config.declared import ServeFile
from serve_app.config.serve_file import ExtraCheck
from serve_app.data_plane.files import sweep

NO_IDLE_WORKERS = {"RAY_prestart_worker_first_driver": "0"}
"""Keeps Ray from starting workers ahead: whatever Serve runs needs the file's `env_vars`, which those do not have."""

_PROBE_TIMEOUT_S = 1.0


def serve_command(extra_checks: Sequence[ExtraCheck]) -> Callable[..., None]:
    """Build the command; `extra_checks` are those that this layer cannot import."""

    def serve(file: Annotated[Path, typer.Argument(help="A Ray Serve YAML file.")]) -> None:
        """Serve a file in the foreground; Ctrl-C ends every process of it."""
        with errors_reported():
            declared = good_file(file, checks_of(extra_checks, artifacts=True))
            _check_machine(declared, os.environ)
            code = launcher_of(file, declared, _serve_script()).run()
            sweep()  # Serve ends its replicas without asking them to
        raise typer.Exit(code)

    return serve


def _check_machine(file: ServeFile, environment: Mapping[str, str]) -> None:
    """Refuse to start where a port is taken, and say what slows it; of a cluster that is there neither is ours."""
    if cluster := running_cluster(environment):
        say(f"attaching to the Ray cluster at {cluster.address} (from {cluster.found_in}), which goes on after us")
    elif taken := taken_ports(ports_of(file)):
        raise CommandError("; ".join(taken))
    elif fault := interpreter_fault():
        say(fault)


def _serve_script() -> str:
    script = Path(sys.executable).parent / "serve"
    if not script.is_file():
        raise CommandError(f"there is no {script}: install ray[serve] (the extra `cluster`)")
    return str(script)


def launcher_of(file: Path, declared: ServeFile, script: str) -> Launcher:
    """The run of a good file; `script` is Ray's `serve`."""
    host = str(declared.http_host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{declared.http_port}"
    return Launcher(
        command=[script, "run", str(file)],
        environment={**NO_IDLE_WORKERS, **os.environ},
        is_ready=lambda: _is_ready(host, int(declared.http_port)),
        on_ready=lambda: say(f"ready at {url} - try: curl {url}/v2/models/{_a_model(declared)}"),
        on_late=lambda: say_error(f"not ready yet; `serve-app status --url {url}` says why"),
        say=say_error,
    )


def _is_ready(host: str, port: int) -> bool:
    """Ask once, without what a client of many requests brings: asked five times a second, it slowed the start."""
    connection = HTTPConnection(host, port, timeout=_PROBE_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _a_model(declared: ServeFile) -> str:
    """The default model, or else the first."""
    traffic = declared.gateways[0].traffic
    if traffic is None:
        return ""
    return traffic.default_model or next(iter(traffic.models))
