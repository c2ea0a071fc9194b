"""Adding an artifact to a repository as a version that has already passed the checks of a release."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from serve_app.config.manifest import Format, Manifest, ProfileConfig
from serve_app.config.release import ReleaseArgs
from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.dataflow.model import LoadedModel, load_model, release_args
from serve_app.dataflow.profile import Clock
from serve_app.errors import CheckFailed, ConfigError, ManifestError, UntrustedArtifact
from serve_app.repository.add import copy_artifact, format_of, staged_version
from serve_app.repository.files import sha256_of
from serve_app.repository.manifest_file import MANIFEST_NAME, write_manifest
from serve_app.repository.store import ModelVersion, open_version
from serve_app.runtimes.fixed_rows import batching_of
from serve_app.runtimes.registry import infer_fixed_rows, infer_signature
from serve_app.runtimes.signature import Signature

_Tensors = tuple[TensorConfig, ...]


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to add; what is left out is inferred from the artifact or stays at the manifest's default.

    Attributes:
        artifact: The file; its suffix says the format.
        model: The model's name.
        version: The version tag.
        inputs: Instead of the inferred ones; needed where the format does not say (TorchScript).
        outputs: As `inputs`.
        labels: Class names by output name.
        extra_files: Further files that the artifact needs beside it, such as ONNX external data.
        golden: Rows with known answers.
        metrics: Measured figures such as `accuracy`.
        prediction: The output of `POST /predict`.
        trusted_sha256: Digests of artifacts that may run code when loaded.
    """

    artifact: Path
    model: str
    version: str
    inputs: tuple[TensorConfig, ...] = ()
    outputs: tuple[TensorConfig, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra_files: tuple[Path, ...] = ()
    golden: tuple[GoldenConfig, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    prediction: str | None = None
    description: str = ""
    trusted_sha256: tuple[str, ...] = ()


def add_version(root: Path, new: NewVersion, clock: Clock = time.perf_counter) -> ModelVersion:
    """Copy the artifact into the repository at `root`, describe it, load and check it, and only then publish it.

    The manifest gets the batching that a fixed batch axis needs, and how long executions took here.

    Raises:
        ConfigError: The version exists, the format is unknown or its library not installed, the signature is unknown,
            or (as one of its subclasses) the model cannot be loaded, is not trusted, or fails its golden check. The
            repository is then as it was.
    """
    fmt = format_of(new.artifact)
    if any(file.name == MANIFEST_NAME for file in new.extra_files):
        raise ConfigError(f"an extra file cannot be named {MANIFEST_NAME}: that is the version's manifest")
    with staged_version(root, new.model, new.version) as directory:
        artifact = directory / f"model{new.artifact.suffix.lower()}"
        with _callers_paths(new, artifact, root / new.model / new.version):
            args = _release(new, directory)
            copy_artifact(new.artifact, artifact)
            for file in new.extra_files:
                copy_artifact(file, directory / file.name)
            manifest = _manifest(new, fmt, artifact)
            write_manifest(directory, manifest)
            model = load_model(args, clock=clock)
            write_manifest(directory, manifest.model_copy(update={"profile": _profile(model)}))
    return open_version(str(root / new.model / new.version))


@contextmanager
def _callers_paths(new: NewVersion, artifact: Path, final: Path) -> Iterator[None]:
    """Name the caller's file and the final directory in errors: the staged ones are about to vanish."""

    def told(text: str) -> str:
        for path in (artifact.absolute(), artifact):
            text = text.replace(str(path), str(new.artifact))
        for path in (artifact.parent.absolute(), artifact.parent):
            text = text.replace(str(path), str(final))
        return text

    try:
        yield
    except UntrustedArtifact as error:
        raise UntrustedArtifact(told(error.path), error.sha256, told(error.reason)) from None
    except ManifestError as error:
        raise ManifestError(told(error.path), told(error.reason)) from None
    except CheckFailed as error:
        raise CheckFailed(error.subject, told(error.reason)) from None
    except ConfigError as error:
        raise ConfigError(told(str(error))) from None


def _manifest(new: NewVersion, fmt: Format, artifact: Path) -> Manifest:
    signature = _signature(new, fmt, artifact)
    try:
        return Manifest(
            format=fmt,
            artifact=artifact.name,
            sha256=sha256_of(artifact),
            extra_files={file.name: sha256_of(artifact.parent / file.name) for file in new.extra_files},
            description=new.description,
            inputs=signature.inputs,
            outputs=_labelled(signature.outputs, new.labels),
            prediction=new.prediction,
            batching=batching_of(signature.fixed_rows),
            golden=new.golden,
            metrics=new.metrics,
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))} {fault['msg']}".strip() for fault in error.errors())
        raise ConfigError(f"{new.model} {new.version} cannot be added: {faults}") from None


def _signature(new: NewVersion, fmt: Format, artifact: Path) -> Signature:
    if new.inputs and new.outputs:
        named = (*new.inputs, *new.outputs)
        return Signature(new.inputs, new.outputs, infer_fixed_rows(artifact, fmt, named, new.trusted_sha256))
    inferred = infer_signature(artifact, fmt, new.trusted_sha256)
    if inferred is None:
        raise ConfigError(f"format {fmt} does not say what it takes and gives; name every input and every output")
    return Signature(new.inputs or inferred.inputs, new.outputs or inferred.outputs, inferred.fixed_rows)


def _profile(model: LoadedModel) -> ProfileConfig | None:
    """Milliseconds to four digits; None from a clock that did not move."""
    ms = {rows: float(f"{1000 * taken.median_s:.4g}") for rows, taken in model.profile.items() if taken.median_s > 0}
    return ProfileConfig(device=model.info.device, threads=model.threads, ms_by_rows=ms) if ms else None


def _labelled(outputs: _Tensors, labels: Mapping[str, tuple[str, ...]]) -> _Tensors:
    known = [output.name for output in outputs]
    if unknown := sorted(set(labels) - set(known)):
        raise ConfigError(f"labels name an unknown output {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(output.model_copy(update={"labels": labels.get(output.name, output.labels)}) for output in outputs)


def _release(new: NewVersion, directory: Path) -> ReleaseArgs:
    return release_args(
        model=new.model,
        version=new.version,
        source=str(directory),
        accelerator="cpu",
        trusted_sha256=new.trusted_sha256,
    )
