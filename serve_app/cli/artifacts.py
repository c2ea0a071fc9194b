"""Checks of a serve file against the model versions its releases name, where those are on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.config.cross_checks import never_fills
from serve_app.config.declared import Release, ServeFile, read_declared
from serve_app.config.graph import GraphConfig
from serve_app.config.located import KeyPath
from serve_app.config.manifest import RUNS_CODE_FORMATS, Format, Manifest
from serve_app.config.release import ReleaseArgs, merged
from serve_app.config.unknown_keys import Finding
from serve_app.config.useless_settings import useless_settings
from serve_app.errors import ConfigError, UntrustedArtifact
from serve_app.graph.functions import lookup_findings
from serve_app.graph.plan import NodeModel
from serve_app.graph.planner import plan_graph
from serve_app.graph.runtime import unfit_for_graphs
from serve_app.repository.store import open_version


def artifact_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Open every release's local source and yield what would stop it from being loaded; URLs are left alone."""
    file, _ = read_declared(data)
    for release in file.releases:
        if release.args and release.args.graph:
            yield from _graph_findings(release, release.args, release.args.graph)
        elif release.args and "://" not in release.args.source:
            yield from _release_findings(file, release, release.args)


def _graph_findings(release: Release, args: ReleaseArgs, graph: GraphConfig) -> Iterator[Finding]:
    """What is wrong with a graph, as far as the signatures of its models are known."""
    home = (*release.application.path, "args", "graph")
    models = dict[str, NodeModel]()
    for index, node in graph.models:
        if "://" in node.source:
            continue
        at = (*home, "nodes", index)
        try:
            manifest = open_version(node.source).manifest
        except ConfigError as error:
            yield (*at, "source"), "; ".join(str(error).splitlines())
            continue
        own = args.model_copy(update={"source": node.source, "graph": None, "python_class": node.python_class})
        yield from _fit_findings(own, manifest, at)
        if reason := unfit_for_graphs(manifest):
            yield (*at, "source"), reason
        inputs, outputs = (tuple(one.spec for one in tensors) for tensors in (manifest.inputs, manifest.outputs))
        models[node.name] = NodeModel(inputs, outputs, is_ragged=manifest.batching.ragged is not None)
    for path, message in plan_graph(graph, models).findings:
        yield (*home, *path), message
    if not release.application.data.get("runtime_env"):  # it may bring the operator's modules along
        for path, message in lookup_findings(graph):
            yield (*home, *path), message


def _release_findings(file: ServeFile, release: Release, args: ReleaseArgs) -> Iterator[Finding]:
    home = (*release.application.path, "args")
    path = (*home, "source")
    try:
        version = open_version(args.source)
    except ConfigError as error:
        yield path, "; ".join(str(error).splitlines())
        return
    manifest = version.manifest
    yield from _fit_findings(args, manifest, home)
    for where, message in useless_settings(args, manifest.format):
        yield (*home, *where), message
    try:
        merged(args.batching, manifest.batching)
    except ConfigError as error:
        yield (*home, "batching"), f"with the manifest's: {error}"
    if args.batching is None or "max_rows" not in args.batching.model_fields_set:
        yield from _rows_findings(file, release, manifest.batching.max_rows)


def _fit_findings(args: ReleaseArgs, manifest: Manifest, home: KeyPath) -> Iterator[Finding]:
    """Whether a version may be loaded as its release, or its node, says."""
    if problem := _trust_problem(manifest, args):
        yield (*home, "source"), problem
    if (manifest.format is Format.PYTHON) != (args.python_class is not None):
        wants = "needs" if args.python_class is None else "takes no"
        yield (*home, "source"), f"a model of format {manifest.format} {wants} python_class"


def _trust_problem(manifest: Manifest, args: ReleaseArgs) -> str | None:
    """What must be trusted by its format alone.

    Found only at load, because the artifact would have to be read with its library: skops files with types that are
    not trusted, torch.export programs with code of their own, whether a python_class can be imported, and whether the
    model has the signature that the manifest gives it.
    """
    if manifest.format not in RUNS_CODE_FORMATS or manifest.sha256 in args.trusted_sha256:
        return None
    reason = f"loading a {manifest.format} file can run code"
    return str(UntrustedArtifact(f"{args.source}/{manifest.artifact}", str(manifest.sha256), reason))


def _rows_findings(file: ServeFile, release: Release, max_rows: int) -> Iterator[Finding]:
    for gateway in file.gateways:
        if gateway.entry and (finding := never_fills(gateway.entry, max_rows, release.release)):
            yield finding
