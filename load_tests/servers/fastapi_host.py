"""The server one writes by hand: FastAPI, uvicorn and ONNX Runtime in one process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from load_tests.models import Workload
from load_tests.servers.host import ProgramHost
from load_tests.servers.offers import APPS, app_environment, offer_of
from load_tests.servers.program import Program

NAME = "FastAPI by hand"
PORT = 8110


def fastapi_host(workloads: Sequence[Workload]) -> ProgramHost:
    """It runs in our own environment, which has FastAPI and uvicorn through Ray Serve."""
    command = [sys.executable, str(APPS / "fastapi_app.py"), str(PORT)]
    program = Program("fastapi", command, [PORT], app_environment(workloads, NAME))
    offers = [offer_of(NAME, workload, f"http://127.0.0.1:{PORT}/{workload.name}") for workload in workloads]
    return ProgramHost(NAME, lambda: program, offers)
