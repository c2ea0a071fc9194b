"""Checks of a serve file against the model versions its releases name, where those are on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from serve_app.config.cross_checks import never_fills
from serve_app.config.declared import Release, ServeFile, read_declared
from serve_app.config.manifest import RUNS_CODE_FORMATS, Format, Manifest
from serve_app.config.release import ReleaseArgs, merged
from serve_app.config.unknown_keys import Finding
from serve_app.config.useless_settings import useless_settings
from serve_app.errors import ConfigError, UntrustedArtifact
from serve_app.repository.store import open_version


def artifact_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Open every release's local source and yield what would stop it from being loaded; URLs are left alone."""
    file, _ = read_declared(data)
    for release in file.releases:
        if release.args and "://" not in release.args.source:
            yield from _release_findings(file, release, release.args)


def _release_findings(file: ServeFile, release: Release, args: ReleaseArgs) -> Iterator[Finding]:
    home = (*release.application.path, "args")
    path = (*home, "source")
    try:
        version = open_version(args.source)
    except ConfigError as error:
        yield path, "; ".join(str(error).splitlines())
        return
    manifest = version.manifest
    if problem := _trust_problem(manifest, args):
        yield path, problem
    if (manifest.format is Format.PYTHON) != (args.python_class is not None):
        wants = "needs" if args.python_class is None else "takes no"
        yield path, f"a model of format {manifest.format} {wants} python_class"
    for where, message in useless_settings(args, manifest.format):
        yield (*home, *where), message
    try:
        merged(args.batching, manifest.batching)
    except ConfigError as error:
        yield (*home, "batching"), f"with the manifest's: {error}"
    if args.batching is None or "max_rows" not in args.batching.model_fields_set:
        yield from _rows_findings(file, release, manifest.batching.max_rows)


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
