"""Training the sample models into a repository, each only where it is missing or damaged."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from serve_app.config.manifest import Manifest
from serve_app.config.release import ReleaseArgs
from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.dataflow.model import LoadedModel, load_model
from serve_app.datatypes import Datatype
from serve_app.errors import CheckFailed, ConfigError
from serve_app.repository.add import format_of, staged_version
from serve_app.repository.files import sha256_of
from serve_app.repository.manifest_file import write_manifest
from serve_app.repository.store import open_version
from serve_app.samples.data import PIXEL_MEAN, PIXEL_STD, DataName, Split, split
from serve_app.types import Array, Tensors, release_name

_GOLDEN_ROWS = 3
_MEASURE_ROWS = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One model version that `train` knows to make.

    Attributes:
        model: Name of the model.
        data: What it is trained and measured on.
        module: Module of this package whose `train(split, file)`, or `convert(version, file)`, writes the artifact.
        artifact: File name; its suffix is the format.
        input_name: The only input.
        min_accuracy: Held-out accuracy below which the training counts as failed.
        sources: The outputs, `probabilities` and `label` or one of them, with the artifact's own names where they
            differ.
        converted_from: `model/version` of the sample before it that it is in another format.
    """

    model: str
    data: DataName
    version: str
    module: str
    artifact: str
    input_name: str
    min_accuracy: float
    description: str
    sources: Mapping[str, str | None] = field(default_factory=lambda: {"probabilities": None, "label": None})
    converted_from: str = ""

    @property
    def release(self) -> str:
        """`{model}-{version}`."""
        return release_name(self.model, self.version)


SAMPLES = (
    Sample(
        model="digits",
        data="digits",
        version="v1",
        module="digits_mlp",
        artifact="digits.onnx",
        input_name="pixels",
        min_accuracy=0.95,
        description="Perceptron 64-128-10, handwritten digits",
    ),
    Sample(
        model="digits",
        data="digits",
        version="v2",
        module="digits_conv",
        artifact="digits.pt2",
        input_name="pixels",
        min_accuracy=0.97,
        description="Convolutional net, handwritten digits",
    ),
    Sample(
        model="digits-conv",
        data="digits",
        version="v1",
        module="digits_conv_onnx",
        artifact="digits.onnx",
        input_name="pixels",
        min_accuracy=0.97,
        description="The convolutional net of digits v2 as ONNX",
        converted_from="digits/v2",
    ),
    Sample(
        model="digits-svm",
        data="standardised digits",
        version="v1",
        module="digits_svm",
        artifact="digits.skops",
        input_name="pixels",
        min_accuracy=0.97,
        description=f"Support vectors, handwritten digits as (pixels - {PIXEL_MEAN}) / {PIXEL_STD}",
        sources={"label": "predict"},
    ),
    Sample(
        model="wine",
        data="wine",
        version="v1",
        module="wine_pipeline",
        artifact="wine.skops",
        input_name="features",
        min_accuracy=0.90,  # 45 held-out rows: one row is 2.2 points
        description="Logistic regression, cultivar of a wine from 13 measurements",
        sources={"probabilities": "predict_proba", "label": "predict"},
    ),
)


def is_whole(root: Path, sample: Sample) -> bool:
    """As `has_whole`, of the sample's name."""
    return has_whole(root, sample.model, sample.version)


def has_whole(root: Path, model: str, version: str) -> bool:
    """Whether the repository has a sample, or the operator's own version of its name, and it can be used.

    Raises:
        ConfigError: There is something under its name that is no whole version; it is left alone.
    """
    directory = root / model / version
    if not directory.exists():
        return False
    try:
        open_version(str(directory))
    except ConfigError as error:
        raise ConfigError(
            f"{directory} exists but cannot be used: {error}; remove it to have the sample trained again"
        ) from error
    return True


def train(root: Path, sample: Sample) -> None:
    """Train one sample, measure it through the runtime that will serve it, and add it to the repository at `root`.

    Raises:
        ConfigError: A version of its name exists, what it is converted from is not the sample's, or a library for
            training is not installed.
        CheckFailed: The accuracy on the held-out rows is below the sample's minimum.
    """
    data = split(sample.data)
    with staged_version(root, sample.model, sample.version) as directory:
        file = directory / sample.artifact
        _write(root, sample, data, file)
        write_manifest(directory, _manifest(sample, data, file))
        args = ReleaseArgs(model=sample.model, version=sample.version, source=str(directory), accelerator="cpu")
        model = load_model(args)
        answers = _answers(model, sample, data.held_out_inputs)
        accuracy = float(np.mean(answers["label"] == data.held_out_labels))
        if accuracy < sample.min_accuracy:
            raise CheckFailed(sample.release, f"held-out accuracy is {accuracy:.4f}, at least {sample.min_accuracy}")
        measured = _manifest(sample, data, file).model_copy(
            update={
                "metrics": {"accuracy": accuracy, "held_out_rows": float(len(data.held_out_labels))},
                "golden": (_golden(sample, data.held_out_inputs, answers),),
            }
        )
        write_manifest(directory, measured)
        load_model(args)  # what is published has passed its own golden check


def _write(root: Path, sample: Sample, data: Split, file: Path) -> None:
    try:
        module = importlib.import_module(f"serve_app.samples.{sample.module}")
    except ModuleNotFoundError as error:
        raise ConfigError(f"{sample.release} needs {error.name}: pip install 'serve-app[samples]'") from error
    if sample.converted_from:
        module.convert(open_version(str(root / sample.converted_from)), file)
    else:
        module.train(data, file)


def _manifest(sample: Sample, data: Split, file: Path) -> Manifest:
    features, classes = data.train_inputs.shape[1], len(data.class_names)
    kinds = {"probabilities": (Datatype.FP32, (-1, classes)), "label": (Datatype.INT64, (-1,))}
    return Manifest(
        format=format_of(file),
        artifact=file.name,
        sha256=sha256_of(file),
        description=sample.description,
        inputs=(TensorConfig(name=sample.input_name, datatype=Datatype.FP32, shape=(-1, features)),),
        outputs=tuple(
            TensorConfig(
                name=name, datatype=datatype, shape=shape, source=sample.sources[name], labels=data.class_names
            )
            for name, (datatype, shape) in kinds.items()
            if name in sample.sources
        ),
        prediction="label",
    )


def _answers(model: LoadedModel, sample: Sample, inputs: Array) -> Tensors:
    """Every output for every row, in batches as the server would execute them."""
    batches = [inputs[start : start + _MEASURE_ROWS] for start in range(0, len(inputs), _MEASURE_ROWS)]
    answers = [model.predict({sample.input_name: batch}) for batch in batches]
    return {name: np.concatenate([answer[name] for answer in answers]) for name in sample.sources}


def _golden(sample: Sample, inputs: Array, answers: Tensors) -> GoldenConfig:
    expected = {
        name: np.round(array[:_GOLDEN_ROWS].astype(float), 6).tolist()
        if array.dtype.kind == "f"
        else array[:_GOLDEN_ROWS].tolist()
        for name, array in answers.items()
    }
    return GoldenConfig(inputs={sample.input_name: inputs[:_GOLDEN_ROWS].tolist()}, outputs=expected)
