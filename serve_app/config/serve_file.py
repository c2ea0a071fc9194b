"""The file that `serve run` takes: every fault at once with its line, and what a good one declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_app.config.base import Fault
from serve_app.config.cross_checks import cross_check
from serve_app.config.declared import ServeFile, read_declared
from serve_app.config.grpc_checks import grpc_findings
from serve_app.config.located import read_document
from serve_app.config.plain_deploy import deploy_warnings
from serve_app.config.port_checks import port_findings
from serve_app.config.scaling_checks import scaling_findings
from serve_app.config.unknown_keys import Finding

ExtraCheck = Callable[[Mapping[str, Any]], Iterable[Finding]]
"""A check from a higher layer: takes the file's data, yields where something is wrong and what."""


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A serve file and what is wrong with it.

    Attributes:
        faults: Sorted by line; empty if the file can be served.
        declared: None only if the file could not be read as YAML at all.
        warnings: What may surprise, and is no fault.
    """

    faults: list[Fault]
    declared: ServeFile | None
    warnings: tuple[Fault, ...] = ()


def read_serve_file(path: Path, extra_checks: Sequence[ExtraCheck] = ()) -> CheckedFile:
    """Check a serve file and read what it declares.

    An extra check's finding is dropped where ours already say something about the same path.
    """
    document = read_document(path)
    if not isinstance(document.data, Mapping):
        not_mapping = [] if document.faults else [document.fault((), "the file must be a mapping with `applications`")]
        return CheckedFile([*document.faults, *not_mapping], None)
    declared, findings = read_declared(document.data)
    findings += cross_check(declared)
    findings += [*port_findings(document.data, declared), *grpc_findings(document.data)]
    findings += scaling_findings(document.data, declared)
    ours = {where for where, _ in findings}
    for check in extra_checks:
        findings += [finding for finding in check(document.data) if finding[0] not in ours]
    faults = {document.fault(where, message) for where, message in findings}
    warnings = tuple(document.fault(where, message) for where, message in deploy_warnings(declared))
    return CheckedFile(sorted(faults.union(document.faults)), declared, warnings)


def check_serve_file(path: Path, extra_checks: Sequence[ExtraCheck] = ()) -> list[Fault]:
    """Every fault of a serve file, sorted by line; see `read_serve_file`."""
    return read_serve_file(path, extra_checks).faults
