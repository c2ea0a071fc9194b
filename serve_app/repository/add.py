"""Putting a new version into a repository so that it appears whole or not at all."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from serve_app.config.base import NAME_PATTERN
from serve_app.config.manifest import Format
from serve_app.errors import ConfigError
from serve_app.repository.files import copy_hashed

_MAX_NAME = 128  # as `Name` in serve_app.config.base

FORMATS: Mapping[str, Format] = {
    ".onnx": Format.ONNX,
    ".pt": Format.TORCHSCRIPT,
    ".ts": Format.TORCHSCRIPT,
    ".pt2": Format.TORCH_EXPORT,
    ".skops": Format.SKOPS,
    ".joblib": Format.JOBLIB,
    ".pkl": Format.PICKLE,
}


def format_of(file: Path) -> Format:
    """The format that the file's suffix stands for.

    Raises:
        ConfigError: The suffix is not in `FORMATS`.
    """
    found = FORMATS.get(file.suffix.lower())
    if found is None:
        raise ConfigError(f"{file}: no format is known by the suffix {file.suffix!r}; known are {', '.join(FORMATS)}")
    return found


@contextmanager
def staged_version(root: Path, model: str, version: str) -> Iterator[Path]:
    """Give an empty directory that becomes `root/model/version` when the block ends, and vanishes if it raises.

    Raises:
        ConfigError: A name is not one, the directory cannot be made, or the version is there already: a version never
            changes.
    """
    for name in (model, version):
        if re.fullmatch(NAME_PATTERN, name) is None or len(name) > _MAX_NAME:
            raise ConfigError(
                f"{name[:_MAX_NAME]!r} is no name: use letters, digits, '.', '_' and '-', beginning with no sign, "
                f"at most {_MAX_NAME}"
            )
    final = root / model / version
    made = [directory for directory in (final.parent, root) if not directory.exists()]
    try:
        with _staging(final) as staged:
            yield staged
    finally:
        for directory in made:
            with suppress(OSError):  # it is not empty
                directory.rmdir()


@contextmanager
def _staging(final: Path) -> Iterator[Path]:
    try:
        if final.exists():
            raise _exists(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{final.name}-", suffix=".tmp", dir=final.parent))
    except OSError as error:
        raise ConfigError(f"{final} cannot be made: {error.strerror}") from None
    try:
        yield staged
        staged.chmod(0o755)  # mkdtemp makes it private; the server may be another user
        _move(staged, final)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def copy_artifact(file: Path, target: Path) -> str:
    """Copy `file` to `target` and return the SHA-256 of the copied bytes in hex.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        with file.open("rb") as source, target.open("xb") as sink:
            return copy_hashed(source, sink)
    except OSError as error:
        raise ConfigError(f"{file} cannot be copied: {error.strerror}") from None


def _move(staged: Path, final: Path) -> None:
    try:
        staged.rename(final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process added it meanwhile
            raise _exists(final) from None
        raise


def _exists(final: Path) -> ConfigError:
    return ConfigError(f"{final} exists, and a version never changes: choose another version tag")
