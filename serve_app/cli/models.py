"""`serve-app models`: what is in a model repository, and how it gets in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serve_app.cli.model_options import named_list, parse_golden, parse_metric, parse_tensor
from serve_app.cli.output import errors_reported, progress, say, say_json, say_table
from serve_app.config.manifest import Manifest
from serve_app.config.tensors import TensorConfig
from serve_app.dataflow.add import NewVersion, add_version
from serve_app.dataflow.model import load_model, release_args
from serve_app.errors import ConfigError
from serve_app.repository.store import ModelVersion, list_versions, open_version

app = typer.Typer(help="Add, list, show and verify model versions.", no_args_is_help=True)

Root = Annotated[Path, typer.Option("--root", help="The model repository.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")]
Trusted = Annotated[list[str] | None, typer.Option("--trust-sha256", help="Digest of an artifact that may run code.")]
Model = Annotated[str, typer.Argument(help="Model name.")]
Version = Annotated[str, typer.Argument(help="Version tag.")]
_MODELS = Path("models")


@app.command()
def add(  # noqa: PLR0913 - a command's parameters are its options
    file: Annotated[Path, typer.Argument(help="Artifact: .onnx, .pt, .ts, .pt2, .skops, .joblib or .pkl.")],
    *,
    name: Annotated[str, typer.Option("--name", help="Model name.")],
    version: Annotated[str, typer.Option("--version", help="Version tag.")],
    root: Root = _MODELS,
    inputs: Annotated[list[str] | None, typer.Option("--input", help="NAME:DATATYPE:-1,64[:SOURCE].")] = None,
    outputs: Annotated[list[str] | None, typer.Option("--output", help="As --input; inferred where left out.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--labels", help="OUTPUT=class0,class1,...")] = None,
    golden: Annotated[Path | None, typer.Option("--golden", help="YAML or JSON list of inputs and outputs.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="NAME=NUMBER, e.g. accuracy=0.97.")] = None,
    extra: Annotated[list[Path] | None, typer.Option("--extra-file", help="A file that the artifact needs.")] = None,
    prediction: Annotated[str | None, typer.Option("--prediction", help="The output of POST /predict.")] = None,
    description: Annotated[str, typer.Option("--description", help="One line about the version.")] = "",
    trust_sha256: Trusted = None,
    as_json: AsJson = False,
) -> None:
    """Add FILE to the repository as a new version, after loading and checking it."""
    with errors_reported():
        new = NewVersion(
            artifact=file,
            model=name,
            version=version,
            inputs=tuple(map(parse_tensor, inputs or ())),
            outputs=tuple(map(parse_tensor, outputs or ())),
            labels=dict(map(named_list, labels or ())),
            extra_files=tuple(extra or ()),
            golden=parse_golden(golden) if golden else (),
            metrics=dict(map(parse_metric, metric or ())),
            prediction=prediction,
            description=description,
            trusted_sha256=tuple(trust_sha256 or ()),
        )
        with progress(f"loading and checking {file.name}"):
            added = add_version(root, new)
        _say_version(name, version, added, as_json)


@app.command("list")
def list_command(root: Root = _MODELS, as_json: AsJson = False) -> None:
    """List the versions in the repository; one that is damaged is listed with its fault and exit code 1."""
    with errors_reported():
        rows = [_summary(entry.model, entry.version, entry.directory) for entry in list_versions(root)]
        if as_json:
            say_json(rows)
        else:
            headers = ("model", "version", "format", "accuracy", "fault")
            say_table(headers, [[_cell(value) for value in row.values()] for row in rows])
    if any(row["fault"] for row in rows):
        raise typer.Exit(1)


@app.command()
def show(model: Model, version: Version, root: Root = _MODELS, as_json: AsJson = False) -> None:
    """Show a version's manifest after checking the digests of its files."""
    with errors_reported():
        args = release_args(model=model, version=version, source=str(root / model / version))
        _say_version(model, version, open_version(args.source), as_json)


@app.command()
def verify(
    model: Model,
    version: Version,
    root: Root = _MODELS,
    trust_sha256: Trusted = None,
    python_class: Annotated[str | None, typer.Option("--python-class", help="module:Class, format python.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load a version as a release would: digests, warm-up and golden answers."""
    with errors_reported(), progress(f"loading {model} {version}"):
        args = release_args(
            model=model,
            version=version,
            source=str(root / model / version),
            python_class=python_class,
            trusted_sha256=tuple(trust_sha256 or ()),
        )
        info = load_model(args).info
        golden = len(open_version(args.source).manifest.golden)
    if as_json:
        say_json({"model": model, "version": version, "device": info.device, "golden": golden, "verified": True})
    else:
        say(f"{model} {version} is good: digests, warm-up and {golden} golden checks on {info.device}")


def _summary(model: str, version: str, directory: Path) -> dict[str, str | float | None]:
    try:
        manifest, fault = open_version(str(directory)).manifest, None
    except ConfigError as error:
        manifest, fault = None, str(error)
    return {
        "model": model,
        "version": version,
        "format": manifest.format if manifest else None,
        "accuracy": manifest.metrics.get("accuracy") if manifest else None,
        "fault": fault,
    }


def _cell(value: str | float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else value


def _say_version(model: str, version: str, opened: ModelVersion, as_json: bool) -> None:
    manifest = opened.manifest
    if as_json:
        document = manifest.model_dump(mode="json")
        say_json({"model": model, "version": version, "directory": str(opened.directory), **document})
        return
    say(f"{model} {version}  {manifest.format}  {manifest.description}".rstrip())
    say(f"  directory  {opened.directory}")
    for name, digest in manifest.files.items():
        say(f"  file       {name}  sha256 {digest}")
    for kind, tensors in (("input", manifest.inputs), ("output", manifest.outputs)):
        for config in tensors:
            say(f"  {kind:<9}  {_tensor_line(config)}{_marks(config, manifest, kind)}")
    for name, value in manifest.metrics.items():
        say(f"  metric     {name} {value:g}")
    say(f"  golden     {len(manifest.golden)}")


def _tensor_line(config: TensorConfig) -> str:
    labels = f"  labels {', '.join(config.labels)}" if config.labels else ""
    return f"{config.name} {config.datatype} {list(config.shape)}{labels}"


def _marks(config: TensorConfig, manifest: Manifest, kind: str) -> str:
    return "  (prediction)" if kind == "output" and config.name == manifest.predicted_output else ""
