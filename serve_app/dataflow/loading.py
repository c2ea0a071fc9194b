"""A version's instances in memory: on the device that the release asks for, with the batching that it sets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, ReleaseArgs, merged
from serve_app.dataflow.checks import check_ragged
from serve_app.errors import AcceleratorMissing, ConfigError, ServeAppError
from serve_app.repository.store import ModelVersion
from serve_app.runtimes.base import Runtime, RuntimeSource, SizedRuntime
from serve_app.runtimes.device import choose_device
from serve_app.runtimes.raised import short_reason
from serve_app.runtimes.registry import load_runtime

Arguments = Mapping[str, "str | int | float | bool"]
"""What an operator's class is constructed with, by keyword."""

NO_ARGUMENTS: Arguments = MappingProxyType({})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a release is made of, loaded but not checked.

    Attributes:
        manifest: The version's; a graph's is its declared signature.
        runtimes: One for each instance.
        threads: CPU threads of one execution.
        waits: Whether an execution may wait for other processes.
        samples: What a warm-up may give inputs of BYTES, where an empty element would be refused.
        close: Ends connections to other servers.
    """

    manifest: Manifest
    runtimes: tuple[Runtime, ...]
    threads: int
    waits: bool = False
    samples: Mapping[str, bytes] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None


def load_instances(
    args: ReleaseArgs, version: ModelVersion, cpus: float, arguments: Arguments = NO_ARGUMENTS
) -> tuple[RuntimeSource, tuple[Runtime, ...]]:
    """Every instance of a version, and what they were made of.

    Args:
        args: How it is to be loaded.
        version: Opened, with its files verified.
        cpus: CPUs that belong to this replica.
        arguments: Of the constructor of an operator's class.

    Raises:
        ConfigError: It cannot be loaded; as `AcceleratorMissing` where a GPU was asked for and there is none.
    """
    source = RuntimeSource(
        manifest=version.manifest,
        directory=version.directory,
        config=args.runtime,
        python_class=args.python_class,
        trusted_sha256=args.trusted_sha256,
        cpus=cpus,
        arguments=arguments,
    )
    try:
        device = choose_device(args.accelerator, version.manifest.format)
        try:
            return _load_all(args, replace(source, device=device))
        except AcceleratorMissing as error:
            if args.accelerator != "auto":
                raise
            logger.warning("%s: a GPU is there but %s cannot use it; running on the CPU", args.release, error.subject)
            return _load_all(args, replace(source, device="cpu"))
    except AcceleratorMissing:
        raise AcceleratorMissing(args.release) from None


def _load_all(args: ReleaseArgs, source: RuntimeSource) -> tuple[RuntimeSource, tuple[Runtime, ...]]:
    try:
        return source, tuple(load_runtime(source) for _ in range(args.runtime.instances))
    except ServeAppError:
        raise
    except Exception as error:  # foreign code: an operator's class or a library that met an artifact it cannot load
        raise ConfigError(f"{args.release} cannot be loaded: {short_reason(error)}") from error


def batching_of(args: ReleaseArgs, manifest: Manifest) -> BatchingConfig:
    """The manifest's batching with every field that the release sets itself.

    Raises:
        ConfigError: Together they cannot take effect; the message names the release.
    """
    try:
        batching = merged(args.batching, manifest.batching)
        if batching.ragged is not None:
            check_ragged(batching.ragged, manifest.inputs)
        return batching
    except ConfigError as error:
        raise ConfigError(f"{args.release}: {error}") from None


def suited(batching: BatchingConfig, manifest: Manifest, runtimes: Sequence[Runtime]) -> BatchingConfig:
    """The batching in the few sizes that the instances want, who are ready for them then."""
    wanting = [runtime for runtime in runtimes if isinstance(runtime, SizedRuntime) and runtime.wants_few_sizes]
    row_bytes = sum(config.spec.row_bytes for config in (*manifest.inputs, *manifest.outputs))
    if not wanting or batching.max_rows * row_bytes > batching.max_batch_bytes:  # all sizes are executed at a start
        return batching
    batching = batching.in_few_sizes()
    for runtime in wanting:
        runtime.prepare(len(batching.allowed_rows))
    return batching
