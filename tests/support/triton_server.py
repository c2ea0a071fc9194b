"""A real Triton Inference Server, the one inside the wheel of nvidia-pytriton, as a process of its own."""

from __future__ import annotations

import ctypes.util
import signal
import uuid
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np

from load_tests.servers.peers import old_enough_python
from load_tests.servers.program import Program, started, wait_until
from load_tests.servers.venvs import Venv
from serve_app.types import Array
from support.doors import free_port

ROOT = Path(__file__).parents[2]
WHEELS = ("--no-deps", "nvidia-pytriton==0.7.0", "numpy==1.26.4")  # without PyTriton's own requirements: 73 MB to fetch
LIBPYTHON = "libpython3.11.so.1.0"  # Triton's python backend is linked against it

SOFTMAX = """
import os
import numpy as np
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        self.weights = np.load(os.path.join(args["model_repository"], args["model_version"], "weights.npy"))

    def execute(self, requests):
        return [self.answer(triton.get_input_tensor_by_name(request, "pixels").as_numpy()) for request in requests]

    def answer(self, pixels):
        scores = np.exp(pixels @ self.weights)
        probabilities = scores / scores.sum(axis=1, keepdims=True)
        return triton.InferenceResponse([triton.Tensor("scores", probabilities.astype(np.float32))])
"""

MOODY = """
import time
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(triton.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def answer(self, x):
        if x.min() < 0:
            return triton.InferenceResponse([], triton.TritonError("a negative number"))
        time.sleep(float(x.max()))
        return triton.InferenceResponse([triton.Tensor("y", x)])
"""


class TritonServer:
    """Serves `digits`, a softmax regression, and `moody`, which sleeps for so many seconds or refuses a negative one.

    Args:
        directory: For the models and the log.
        weights: Of the softmax regression: a row for each pixel, a column for each class.
    """

    def __init__(self, directory: Path, weights: Array) -> None:
        root = ROOT / "build/clients"
        self._bin = Venv("triton", WHEELS, old_enough_python(), root / "venvs", root / "logs").ready()
        assert ctypes.util.find_library("python3.11"), f"{LIBPYTHON} is missing: apt-get install libpython3.11"
        self._directory, self._memory = directory, f"triton-{uuid.uuid4().hex[:8]}-"
        self.ports = {"http": free_port(), "grpc": free_port()}
        (self._home,) = self._bin.parent.glob("lib/*/site-packages/pytriton/tritonserver")
        stub = self._home / "backends/python/triton_python_backend_stub"
        if not stub.exists():
            stub.symlink_to(self._home / "python_backend_stubs/3.11" / stub.name)
        np.save(self._write("digits", SOFTMAX, ("pixels", 64), ("scores", 10)) / "weights.npy", weights)
        self._write("moody", MOODY, ("x", 1), ("y", 1))
        self._running, self.is_running = ExitStack(), False

    def start(self) -> None:
        """Start it; its models are ready then."""
        ports = [argument for name, port in self.ports.items() for argument in (f"--{name}-port", str(port))]
        options = {
            "--model-repository": self._directory / "models",
            "--backend-directory": self._home / "backends",
            "--cache-directory": self._home / "caches",
            "--backend-config": f"python,shm-region-prefix-name={self._memory}",
            "--http-address": "127.0.0.1",
            "--grpc-address": "127.0.0.1",
            "--allow-metrics": "false",
            "--exit-timeout-secs": "2",
        }
        command = [self._home / "bin/tritonserver", *ports, *(part for pair in options.items() for part in pair)]
        path = {"PATH": f"{self._bin}:/usr/bin:/bin"}
        program = Program("triton", list(map(str, command)), list(self.ports.values()), path)
        self._server = self._running.enter_context(started(program, self._directory))
        assert wait_until(self._is_ready, 60), self._server.log_tail()
        self.is_running = True

    def kill(self) -> None:
        """End it as a machine that breaks does."""
        self._server.process.kill()
        self._server.process.wait()
        self.stop()

    def stop(self) -> None:
        """End it, if it runs, and what belongs to it."""
        self._running.close()
        self.is_running = False
        for left in Path("/dev/shm").glob(f"{self._memory}*"):  # noqa: S108 - what a killed one leaves there
            left.unlink()

    def hang(self) -> None:
        """Let it do nothing from now on, with its connections open."""
        self._server.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End that."""
        self._server.process.send_signal(signal.SIGCONT)

    def _is_ready(self) -> bool:
        assert self._server.is_alive, self._server.log_tail()
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports['http']}/v2/health/ready", timeout=0.5).status_code == 200
        except httpx.TransportError:
            return False

    def _write(self, model: str, code: str, takes: tuple[str, int], gives: tuple[str, int]) -> Path:
        """A model of FP32 rows; gives the directory of its version."""
        version = self._directory / "models" / model / "1"
        version.mkdir(parents=True)
        (version / "model.py").write_text(code)
        tensors = [
            f'{kind} [{{name: "{name}" data_type: TYPE_FP32 dims: [{width}]}}]'
            for kind, (name, width) in (("input", takes), ("output", gives))
        ]
        config = ['backend: "python"', "max_batch_size: 256", "instance_group [{count: 1 kind: KIND_CPU}]", *tensors]
        (version.parent / "config.pbtxt").write_text("\n".join(config))
        return version
