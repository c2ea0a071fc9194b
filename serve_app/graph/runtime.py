"""A planned graph as a runtime: its nodes fused in one process, executed on whole batches in the batch's thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serve_app.config.graph import GraphConfig
from serve_app.config.manifest import Format, Manifest
from serve_app.config.release import BatchingConfig
from serve_app.config.tensors import TensorConfig
from serve_app.graph.plan import Plan
from serve_app.graph.remote import RemoteModel
from serve_app.types import Tensors, TensorSpec


class GraphRuntime:
    """Executes a plan without findings; each model node's answer has been checked when the next node gets it.

    Args:
        plan: With the models in memory.
        device: `cpu`, or the first of another kind that a node runs on.
        remotes: The models of other servers that it calls.
    """

    fixed_rows: int | None = None

    def __init__(self, plan: Plan, device: str, remotes: Sequence[RemoteModel] = ()) -> None:
        self._plan, self.device, self._remotes = plan, device, remotes

    def predict(self, inputs: Tensors) -> Tensors:
        """Execute one batch."""
        return self._plan.run(inputs)

    def check(self) -> None:
        """Compare models of other servers that can be reached with what the graph has for them.

        Raises:
            ConfigError: One is different; this runtime is closed then.
        """
        try:
            for remote in self._remotes:
                self._plan.loop.run(remote.check(self._plan.specs))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End connections and threads once what is executed is over, without waiting for that."""
        self._plan.loop.close(*(remote.close for remote in self._remotes))


def unfit_for_graphs(manifest: Manifest) -> str:
    """Why a version cannot be a node; empty if it can."""
    return "a decoupled model has any number of responses, a node has one" if manifest.decoupled else ""


def signature_of(
    graph: GraphConfig, plan: Plan, nodes: Iterable[BatchingConfig], *, idempotent: bool = True
) -> Manifest:
    """The graph as if it were one model, with the tightest of its nodes' limits; idempotent if all its models are."""
    rows, nbytes = zip(*((node.max_rows, node.max_batch_bytes) for node in (BatchingConfig(), *nodes)), strict=True)
    return Manifest(
        format=Format.PYTHON,
        inputs=graph.inputs,
        outputs=tuple(map(_config, plan.outputs)),
        prediction=graph.prediction,
        golden=graph.golden,
        idempotent=idempotent,
        batching=BatchingConfig(max_rows=min(rows), max_batch_bytes=min(nbytes)),
    )


def _config(spec: TensorSpec) -> TensorConfig:
    return TensorConfig(
        name=spec.name, datatype=spec.datatype, shape=spec.shape, labels=spec.labels, allow_nan=spec.allow_nan
    )
