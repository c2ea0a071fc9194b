"""`python -m serve_app.samples [--root models]`: train the sample models that are not there yet."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from serve_app.errors import ServeAppError
from serve_app.repository.store import open_version
from serve_app.samples.train import SAMPLES, is_whole, train

_console = Console(stderr=True)


def main(root: Annotated[Path, typer.Option(help="The model repository.")] = Path("models")) -> None:
    """Train digits v1, digits v2 and wine v1 into a repository; versions that are there and whole are kept."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=_console
    ) as progress:
        for sample in SAMPLES:
            task = progress.add_task(f"{sample.release}: training", total=1)
            is_kept = is_whole(root, sample)
            if not is_kept:
                train(root, sample)
            metrics = open_version(str(root / sample.model / sample.version)).manifest.metrics
            done = ", ".join(["kept" if is_kept else "trained", *_report(metrics)])
            progress.update(task, completed=1, description=f"{sample.release}: {done}")


def _report(metrics: Mapping[str, float]) -> Iterator[str]:
    """What is known of the version; an operator's own version of a sample's name may have other figures or none."""
    rows = f" on {metrics['held_out_rows']:.0f} held-out rows" if "held_out_rows" in metrics else ""
    if "accuracy" in metrics:
        yield f"accuracy {metrics['accuracy']:.4f}{rows}"


if __name__ == "__main__":
    try:
        typer.run(main)
    except ServeAppError as error:
        _console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
