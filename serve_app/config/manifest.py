"""The schema of `model.yaml`, which stands beside the artifact of one model version."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from serve_app.config.base import NO_BOOLEAN, Integer, Number, PositiveFloat, PositiveInt, Sha256, StrictModel
from serve_app.config.release import MAX_ROWS, BatchingConfig
from serve_app.config.tensors import GoldenConfig, TensorConfig, TensorName

ArtifactName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=255)]

Rows = Annotated[Integer, Field(gt=0, le=MAX_ROWS), NO_BOOLEAN]


class Format(StrEnum):
    """How an artifact was written, and so which runtime executes it."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch_export"
    SKOPS = "skops"
    JOBLIB = "joblib"
    PICKLE = "pickle"
    PYTHON = "python"


TORCH_FORMATS = frozenset({Format.TORCHSCRIPT, Format.TORCH_EXPORT})
CPU_ONLY_FORMATS = frozenset({Format.SKOPS, Format.JOBLIB, Format.PICKLE})
"""Those that scikit-learn executes."""
RUNS_CODE_FORMATS = frozenset({Format.TORCHSCRIPT, Format.JOBLIB, Format.PICKLE})
"""Those whose artifacts can run code when they are loaded, whatever is in them."""


class WarmupConfig(StrictModel):
    """What is executed once at load, so that the first request pays for no lazy initialisation."""

    rows: tuple[Rows, ...] = Field(default=(1,), description="Batch sizes to execute with.")


class ProfileConfig(StrictModel):
    """How long executions took where the version was added: what is assumed of a batch size until it is measured."""

    device: str = Field(pattern=r"^(cpu|cuda:[0-9]+)$", description="Where it was measured, as `cpu` or `cuda:0`.")
    threads: PositiveInt = Field(description="CPU threads that one execution used.")
    ms_by_rows: Mapping[
        Annotated[int, Field(strict=True, gt=0, le=MAX_ROWS)], Annotated[PositiveFloat, Field(allow_inf_nan=False)]
    ] = Field(min_length=1, description="Median milliseconds of one execution by its rows.")


class Manifest(StrictModel):
    """One model version: what the artifact is, what it takes and gives, and how to check it."""

    format: Format
    artifact: ArtifactName | None = None
    sha256: Sha256 | None = None
    extra_files: Mapping[ArtifactName, Sha256] = Field(
        default={}, description="Further files the artifact needs, such as ONNX external data."
    )
    description: str = ""
    inputs: tuple[TensorConfig, ...] = Field(min_length=1)
    outputs: tuple[TensorConfig, ...] = Field(min_length=1)
    prediction: TensorName | None = Field(default=None, description="The output that POST /predict answers with.")
    batching: BatchingConfig = BatchingConfig()
    warmup: WarmupConfig = WarmupConfig()
    golden: tuple[GoldenConfig, ...] = ()
    decoupled: bool = Field(
        default=False,
        description="Whether a request has any number of responses: the Python class has `stream`, not `predict`.",
    )
    idempotent: bool = Field(
        default=True,
        description="Whether a request may be executed again when its replica died: false where that has an effect "
        "beyond the answer, as counting or sending something has.",
    )
    metrics: Mapping[str, Number] = Field(default={}, description="Measured on held-out data, e.g. accuracy.")
    profile: ProfileConfig | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Manifest:
        if self.format is Format.PYTHON:
            if self.artifact is None and (self.sha256 is not None or self.extra_files):
                raise ValueError("sha256 and extra_files need an artifact")
        elif self.artifact is None:
            raise ValueError(f"format {self.format} needs an artifact")
        if self.artifact is not None and self.sha256 is None:
            raise ValueError("artifact needs its sha256")
        for kind, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [tensor.name for tensor in tensors]
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} have a name twice: {', '.join(names)}")
        outputs = {tensor.name for tensor in self.outputs}
        if self.prediction is not None and self.prediction not in outputs:
            raise ValueError(f"prediction {self.prediction!r} is not among outputs: {', '.join(sorted(outputs))}")
        return self

    @model_validator(mode="after")
    def _decoupled_is_python(self) -> Manifest:
        if self.decoupled and self.format is not Format.PYTHON:
            raise ValueError(f"decoupled is for format python only, not {self.format}")
        return self

    @model_validator(mode="after")
    def _golden_names_tensors(self) -> Manifest:
        inputs, outputs = ({tensor.name for tensor in tensors} for tensors in (self.inputs, self.outputs))
        for index, golden in enumerate(self.golden):
            if set(golden.inputs) != inputs:
                raise ValueError(f"golden {index} must give every input: {', '.join(sorted(inputs))}")
            if unknown := sorted(set(golden.outputs) - outputs):
                raise ValueError(f"golden {index} expects unknown output {unknown[0]!r}")
        return self

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of every file beside model.yaml, by name."""
        own = {self.artifact: self.sha256} if self.artifact is not None and self.sha256 is not None else {}
        return {**own, **self.extra_files}

    @property
    def predicted_output(self) -> str:
        """The output of `POST /predict`: the one named, else the last (labels by custom follow probabilities)."""
        return self.prediction or self.outputs[-1].name
