"""`python -m load_tests.text_lengths`: sentences of 3 to 200 words, executed by their length and padded to the longest.

The graph of configs/text.yaml embeds the same batches both ways, in turns, in this process: as it is, and with an
encoder that knows nothing of lengths, so that every row of a batch is as long as its longest. Both execute 16 rows at
once.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from load_tests.models import ROOT
from serve_app.config.release import BatchingConfig, ReleaseArgs
from serve_app.dataflow.model import load_model
from serve_app.repository.manifest_file import write_manifest
from serve_app.repository.store import open_version
from serve_app.types import Array, Tensors

SOURCE = ROOT / "models/minilm/v1"
SHORTEST, LONGEST = 3, 200
MIN_RATIO = 2.0
MAX_DIFFERENCE = 1e-4
Predict = Callable[[Tensors], Tensors]
Lengths = Callable[[np.random.Generator, int], Array]


def as_many_of_each_size(random: np.random.Generator, rows: int) -> Array:
    """As many sentences of 3 to 6 words as of 100 to 200, which is how texts are: most are short."""
    return np.exp(random.uniform(np.log(SHORTEST), np.log(LONGEST + 1), rows)).astype(int)


def as_many_of_each_length(random: np.random.Generator, rows: int) -> Array:
    """As many sentences of 3 words as of 200."""
    return random.integers(SHORTEST, LONGEST + 1, rows)


LENGTHS: Mapping[str, Lengths] = {
    "as many of each size": as_many_of_each_size,
    "of each length": as_many_of_each_length,
}
"""How long sentences are; the first is what must reach `MIN_RATIO`."""


class Measured(NamedTuple):
    """Batches of one kind.

    Attributes:
        by_length: Rows a second, of the median batch.
        padded: The same, padded to the longest.
        difference: Largest between the two ways' numbers.
    """

    by_length: float
    padded: float
    difference: float

    @property
    def ratio(self) -> float:
        """How many times as many rows."""
        return self.by_length / self.padded


def words(tokenizer: Path) -> list[str]:
    """Every word that is one token."""
    vocabulary: Mapping[str, int] = json.loads(tokenizer.read_text())["model"]["vocab"]
    return [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 1]


def sentences(lengths: Array, known: list[str], random: np.random.Generator) -> Array:
    """One of each length, as BYTES [rows]."""
    texts = np.empty(len(lengths), object)
    texts[:] = [" ".join(random.choice(known, length)).encode() for length in lengths]
    return texts


def release(source: Path) -> ReleaseArgs:
    """The graph of configs/text.yaml with that encoder."""
    _, application = yaml.safe_load((ROOT / "configs/text.yaml").read_text())["applications"]
    args = application["args"]
    for node in args["graph"]["nodes"]:
        if "source" in node:
            node["source"] = str(source)
        for step in node.get("steps", ()):
            if "tokenizer" in step:
                step["tokenizer"] = str(source / "tokenizer.json")
    return ReleaseArgs.model_validate({**args, "accelerator": "cpu"})


def without_lengths(source: Path, folder: Path) -> Path:
    """The encoder's version as one that takes any length as it comes, in as many rows at once."""
    version = open_version(str(source))
    for name in version.manifest.files:
        shutil.copyfile(version.directory / name, folder / name)  # a link out of the folder would be refused
    rows = version.manifest.batching.max_rows
    batching = BatchingConfig(max_rows=rows, allowed_rows=(rows,))
    write_manifest(folder, version.manifest.model_copy(update={"batching": batching}))
    return folder


def measure(by_length: Predict, padded: Predict, batches: list[Array]) -> Measured:
    """Embed every batch both ways, in turns."""
    rates: tuple[list[float], list[float]] = ([], [])
    difference = 0.0
    for texts in track(batches, f"{len(batches[0])} rows"):
        answers = []
        for predict, rate in zip((by_length, padded), rates, strict=True):
            begin = time.perf_counter()
            answers.append(predict({"text": texts})["embedding"])
            rate.append(len(texts) / (time.perf_counter() - begin))
        difference = max(difference, float(np.abs(answers[0] - answers[1]).max()))
    return Measured(statistics.median(rates[0]), statistics.median(rates[1]), difference)


def main(
    rows: Annotated[int, typer.Option(min=2, help="Of a batch.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="Of each kind.")] = 10,
) -> None:
    """Measure, and exit 1 if the first kind does not reach twice the rows, or the two ways differ by over 1e-4."""
    known, random = words(SOURCE / "tokenizer.json"), np.random.default_rng(1)
    table = Table("words a sentence", "by length, rows/s", "padded, rows/s", "times", "largest difference")
    with tempfile.TemporaryDirectory() as folder:
        by_length, padded = (
            load_model(release(source)).predict for source in (SOURCE, without_lengths(SOURCE, Path(folder)))
        )
        found = {
            name: measure(by_length, padded, [sentences(lengths(random, rows), known, random) for _ in range(batches)])
            for name, lengths in LENGTHS.items()
        }
    for name, one in found.items():
        rates = (f"{one.by_length:.1f}", f"{one.padded:.1f}", f"{one.ratio:.2f}")
        table.add_row(f"{SHORTEST} to {LONGEST}, {name}", *rates, f"{one.difference:.1e}")
    Console().print(table)
    first, *_ = found.values()
    is_well = first.ratio >= MIN_RATIO and all(one.difference <= MAX_DIFFERENCE for one in found.values())
    raise typer.Exit(0 if is_well else 1)


if __name__ == "__main__":
    typer.run(main)
