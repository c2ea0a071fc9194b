"""Checks of a serve file against the model versions its releases name, where those are on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serve_app.config.cross_checks import never_fills, one_replica
from serve_app.config.declared import Application, DeploymentEntry, ServeFile, read_declared
from serve_app.config.graph import GraphConfig
from serve_app.config.located import KeyPath
from serve_app.config.manifest import RUNS_CODE_FORMATS, Format, Manifest
from serve_app.config.release import ReleaseArgs, merged
from serve_app.config.unknown_keys import Finding
from serve_app.config.useless_settings import useless_settings
from serve_app.errors import ConfigError, UntrustedArtifact
from serve_app.graph.functions import lookup_findings
from serve_app.graph.planner import plan_graph
from serve_app.graph.runtime import unfit_for_graphs
from serve_app.graph.signatures import opened_models, signatures
from serve_app.repository.store import open_version


def artifact_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Open every release's local source and yield what would stop it from being loaded; URLs are left alone."""
    file, _ = read_declared(data)
    for part in _parts(file):
        if part.args.graph:
            manifests, faults = opened_models(part.args.graph)
            yield from _placed(part, _graph_findings(part, part.args.graph, manifests, faults))
            yield from _useless_findings(part, part.args.graph, manifests)
        elif "://" not in part.args.source:
            yield from _release_findings(part)


@dataclass(frozen=True, slots=True)
class _Part:
    """A release, wherever it runs.

    Attributes:
        application: Whose replicas execute it.
        home: Where its args stand.
        gateways: The options of the gateways whose requests it gets.
        is_coded: Whether its graph is in Python and not in the file.
    """

    application: Application
    home: KeyPath
    args: ReleaseArgs
    gateways: tuple[DeploymentEntry, ...]
    is_coded: bool = False


def _parts(file: ServeFile) -> Iterator[_Part]:
    entries = tuple(gateway.entry for gateway in file.gateways if gateway.entry)
    for release in file.releases:
        if release.args:
            home = (*release.application.path, "args")
            yield _Part(release.application, home, release.args, entries, is_coded=release.is_coded)
    for gateway in file.gateways:
        for home, args in gateway.inline:
            yield _Part(gateway.application, home, args, tuple(map(one_replica, entries)))


def _placed(part: _Part, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Findings about a graph where it stands in the file; if it is coded, at what names its code."""
    for path, message in findings:
        if part.is_coded:
            yield (*part.application.path, "import_path"), f"{'.'.join(map(str, path))}: {message}"
        else:
            yield (*part.home, "graph", *path), message


def _graph_findings(
    part: _Part, graph: GraphConfig, manifests: Mapping[str, Manifest], faults: Mapping[str, str]
) -> Iterator[Finding]:
    """What is wrong with a graph, as far as the signatures of its models are known."""
    for index, node in graph.models:
        at = ("nodes", index)
        if node.name in faults:
            yield (*at, "source"), faults[node.name]
        elif manifest := manifests.get(node.name):
            changes = {"source": node.source, "graph": None, "python_class": node.python_class}
            yield from _fit_findings(part.args.model_copy(update=changes), manifest, at)
            if reason := unfit_for_graphs(manifest):
                yield (*at, "source"), reason
    yield from plan_graph(graph, signatures(manifests)).findings
    if not part.application.data.get("runtime_env"):  # it may bring the operator's modules along
        yield from lookup_findings(graph)


def _useless_findings(part: _Part, graph: GraphConfig, manifests: Mapping[str, Manifest]) -> Iterator[Finding]:
    """What the release says for all nodes, and none of them has a use for."""
    if len(manifests) < len(list(graph.models)):
        return
    formats = [*(manifest.format for manifest in manifests.values()), *(Format.PYTHON for _ in graph.pythons)]
    useless = [dict(useless_settings(part.args, fmt)) for fmt in formats]
    for path, message in (useless[0] if useless else {}).items():
        if all(path in other for other in useless):
            yield (*part.home, *path), message


def _release_findings(part: _Part) -> Iterator[Finding]:
    home, args = part.home, part.args
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
        yield from _rows_findings(part, manifest.batching.max_rows)


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


def _rows_findings(part: _Part, max_rows: int) -> Iterator[Finding]:
    for entry in part.gateways:
        if finding := never_fills(entry, max_rows, part.args.release):
            yield finding
