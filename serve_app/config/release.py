"""The `args` of a release application: one version of one model and how it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from serve_app.config.base import Name, Number, PositiveFloat, PositiveInt, Sha256, StrictModel
from serve_app.config.graph import GraphConfig
from serve_app.errors import ConfigError
from serve_app.types import release_name

MAX_ROWS = 2**20  # of one execution; more could not be warmed up


class RaggedConfig(StrictModel):
    """How rows of different lengths, such as tokenised texts, share a batch: padded to the next length along axis 1."""

    lengths: tuple[PositiveInt, ...] = Field(min_length=1, description="Lengths to pad to, ascending; none is longer.")
    pad: Mapping[str, Number] = Field(min_length=1, description="What the inputs with that length are padded with.")
    mask: str | None = Field(
        default=None,
        description="An input that the server itself makes: 1 where a row has data, 0 where it is padded.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> RaggedConfig:
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths must ascend, not be {list(self.lengths)}")
        if self.mask in self.pad:
            raise ValueError(f"mask {self.mask!r} is made by the server and has no pad value")
        return self


class BatchingConfig(StrictModel):
    """How rows of several requests are executed together; a field left out is the manifest's, else the default."""

    max_rows: PositiveInt = Field(default=64, le=MAX_ROWS, description="Most rows the runtime executes together.")
    max_queue_rows: PositiveInt = Field(default=4096, description="Most rows that wait; more is refused at once.")
    max_batch_bytes: PositiveInt = Field(
        default=2**30, description="Most bytes of a batch's inputs and outputs; a single row over it is refused."
    )
    allowed_rows: tuple[PositiveInt, ...] = Field(
        default=(),
        description="The only sizes executed, ascending up to max_rows; batches between them are padded "
        "(TensorRT profiles, CUDA graphs, torch.compile). Empty allows every size, but for ONNX with convolutions on a "
        "GPU, which gets powers of two and a session for each.",
    )
    ragged: RaggedConfig | None = Field(default=None, description="For inputs whose axis 1 has any length.")

    @model_validator(mode="after")
    def _batch_can_fill(self) -> BatchingConfig:
        if list(self.allowed_rows) != sorted(set(self.allowed_rows)):
            raise ValueError(f"allowed_rows must ascend, not be {list(self.allowed_rows)}")
        if {"max_rows", "max_queue_rows"} <= self.model_fields_set and self.max_queue_rows < self.max_rows:
            raise ValueError(str(self.fault))
        if self.allowed_rows and "max_rows" in self.model_fields_set and self.allowed_rows[-1] != self.max_rows:
            raise ValueError(str(self.fault))
        return self

    @property
    def fault(self) -> str | None:
        """Why it cannot take effect, if so; of a part alone it means nothing where a field is left out."""
        if self.max_queue_rows < self.max_rows:
            return f"max_queue_rows {self.max_queue_rows} < max_rows {self.max_rows}: a batch could never fill"
        if self.allowed_rows and self.allowed_rows[-1] != self.max_rows:
            return f"allowed_rows ends with {self.allowed_rows[-1]}, it must end with max_rows {self.max_rows}"
        return None

    def executed_rows(self, rows: int) -> int:
        """Rows that a batch of `rows` is padded to."""
        return next((size for size in self.allowed_rows if size >= rows), rows)

    def in_few_sizes(self) -> BatchingConfig:
        """The same with powers of two, and `max_rows`, as the sizes executed, if it does not name any itself."""
        if self.allowed_rows:
            return self
        sizes = {*(2**power for power in range(self.max_rows.bit_length())), self.max_rows}
        return self.model_copy(update={"allowed_rows": tuple(sorted(sizes))})

    def fits(self, rows: int, nbytes: int) -> bool:
        """Whether so many rows and bytes may be executed together."""
        return rows <= self.max_rows and nbytes <= self.max_batch_bytes


def merged(own: BatchingConfig | None, manifest: BatchingConfig) -> BatchingConfig:
    """The manifest's batching with every field that the release sets itself.

    Raises:
        ConfigError: Together they make a batch that could never fill.
    """
    fields = {name: getattr(own, name) for name in own.model_fields_set} if own else {}
    batching = manifest.model_copy(update=fields)
    if batching.fault:
        raise ConfigError(f"batching: {batching.fault}")
    return batching


class ReleaseTuning(StrictModel):
    """The `user_config` of a release: what a running release takes into use without a restart, over its `args`."""

    slo_ms: PositiveFloat | None = Field(default=None, description="Instead of the args' slo_ms.")
    batching: BatchingConfig | None = Field(default=None, description="Over the args' and the manifest's batching.")


class RuntimeConfig(StrictModel):
    """Settings of the library that executes the model."""

    threads: PositiveInt | None = Field(
        default=None, description="CPU threads one execution uses; null shares out the CPUs that Ray gave the replica."
    )
    instances: PositiveInt = Field(
        default=1, le=16, description="Copies of the model in a replica; each executes its own batch at the same time."
    )
    precision: Literal["fp32", "tf32", "fp16", "bf16"] = Field(
        default="fp32",
        description="Arithmetic inside a PyTorch model; inputs and outputs keep their datatypes. `tf32`, for ONNX too, "
        "is fp32 but for products on a GPU, whose factors are rounded to 10 bits; of PyTorch models in one process "
        "none is, or all.",
    )
    denormals_as_zero: bool = Field(
        default=True,
        description="Whether ONNX Runtime and PyTorch take numbers below the smallest normal one (1.2e-38 in FP32) as "
        "zero on CPUs, which need a hundred times as long for them; false for models whose answers hang on these.",
    )


class ReleaseSettings(StrictModel):
    """What a release is made of and how it runs, without its name."""

    source: str = Field(default="", description="Directory of model.yaml: a local path or any fsspec URL.")
    graph: GraphConfig | None = Field(default=None, description="Several nodes, instead of one source.")
    python_class: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:Class of the operator's own code, for models of format python.",
    )
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    gpu_memory_mib: PositiveInt | None = Field(
        default=None, description="What a replica needs of a GPU, if it gets one: how many share one."
    )
    slo_ms: PositiveFloat | None = Field(default=None, description="An answer later than this is not computed.")
    batching: BatchingConfig | None = Field(default=None, description="Instead of the manifest's batching.")
    runtime: RuntimeConfig = RuntimeConfig()
    trusted_sha256: tuple[Sha256, ...] = Field(
        default=(), description="Digests of artifacts that may run code when loaded (torchscript, pickle, joblib)."
    )

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if bool(self.source) == (self.graph is not None):
            raise ValueError("either source or graph must be given, and not both")
        if self.graph is not None and self.python_class is not None:
            raise ValueError("python_class belongs to a node of the graph")
        if self.graph is not None and self.runtime.instances != 1:
            raise ValueError("runtime.instances has no effect on a graph yet; give it more replicas")
        return self

    @model_validator(mode="after")
    def _gpu_memory_has_a_gpu(self) -> Self:
        if self.accelerator == "cpu" and self.gpu_memory_mib is not None:
            raise ValueError("gpu_memory_mib has no effect on accelerator: cpu")
        for node in self.graph.accelerated if self.graph else ():
            if node.gpu_memory_mib is not None and (node.accelerator or self.accelerator) == "cpu":
                raise ValueError(f"gpu_memory_mib of node {node.name!r} has no effect on accelerator: cpu")
        if self.gpu_memory_mib is not None and self.graph and all(node.is_own for node in self.graph.accelerated):
            raise ValueError("gpu_memory_mib has no effect: no node in the graph's own process could use a GPU")
        return self


class ReleaseArgs(ReleaseSettings):
    """One version of one model, running as the Serve application `{model}-{version}`."""

    model: Name
    version: Name

    @model_validator(mode="after")
    def _own_nodes_have_other_names(self) -> Self:
        for node in self.graph.own if self.graph else ():
            if node.name == self.model or node.name.startswith(f"{self.model}-"):
                raise ValueError(
                    f"node {node.name!r} has replicas of its own, so it must not be named as the model {self.model!r} "
                    "or begin with that and a hyphen"
                )
        return self

    @property
    def release(self) -> str:
        """The name the Serve application must have."""
        return release_name(self.model, self.version)
