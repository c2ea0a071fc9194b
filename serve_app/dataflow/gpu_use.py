"""Whether a release could use a GPU at all, told by its models' manifests before anything is loaded."""

from __future__ import annotations

from serve_app.config.graph import ModelNode
from serve_app.config.manifest import CPU_ONLY_FORMATS
from serve_app.config.release import ReleaseArgs
from serve_app.errors import ConfigError
from serve_app.repository.store import read_manifest


def can_use_gpu(release: ReleaseArgs) -> bool:
    """Whether a model in the release's own process is of a format that runs on GPUs.

    A version that cannot be read here may be of any format: loading it says what is wrong.
    """
    if release.graph is None:
        return release.python_class is not None or _runs_on_gpus(release.source)
    nodes = (node for node in release.graph.accelerated if not node.is_own)
    return any(not isinstance(node, ModelNode) or _runs_on_gpus(node.source) for node in nodes)


def _runs_on_gpus(source: str) -> bool:
    try:
        return read_manifest(source).format not in CPU_ONLY_FORMATS
    except ConfigError:
        return True
