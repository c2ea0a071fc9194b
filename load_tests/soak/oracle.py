"""The right answers, computed in this process by the bare models, and the comparison with what a server said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import yaml

from serve_app.dataflow.model import load_model, release_args
from serve_app.samples.data import DataName, held_out
from serve_app.types import Array, Tensors

_CHUNK_ROWS = 32
_TOLERANCE = 1e-3  # batches of other sizes add up in another order
_MARGIN = 2 * _TOLERANCE  # two classes closer than this may change places
_INPUTS: dict[DataName, str] = {"digits": "pixels", "wine": "features"}


@dataclass(frozen=True, slots=True)
class Oracle:
    """The samples' held-out rows and what each version answers to them.

    Attributes:
        rows: By model, FP32 [n, columns].
        answers: By model and version, `probabilities` [n, classes] and `label` [n].
    """

    rows: Mapping[str, Array]
    answers: Mapping[tuple[str, str], Tensors]

    def input_name(self, model: str) -> str:
        """Of the model's only input."""
        return next(name for known, name in _INPUTS.items() if known == model)

    def versions(self, model: str) -> list[str]:
        """Those of a model, sorted."""
        return sorted(version for known, version in self.answers if known == model)

    def fault(self, body: bytes, model: str, version: str, rows: Sequence[int]) -> str:
        """What is wrong with a V2 answer; empty if it is right.

        Args:
            body: Of an answer with status 200.
            model: That was asked.
            version: That was asked; empty if the server might choose.
            rows: Which of the held-out rows were sent.
        """
        try:
            document = orjson.loads(body)
            said = document["model_version"]
            outputs = {
                output["name"]: np.asarray(output["data"], np.float64).reshape(output["shape"])
                for output in document["outputs"]
            }
            expected = self.answers[model, said]
            if version and said != version:
                return f"version {version} was asked, {said} answered"
            return _difference(outputs["probabilities"], outputs["label"], expected, list(rows))
        except (LookupError, TypeError, ValueError) as error:
            return f"{type(error).__name__} in {body[:200]!r}: {error}"


def _difference(probabilities: Array, labels: Array, expected: Tensors, rows: list[int]) -> str:
    right = expected["probabilities"][rows]
    if probabilities.shape != right.shape or labels.shape != (len(rows),):
        return f"shapes {probabilities.shape} and {labels.shape} for {len(rows)} rows"
    off = np.abs(probabilities - right).max(axis=1)
    if off.max() > _TOLERANCE:
        row = int(off.argmax())
        return f"row {row} of {len(rows)} is off by {off[row]:.3g}"
    two_best = np.sort(right, axis=1)[:, -2:]
    is_clear = two_best[:, 1] - two_best[:, 0] > _MARGIN
    wrong = np.flatnonzero((labels != expected["label"][rows]) & is_clear)
    return f"row {wrong[0]} of {len(rows)} has label {labels[wrong[0]]:g}" if wrong.size else ""


def oracle_of(config: Path) -> Oracle:
    """Load the sample models that a serve file releases, on the CPU, and ask them about every held-out row.

    Raises:
        ConfigError: A release cannot be loaded.
    """
    names: tuple[DataName, ...] = ("digits", "wine")
    rows: dict[str, Array] = {name: held_out(name)[0] for name in names}
    answers: dict[tuple[str, str], Tensors] = {}
    for application in yaml.safe_load(config.read_text())["applications"]:
        args = application.get("args", {})
        if args.get("model") in rows:
            release = release_args(**{**args, "accelerator": "cpu"})
            model, inputs = load_model(release), rows[release.model]
            chunks = [
                model.predict({model.info.inputs[0].name: inputs[begin : begin + _CHUNK_ROWS]})
                for begin in range(0, len(inputs), _CHUNK_ROWS)
            ]
            answers[release.model, release.version] = {
                name: np.concatenate([chunk[name] for chunk in chunks]) for name in ("probabilities", "label")
            }
    return Oracle(rows, answers)
