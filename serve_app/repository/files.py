"""Checking that the files beside a manifest are the ones it names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from serve_app.config.manifest import Manifest
from serve_app.errors import ArtifactMismatch, ManifestError

CHUNK_BYTES = 2**20


def sha256_of(file: Path) -> str:
    """The file's SHA-256 in lower-case hex."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy_hashed(source: BinaryIO, target: BinaryIO) -> str:
    """Copy to the end of `source` and return the SHA-256, in hex, of the bytes that were copied."""
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def check_files(directory: Path, manifest: Manifest) -> None:
    """Check that every file the manifest names is there, inside the directory, and has its digest.

    Raises:
        ManifestError: A file is missing, is no regular file, or leads out of the directory through a link.
        ArtifactMismatch: A file's content is not what the manifest says.
    """
    home = directory.resolve()
    for name, expected in manifest.files.items():
        file = directory / name
        real = file.resolve()
        if not real.is_relative_to(home):
            raise ManifestError(str(file), f"leads out of the version's directory, to {real}")
        if not real.is_file():
            raise ManifestError(str(file), "is named in model.yaml and is not there")
        actual = sha256_of(real)
        if actual != expected:
            raise ArtifactMismatch(str(file), expected, actual)
