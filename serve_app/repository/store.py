"""Opening a model version: a directory with `model.yaml` and the files it names, all of them verified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serve_app.config.base import NAME_PATTERN
from serve_app.config.manifest import Manifest
from serve_app.errors import ConfigError, ManifestError
from serve_app.repository.cache import DEFAULT_CACHE, fetch, remote_manifest
from serve_app.repository.files import check_files
from serve_app.repository.manifest_file import MANIFEST_NAME, MAX_MANIFEST_BYTES, parse_manifest

_SHOWN_LENGTH = 200


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version, ready to be loaded.

    Attributes:
        manifest: What `model.yaml` says.
        directory: Absolute path of the local files; each had its digest when the version was opened.
        source: What the operator wrote: a local path or a URL.
    """

    manifest: Manifest
    directory: Path
    source: str


@dataclass(frozen=True, slots=True, order=True)
class VersionEntry:
    """A version that a repository has, not yet opened: its manifest may still turn out wrong."""

    model: str
    version: str
    directory: Path


def open_version(source: str, cache: Path | None = None) -> ModelVersion:
    """Open and verify the version at `source`.

    Args:
        source: Directory of a `model.yaml`. A local path is used in place; a URL (with `://`) is fetched.
        cache: Where versions from URLs are kept; `~/.cache/serve-app` if None.

    Raises:
        ManifestError: There is no whole version, or its `model.yaml` is wrong; the message has every fault.
        ArtifactMismatch: A file's SHA-256 is not the manifest's.
        ConfigError: A remote store's driver is not installed, or the store cannot be reached.
    """
    if "://" in source:
        directory = fetch(source, (cache or DEFAULT_CACHE).expanduser().absolute())
        return ModelVersion(_read(directory), directory, source)
    with _local(source) as directory:
        manifest = _read(directory)
        check_files(directory, manifest)
        return ModelVersion(manifest, directory, source)


def read_manifest(source: str) -> Manifest:
    """What the `model.yaml` at `source` says, without its other files.

    Raises:
        ManifestError: There is none, or it is wrong.
        ConfigError: A remote store's driver is not installed, or the store cannot be reached.
    """
    if "://" in source:
        return remote_manifest(source)
    with _local(source) as directory:
        return _read(directory)


@contextmanager
def _local(source: str) -> Iterator[Path]:
    """The directory at a local path; what the system has against it is about the source."""
    try:
        directory = Path(source).expanduser().absolute()
        if not directory.is_dir():
            raise ManifestError(source, "is not a directory")
        yield directory
    except (OSError, RuntimeError) as error:  # RuntimeError: a user whose home is not known, links that go in circles
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ManifestError(source[:_SHOWN_LENGTH], f"cannot be opened: {reason}") from error


def list_versions(root: Path) -> tuple[VersionEntry, ...]:
    """Every version in the repository at `root`, sorted by model and version.

    Directories without a `model.yaml`, and those whose name is no version tag (unfinished ones begin with a dot), are
    no versions.

    Raises:
        ConfigError: `root` is not a directory.
    """
    if not root.is_dir():
        raise ConfigError(f"{root} is not a directory, so it holds no models")
    entries = (
        VersionEntry(manifest.parent.parent.name, manifest.parent.name, manifest.parent)
        for manifest in root.glob(f"*/*/{MANIFEST_NAME}")
    )
    return tuple(sorted(entry for entry in entries if _is_name(entry.model) and _is_name(entry.version)))


def _is_name(text: str) -> bool:
    return re.fullmatch(NAME_PATTERN, text) is not None


def _read(directory: Path) -> Manifest:
    path = directory / MANIFEST_NAME
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except FileNotFoundError:
        raise ManifestError(str(directory), f"has no {MANIFEST_NAME}") from None
    except OSError as error:
        raise ManifestError(str(path), f"cannot be read: {error.strerror}") from None
    return parse_manifest(data, str(path))
