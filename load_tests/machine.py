"""On what a benchmark ran: its figures mean little without."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from serve_app.cli.interpreter import interpreter_fault

_PACKAGES = ("serve-app", "ray", "onnxruntime-gpu", "onnxruntime", "numpy")


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware and versions.

    Attributes:
        cores: That this process may use.
        packages: Name and version of each that is installed.
    """

    cores: int
    processor: str
    memory_gb: float
    system: str
    python: str
    packages: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.packages)
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_gb:.0f} GB, {self.system}, "
            f"Python {self.python}, {packages}"
        )


def this_machine() -> Machine:
    """The machine this process runs on."""
    return Machine(
        cores=len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count() or 1,
        processor=processor_of(_read("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        memory_gb=psutil.virtual_memory().total / 2**30,
        system=system_of(_read("/etc/os-release")) or f"{platform.system()} {platform.release()}",
        python=platform.python_version() + (" built without optimisations" if interpreter_fault() else ""),
        packages=tuple((name, number) for name in _PACKAGES if (number := _version(name))),
    )


def processor_of(cpuinfo: str) -> str:
    """The first model name in the text of /proc/cpuinfo; empty if there is none."""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else ""


def system_of(os_release: str) -> str:
    """The pretty name in the text of /etc/os-release; empty if there is none."""
    names = [line.partition("=")[2].strip('"') for line in os_release.splitlines() if line.startswith("PRETTY_NAME=")]
    return names[0] if names else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
