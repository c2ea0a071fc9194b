"""Bringing a version from a remote store into a local directory whose name is the digest of its manifest.

`model.yaml` names the SHA-256 of every other file, so its own digest identifies all of the version's bytes. Opening a
version again downloads only `model.yaml`. A version is downloaded beside its final place and renamed when every digest
was right; the rename is atomic, so processes that race each see nothing or all of it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from fsspec.core import url_to_fs

from serve_app.config.manifest import Manifest
from serve_app.errors import ArtifactMismatch, ConfigError, ManifestError
from serve_app.repository.files import check_files, copy_hashed
from serve_app.repository.manifest_file import MANIFEST_NAME, MAX_MANIFEST_BYTES, parse_manifest

DEFAULT_CACHE = Path("~/.cache/serve-app")


class _Store(Protocol):
    """What is used of an fsspec file system."""

    def open(self, path: str, mode: str) -> AbstractContextManager[BinaryIO]: ...


@dataclass(frozen=True, slots=True)
class _Remote:
    """A directory in a store.

    Attributes:
        url: As the operator wrote it, for messages.
        path: The same as the store's driver names it.
    """

    url: str
    store: _Store
    path: str

    def copy(self, name: str, target: BinaryIO) -> str:
        """Write the file's content to `target` and return its SHA-256 in hex."""
        with self._errors(name), self.store.open(f"{self.path}/{name}", "rb") as source:
            return copy_hashed(source, target)

    def manifest_bytes(self) -> bytes:
        """The bytes of `model.yaml`, cut behind the longest that is taken."""
        with self._errors(MANIFEST_NAME), self.store.open(f"{self.path}/{MANIFEST_NAME}", "rb") as source:
            return source.read(MAX_MANIFEST_BYTES + 1)

    def parse(self, data: bytes) -> Manifest:
        """What those bytes say."""
        return parse_manifest(data, f"{self.url}/{MANIFEST_NAME}")

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise ManifestError(self.url, f"has no {name}") from None
        except OSError as error:
            raise ConfigError(f"{self.url}/{name} cannot be read: {error}") from error
        except Exception as error:  # foreign code: every store's driver has exceptions of its own
            raise ManifestError(self.url, f"{name} cannot be read: {_reason(error)}") from error


def fetch(url: str, cache: Path) -> Path:
    """The local directory with the verified files of the version at `url`.

    Args:
        url: Directory of a `model.yaml` in any store that fsspec has a driver for.
        cache: Root of the cache; made where it does not exist.

    Raises:
        ManifestError: The store has no usable version there.
        ArtifactMismatch: A downloaded file has not the digest that the manifest names.
        ConfigError: The store's driver is not installed, or the store cannot be reached.
    """
    remote = _connect(url.rstrip("/"))
    data = remote.manifest_bytes()
    manifest = remote.parse(data)
    final = cache / "versions" / hashlib.sha256(data).hexdigest()
    if _is_whole(final, manifest):
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=final.parent, ignore_cleanup_errors=True) as temporary:
        staged = Path(temporary) / "staged"
        staged.mkdir()
        _download(remote, manifest, staged)
        (staged / MANIFEST_NAME).write_bytes(data)
        _publish(staged, final, manifest)
    check_files(final, manifest)
    return final


def remote_manifest(url: str) -> Manifest:
    """What the `model.yaml` of the version at `url` says, without its other files.

    Raises:
        ManifestError: There is none, or it is wrong.
        ConfigError: The store's driver is not installed, or the store cannot be reached.
    """
    remote = _connect(url.rstrip("/"))
    return remote.parse(remote.manifest_bytes())


def _connect(url: str) -> _Remote:
    try:
        store, path = url_to_fs(url)
    except ImportError as error:
        raise ConfigError(f"{url}: {error}") from None  # fsspec's own message says what to install
    except Exception as error:  # foreign code: every store's driver has exceptions of its own
        raise ManifestError(url, f"cannot be opened: {_reason(error)}") from error
    return _Remote(url, store, str(path).rstrip("/"))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _download(remote: _Remote, manifest: Manifest, directory: Path) -> None:
    for name, expected in manifest.files.items():
        with (directory / name).open("wb") as target:
            actual = remote.copy(name, target)
        if actual != expected:
            raise ArtifactMismatch(f"{remote.url}/{name}", expected, actual)


def _publish(staged: Path, final: Path, manifest: Manifest) -> None:
    """Rename `staged` to `final`, in place of a damaged version and giving way to a whole one."""
    if final.exists() and not _is_whole(final, manifest):
        with suppress(FileNotFoundError):  # another process saw the damage too and was first
            final.rename(staged.parent / "damaged")
    with suppress(OSError):  # not empty: another process was first; `fetch` checks what is there now
        staged.rename(final)


def _is_whole(directory: Path, manifest: Manifest) -> bool:
    if not (directory / MANIFEST_NAME).is_file():
        return False
    try:
        check_files(directory, manifest)
    except (ManifestError, ArtifactMismatch):
        return False
    return True
