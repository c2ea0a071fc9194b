"""One model version in memory: opened, verified, loaded, warm and checked before anyone may call it."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from pydantic import ValidationError

from serve_app.config.manifest import Manifest
from serve_app.config.release import BatchingConfig, ReleaseArgs, merged
from serve_app.dataflow.checks import check_answer, check_golden, warmup_inputs
from serve_app.errors import (
    AcceleratorMissing,
    CheckFailed,
    ConfigError,
    ModelFailure,
    ModelRaised,
    RequestError,
    ServeAppError,
)
from serve_app.repository.store import ModelVersion, open_version
from serve_app.runtimes.base import Runtime, RuntimeSource
from serve_app.runtimes.device import choose_device
from serve_app.runtimes.registry import load_runtime
from serve_app.types import ReleaseInfo, Tensors, rows_of

_REASON_LENGTH = 200
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+-]+){2,}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A release's model, ready for traffic. `predict` blocks: call it in a worker thread, one call at a time.

    Attributes:
        info: What the release says about itself.
        runtime: The model in memory.
    """

    info: ReleaseInfo
    runtime: Runtime

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch and check the answer.

        Args:
            inputs: Every input of the signature, all with the same rows, at least 1.

        Returns:
            Every output of the signature, in its order, with its datatype and as many rows as the inputs.

        Raises:
            ModelRaised: The model raised.
            WrongAnswer: Its answer breaks the signature.
            RequestError: The runtime found an element that it cannot take, such as text that is not UTF-8.
        """
        try:
            answer = self.runtime.predict(inputs)
        except RequestError:
            raise
        except Exception as error:  # foreign code raises anything; its trace is for the log, never for the client
            logger.exception("%s failed on a batch of %d rows", self.info.release, rows_of(inputs))
            raise ModelRaised(self.info.release, short_reason(error)) from error
        return check_answer(answer, self.info.outputs, rows_of(inputs), self.info.release)


def load_model(args: ReleaseArgs) -> LoadedModel:
    """Open, load, warm up and check the model of a release.

    Raises:
        ConfigError: Every way in which the release cannot take traffic; the message names the release or the file.
            Among them `ManifestError`, `ArtifactMismatch`, `UntrustedArtifact`, `AcceleratorMissing`, `CheckFailed`.
    """
    version = open_version(args.source)
    batching = _batching(args, version.manifest)
    runtime = _load(args, version)
    model = LoadedModel(_info(args, version.manifest, batching, runtime.device), runtime)
    _warm_up(model, version.manifest)
    _check_golden(model, version.manifest)
    logger.info("%s runs on %s with format %s", args.release, runtime.device, version.manifest.format)
    return model


def release_args(**fields: object) -> ReleaseArgs:
    """The `args` of a release from values that nobody has checked yet.

    Raises:
        ConfigError: They are none; the message names each wrong field.
    """
    try:
        return ReleaseArgs.model_validate(fields)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc']))} {fault['input']!r:.140}: {fault['msg']}" for fault in error.errors()
        ]
        raise ConfigError("; ".join(faults)) from None


def short_reason(error: BaseException) -> str:
    """The error's class and its message's first line, cut to 200 characters, without paths: fit for a client."""
    first = _PATH.sub("<path>", str(error).strip().partition("\n")[0].strip())
    return f"{type(error).__name__}: {first}"[:_REASON_LENGTH] if first else type(error).__name__


def _load(args: ReleaseArgs, version: ModelVersion) -> Runtime:
    try:
        device = choose_device(args.accelerator, version.manifest.format)
        try:
            return _load_on(device, args, version)
        except AcceleratorMissing as error:
            if args.accelerator != "auto":
                raise
            logger.warning("%s: a GPU is there but %s cannot use it; running on the CPU", args.release, error.subject)
            return _load_on("cpu", args, version)
    except AcceleratorMissing:
        raise AcceleratorMissing(args.release) from None


def _load_on(device: str, args: ReleaseArgs, version: ModelVersion) -> Runtime:
    source = RuntimeSource(
        manifest=version.manifest,
        directory=version.directory,
        device=device,
        config=args.runtime,
        python_class=args.python_class,
        trusted_sha256=args.trusted_sha256,
    )
    try:
        return load_runtime(source)
    except ServeAppError:
        raise
    except Exception as error:  # foreign code: an operator's class or a library that met an artifact it cannot load
        raise ConfigError(f"{args.release} cannot be loaded: {short_reason(error)}") from error


def _batching(args: ReleaseArgs, manifest: Manifest) -> BatchingConfig:
    """The manifest's batching with every field that the release sets itself."""
    try:
        return merged(args.batching, manifest.batching)
    except ConfigError as error:
        raise ConfigError(f"{args.release}: {error}") from None


def _info(args: ReleaseArgs, manifest: Manifest, batching: BatchingConfig, device: str) -> ReleaseInfo:
    return ReleaseInfo(
        model=args.model,
        version=args.version,
        platform=manifest.format,
        device=device,
        inputs=tuple(config.spec for config in manifest.inputs),
        outputs=tuple(config.spec for config in manifest.outputs),
        prediction=manifest.predicted_output,
        max_rows=batching.max_rows,
        max_queue_rows=batching.max_queue_rows,
        slo_ms=args.slo_ms,
        metrics=dict(manifest.metrics),
    )


def _warm_up(model: LoadedModel, manifest: Manifest) -> None:
    release = model.info.release
    for rows in sorted({*manifest.warmup.rows, model.info.max_rows}):
        try:
            model.predict(warmup_inputs(manifest, rows))
        except (ModelFailure, RequestError, ValueError, MemoryError) as error:
            reason = error.reason if isinstance(error, ModelFailure) else str(error) or type(error).__name__
            raise CheckFailed(f"{release}: warm-up with {rows} rows", reason) from error


def _check_golden(model: LoadedModel, manifest: Manifest) -> None:
    try:
        check_golden(manifest, model.predict, model.info.release)
    except (ModelFailure, RequestError) as error:
        raise CheckFailed(f"{model.info.release}: golden", str(error)) from error
