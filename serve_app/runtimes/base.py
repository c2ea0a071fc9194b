"""What every runtime is: a loaded model that turns named arrays into named arrays."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from serve_app.config.manifest import Manifest
from serve_app.config.release import RuntimeConfig
from serve_app.types import Array, Tensors


class Runtime(Protocol):
    """A model in memory. `predict` blocks, so it is called in a worker thread, one call at a time."""

    @property
    def device(self) -> str:
        """Where it executes: `cpu` or `cuda:N`."""

    @property
    def fixed_rows(self) -> int | None:
        """Rows that every execution must have; None takes any number."""

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch.

        Args:
            inputs: Every input of the signature with its datatype, C-contiguous, all with the same rows.

        Returns:
            Every output of the signature, in arrays that the next call leaves alone. The caller checks rows and
            datatypes.
        """


@runtime_checkable
class StagingRuntime(Runtime, Protocol):
    """One whose device reads batches sooner from memory of its own making."""

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """An array for an input of `predict`, C-contiguous and uninitialised, as `numpy.empty` gives it."""


@runtime_checkable
class SizedRuntime(Runtime, Protocol):
    """One that may be slow at an execution of other rows than the one before, unless it is ready for its sizes."""

    @property
    def wants_few_sizes(self) -> bool:
        """Whether it is."""

    def prepare(self, sizes: int) -> None:
        """Be ready for so many sizes in any order."""


@runtime_checkable
class StreamingRuntime(Runtime, Protocol):
    """One that can execute decoupled models. Its `predict` gives the first response alone, for warm-up and checks."""

    def stream(self, inputs: Tensors) -> Generator[Tensors, None, None]:
        """Execute one request, in the thread of `predict`; others may be executed there between two responses.

        Args:
            inputs: As of `predict`.

        Returns:
            Responses, each like an answer of `predict`; to close it ends the work.
        """


@dataclass(frozen=True, slots=True)
class RuntimeSource:
    """What a runtime is made of.

    Attributes:
        manifest: The version's signature and format.
        directory: Where its files are, all of them verified against the manifest.
        device: `cpu` or `cuda`.
        config: Threads, instances and precision.
        python_class: `module:Class` from the operator's configuration, for format python.
        trusted_sha256: Digests of artifacts that may run code when loaded.
        cpus: CPUs that the replica was given; may be a part of one.
        arguments: What the Python class is constructed with.
    """

    manifest: Manifest
    directory: Path
    device: str = "cpu"
    config: RuntimeConfig = RuntimeConfig()  # noqa: RUF009 - frozen, so sources may share it
    python_class: str | None = None
    trusted_sha256: tuple[str, ...] = ()
    cpus: float = 1.0
    arguments: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """CPU threads of one execution: what the release says, else an instance's share of the CPUs, at least 1."""
        return self.config.threads or max(1, int(self.cpus / self.config.instances))

    @property
    def artifact(self) -> Path:
        """Path of the verified artifact.

        Raises:
            ValueError: The manifest names no artifact (only format python may).
        """
        if self.manifest.artifact is None:
            raise ValueError("the manifest names no artifact")
        return self.directory / self.manifest.artifact
