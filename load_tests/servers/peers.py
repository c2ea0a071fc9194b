"""The servers that users have at hand otherwise, each in its own virtual environment and with both models.

All batch at most 32 rows, wait at most 2 ms, execute on ONNX Runtime and write no access log.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from load_tests.models import Workload
from load_tests.servers.answers import Offer
from load_tests.servers.host import ProgramHost
from load_tests.servers.offers import APPS, RAW_TENSOR, app_environment, json_offer, offer_of
from load_tests.servers.peer_files import write_mlserver_folder, write_torchserve_folder
from load_tests.servers.program import Program
from load_tests.servers.venvs import Venv
from load_tests.target import HostUnavailable

_NUMERICS = ("numpy", "onnxruntime", "orjson")
_BOUNDARY = b"load-tests"
_PYTRITON_PYTHONS = range(5)  # its stub is linked against a Python 3.11 older than 3.11.5


@dataclass(frozen=True, slots=True)
class Peer:
    """How one of them is installed and started.

    Attributes:
        name: As reports show it.
        requirements: Beside NumPy, ONNX Runtime and orjson.
        ports: The first is the one for HTTP.
        command: The arguments of `executable`; called at every start, so it may write files.
        executable: In the environment's `bin`.
        interpreter: Gives the Python that the environment is made with.
    """

    name: str
    requirements: Sequence[str]
    ports: Sequence[int]
    command: Callable[[], Sequence[str]]
    executable: str = "python"
    interpreter: Callable[[], str] = lambda: sys.executable

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def host(self, workloads: Sequence[Workload], offers: Sequence[Offer]) -> ProgramHost:
        """A host that installs it at its first start."""

        def prepare() -> Program:
            """The program, after it was installed."""
            requirements = (*self.requirements, *_NUMERICS)
            home = Venv(self.name.lower(), requirements, self.interpreter()).ready()
            path = os.pathsep.join([str(home), os.environ.get("PATH", os.defpath)])
            environment = {**app_environment(workloads, self.name), "PATH": path}
            command = [str(home / self.executable), *self.command()]
            return Program(self.name.lower(), command, self.ports, environment)

        return ProgramHost(self.name, prepare, offers)


def peer_hosts(workloads: Sequence[Workload]) -> list[ProgramHost]:
    """One host for each."""
    return [
        peer(workloads)
        for peer in (mosec_host, litserve_host, mlserver_host, bentoml_host, pytriton_host, torchserve_host)
    ]


def mosec_host(workloads: Sequence[Workload]) -> ProgramHost:
    """A Rust front, one Python process a model."""
    peer = Peer("mosec", ["mosec==0.9.8"], [8120], lambda: _app("mosec_app.py", "--port", "8120"))
    return peer.host(workloads, [offer_of("mosec", workload, f"{peer.url}/{workload.name}") for workload in workloads])


def litserve_host(workloads: Sequence[Workload]) -> ProgramHost:
    """A FastAPI front, one Python process a model; images go as files of a form, the only way for bytes."""
    requirements = ["litserve==0.2.19", "python-multipart"]
    peer = Peer("LitServe", requirements, [8130], lambda: _app("litserve_app.py", "8130"))
    offers = [offer_of("LitServe", workload, f"{peer.url}/{workload.name}") for workload in workloads]
    return peer.host(workloads, [_as_form(offer) if offer.target.workload == "cnn" else offer for offer in offers])


def mlserver_host(workloads: Sequence[Workload]) -> ProgramHost:
    """In one process; it has no binary bodies, so images go as JSON."""
    peer = Peer(
        "MLServer",
        ["mlserver==1.7.1", "uvloop<0.22"],  # with a newer one its process dies
        [8140, 8141, 8142],
        lambda: ["start", str(write_mlserver_folder(workloads, peer.ports))],
        executable="mlserver",
    )
    return peer.host(workloads, [_v2_json_offer(peer, workload) for workload in workloads])


def bentoml_host(workloads: Sequence[Workload]) -> ProgramHost:
    """A service with one worker; its parameters are JSON, so images go as JSON."""
    command = ["serve", "bentoml_app:Onnx", "--working-dir", str(APPS), "--host", "127.0.0.1", "--port", "8150"]
    peer = Peer("BentoML", ["bentoml==1.4.39"], [8150], lambda: command, executable="bentoml")
    offers = [json_offer("BentoML", workload, f"{peer.url}/{workload.name}") for workload in workloads]
    return peer.host(workloads, offers)


def pytriton_host(workloads: Sequence[Workload]) -> ProgramHost:
    """Triton's own HTTP front and batcher around a Python process."""
    ports = [8160, 8161, 8162]
    peer = Peer(
        "PyTriton",
        ["nvidia-pytriton==0.7.0"],
        ports,
        lambda: _app("pytriton_app.py", *map(str, ports)),
        interpreter=old_enough_python,
    )
    url = f"{peer.url}/v2/models"
    offers = [offer_of(peer.name, workload, f"{url}/{workload.name}/infer", RAW_TENSOR) for workload in workloads]
    return peer.host(workloads, offers)


def torchserve_host(workloads: Sequence[Workload]) -> ProgramHost:
    """A Java front, one Python process a model."""
    ports = [8170, 8171, 8172, 8173, 8174]
    requirements = ["torchserve==0.12.0", "torch", "pyyaml", "setuptools<80"]

    def command() -> list[str]:
        """Arguments, once Java is known to be there."""
        if shutil.which("java") is None:
            raise HostUnavailable("TorchServe needs Java 17 on the PATH")
        folder = write_torchserve_folder(workloads, ports)
        files = ["--ts-config", f"{folder}/config.properties", "--log-config", f"{folder}/log4j2.xml"]
        return ["--start", "--foreground", "--no-config-snapshots", "--disable-token-auth", *files]

    peer = Peer("TorchServe", requirements, ports, command, executable="torchserve")
    url = f"{peer.url}/predictions"
    return peer.host(workloads, [offer_of(peer.name, workload, f"{url}/{workload.name}") for workload in workloads])


def old_enough_python() -> str:
    """A Python 3.11 older than 3.11.5.

    Raises:
        HostUnavailable: There is none on the PATH.
    """
    for python in _pythons():
        done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        version = done.stdout.strip().removeprefix("Python ").split(".")
        if version[:2] == ["3", "11"] and version[2].isdigit() and int(version[2]) in _PYTRITON_PYTHONS:
            return python
    raise HostUnavailable("PyTriton needs a Python 3.11 older than 3.11.5, and there is none on the PATH")


def _pythons() -> Iterator[str]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        python = Path(folder) / "python3.11"
        if python.is_file():
            yield str(python)


def _app(script: str, *arguments: str) -> list[str]:
    return [str(APPS / script), *arguments]


def _v2_json_offer(peer: Peer, workload: Workload) -> Offer:
    return json_offer(peer.name, workload, f"{peer.url}/v2/models/{workload.name}/infer")


def _as_form(offer: Offer) -> Offer:
    """The bodies as the file `image` of a form."""
    head = b'--%b\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n\r\n' % _BOUNDARY
    bodies = [head + body + b"\r\n--%b--\r\n" % _BOUNDARY for body in offer.target.bodies]
    content_type = f"multipart/form-data; boundary={_BOUNDARY.decode()}"
    return replace(offer, target=replace(offer.target, bodies=bodies, content_type=content_type))
