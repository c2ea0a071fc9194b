"""The `args` of a release application: one version of one model and how it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from serve_app.config.base import Name, PositiveFloat, PositiveInt, Sha256, StrictModel
from serve_app.errors import ConfigError
from serve_app.types import release_name

MAX_ROWS = 2**20  # of one execution; more could not be warmed up


class BatchingConfig(StrictModel):
    """How rows of several requests are executed together; a field left out is the manifest's, else the default."""

    max_rows: PositiveInt = Field(default=64, le=MAX_ROWS, description="Most rows the runtime executes together.")
    max_queue_rows: PositiveInt = Field(default=4096, description="Most rows that wait; more is refused at once.")

    @model_validator(mode="after")
    def _batch_can_fill(self) -> BatchingConfig:
        if self.model_fields_set == set(type(self).model_fields) and (fault := self.fault):
            raise ValueError(fault)
        return self

    @property
    def fault(self) -> str | None:
        """Why a batch could never fill, if so; of a part alone it means nothing where a field is left out."""
        if self.max_queue_rows >= self.max_rows:
            return None
        return f"max_queue_rows {self.max_queue_rows} < max_rows {self.max_rows}: a batch could never fill"


def merged(own: BatchingConfig | None, manifest: BatchingConfig) -> BatchingConfig:
    """The manifest's batching with every field that the release sets itself.

    Raises:
        ConfigError: Together they make a batch that could never fill.
    """
    batching = manifest.model_copy(update=own.model_dump(exclude_unset=True)) if own else manifest
    if batching.fault:
        raise ConfigError(f"batching: {batching.fault}")
    return batching


class RuntimeConfig(StrictModel):
    """Settings of the library that executes the model."""

    threads: PositiveInt = Field(default=1, description="CPU threads one execution uses.")
    precision: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="Arithmetic inside a PyTorch model; inputs and outputs keep their datatypes."
    )


class ReleaseArgs(StrictModel):
    """One version of one model, running as the Serve application `{model}-{version}`."""

    model: Name
    version: Name
    source: str = Field(min_length=1, description="Directory of model.yaml: a local path or any fsspec URL.")
    python_class: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:Class of the operator's own code, for models of format python.",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    slo_ms: PositiveFloat | None = Field(default=None, description="An answer later than this is not computed.")
    batching: BatchingConfig | None = Field(default=None, description="Instead of the manifest's batching.")
    runtime: RuntimeConfig = RuntimeConfig()
    trusted_sha256: tuple[Sha256, ...] = Field(
        default=(), description="Digests of artifacts that may run code when loaded (torchscript, pickle, joblib)."
    )

    @property
    def release(self) -> str:
        """The name the Serve application must have."""
        return release_name(self.model, self.version)
