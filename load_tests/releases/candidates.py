"""Folders of candidate versions of digits: the perceptron of v1 under other tags, sound or spoiled in known ways."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from load_tests.models import ROOT
from load_tests.releases.spoiled import ARTIFACT, BEHAVIOUR, CLASSES, Behaviour, digest
from serve_app.config.manifest import Format, Manifest
from serve_app.repository.manifest_file import MANIFEST_NAME, parse_manifest, write_manifest
from serve_app.types import Array

SOUND = ROOT / "models/digits/v1"
_SEED = 5


def spoil(rows: Array, share: float, golden: Array, seed: int = _SEED) -> tuple[int, ...]:
    """Digests of a share of the rows, chosen by a seed and never of a golden one, so that the checks at load pass."""
    known = {digest(row) for row in golden}
    digests = [one for one in (digest(row) for row in rows) if one not in known]
    chosen = np.random.default_rng(seed).choice(len(digests), round(share * len(rows)), replace=False)
    return tuple(digests[index] for index in sorted(chosen))


def golden_rows(source: Path = SOUND) -> Array:
    """The inputs that a version is checked with before it is ready, FP32 [n, 64]."""
    golden = _manifest(source).golden
    return np.concatenate([np.asarray(one.inputs["pixels"], np.float32) for one in golden])


def write_candidate(folder: Path, behaviour: Behaviour, source: Path = SOUND, *, is_checked: bool = True) -> Path:
    """Write a version's folder whose manifest is of format python; gives the folder.

    Args:
        folder: Made here.
        behaviour: How bad it is.
        source: The sound version.
        is_checked: Whether it is compared with golden answers before it is ready.
    """
    folder.mkdir(parents=True)
    shutil.copy(source / ARTIFACT, folder)
    (folder / BEHAVIOUR).write_text(behaviour.to_json())
    sound = _manifest(source)
    extra = {BEHAVIOUR: hashlib.sha256((folder / BEHAVIOUR).read_bytes()).hexdigest()}
    _write(folder, sound, format=Format.PYTHON, extra_files=extra, golden=sound.golden if is_checked else ())
    return folder


def write_sound(folder: Path, source: Path = SOUND) -> Path:
    """Write a folder with the same version under another tag."""
    folder.mkdir(parents=True)
    shutil.copy(source / ARTIFACT, folder)
    _write(folder, _manifest(source))
    return folder


def write_wrong_golden(folder: Path, source: Path = SOUND) -> Path:
    """Write a folder whose first golden answer is another digit than the model says."""
    write_sound(folder, source)
    manifest = _manifest(source)
    first = manifest.golden[0]
    labels = [int(label) for label in np.asarray(first.outputs["label"])]
    spoiled = first.model_copy(update={"outputs": {**first.outputs, "label": [(labels[0] + 1) % CLASSES, *labels[1:]]}})
    _write(folder, manifest, golden=(spoiled, *manifest.golden[1:]))
    return folder


def _manifest(source: Path) -> Manifest:
    path = source / MANIFEST_NAME
    return parse_manifest(path.read_bytes(), str(path))


def _write(folder: Path, manifest: Manifest, **changes: Any) -> None:  # noqa: ANN401 - a manifest's own fields
    write_manifest(folder, manifest.model_copy(update={"profile": None, **changes}))
