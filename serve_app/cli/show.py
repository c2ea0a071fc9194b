"""`serve-app show`: what the releases of a serve file are made of, where each node runs and why, and how fast it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, NonNegativeFloat, PositiveInt, ValidationError

from serve_app.cli.output import CommandError, Twig, errors_reported, say, say_error, say_json, say_tree
from serve_app.cli.server import Server, model_path
from serve_app.cli.validate import checks_of, good_file
from serve_app.config.release import ReleaseArgs
from serve_app.graph.fitting import said
from serve_app.graph.outline import NodeOutline, Outline, Taken, Times, outline_of_graph, outline_of_model
from serve_app.graph.picture import svg as drawn
from serve_app.graph.placement import Placement
from serve_app.graph.planner import plan_graph
from serve_app.graph.signatures import opened_models, signatures
from serve_app.repository.store import open_version
from serve_app.types import TensorSpec

_MOST_TIMES = 4


def show(
    file: Annotated[Path, typer.Argument(help="A Ray Serve YAML file.")],
    release: Annotated[str | None, typer.Argument(help="Only this release, named {model}-{version}.")] = None,
    *,
    svg: Annotated[Path | None, typer.Option(help="Also draw the release, or the file's only graph, here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the nodes and edges as JSON.")] = False,
    url: Annotated[str | None, typer.Option(help="Ask the server there how fast they have turned out to be.")] = None,
    timeout_s: Annotated[float, typer.Option(min=0.001, help="Longest wait for its answer, in seconds.")] = 10.0,
) -> None:
    """Show the nodes of graphs in the order of data: placement and why, versions, tensors, times. Needs no Ray."""
    with errors_reported():
        outlines = [outline_of(args, home) for args, home in _chosen(file, release)]
        missing = list[str]()
        if url is not None:
            with Server(url, timeout_s) as server:
                outlines = [_learned(server, url, outline, missing) for outline in outlines]
        if svg is not None:
            _draw(svg, outlines)
    if as_json:
        say_json(outlines)
    else:
        for outline in outlines:
            if outline.is_graph:
                say_tree(tree(outline))
            else:
                say(line(outline))
    for sentence in missing:
        say_error(sentence)
    if missing:
        raise typer.Exit(1)


def outline_of(args: ReleaseArgs, home: Placement) -> Outline:
    """The outline of a release without faults; `home` is where it runs but for nodes that are elsewhere."""
    if args.graph is None:
        return outline_of_model(args, None if "://" in args.source else open_version(args.source).manifest, home)
    manifests, _ = opened_models(args.graph)
    return outline_of_graph(args, args.graph, plan_graph(args.graph, signatures(manifests)), manifests, home)


def tree(outline: Outline) -> Twig:
    """A graph as text: a node that a router executes stands under it."""
    branches = {(edge.begin, edge.end): edge.label for edge in outline.edges if edge.is_branch}

    def twig(node: NodeOutline) -> Twig:
        label = branches.get((node.name, node.router), "")
        head = "  ".join(filter(None, (node.name, node.kind, node.format, node.source, label and f"({label})")))
        inner = (twig(other) for other in outline.nodes if other.router == node.name)
        return Twig(head, (*map(Twig, _facts(node)), *inner))

    tops = (twig(node) for node in outline.nodes if not node.router)
    takes = Twig(f"takes  {', '.join(map(_said_input, outline.inputs))}")
    gives = Twig(f"gives  {'; '.join(map(_said_taken, outline.outputs))}")
    return Twig(_heading(outline), (takes, *map(Twig, _said_times(outline.times)), *tops, gives))


def line(outline: Outline) -> str:
    """A release of one model."""
    (node,) = outline.nodes
    takes, gives = (", ".join(map(_said_input, specs)) for specs in (outline.inputs, node.outputs))
    signature = f"{takes} -> {gives}" if takes else "its tensors are known once it is loaded"
    times = "; ".join((*_said_times(outline.times), *_said_times(node.times)))
    where = node.placement if node.placement is Placement.INLINE else ""
    return "  ".join(filter(None, (_heading(outline), where, node.format, node.source, signature, times)))


class _Parameters(BaseModel):
    profile_ms: dict[PositiveInt, NonNegativeFloat] = {}
    nodes_ms: dict[str, dict[PositiveInt, NonNegativeFloat]] = {}
    device: str = ""


class _Metadata(BaseModel):
    """What this command reads of a model's V2 metadata."""

    parameters: _Parameters = _Parameters()


def _chosen(file: Path, name: str | None) -> Sequence[tuple[ReleaseArgs, Placement]]:
    declared = good_file(file, checks_of((), artifacts=True))
    releases = [(release.args, Placement.FUSED) for release in declared.releases if release.args]
    releases += [(args, Placement.INLINE) for gateway in declared.gateways for _, args in gateway.inline]
    chosen = [(args, home) for args, home in releases if name in (None, args.release)]
    if name is not None and not chosen:
        known = ", ".join(args.release for args, _ in releases) or "none"
        raise CommandError(f"{file} has no release {name!r}; it has: {known}")
    return chosen


def _learned(server: Server, url: str, outline: Outline, missing: list[str]) -> Outline:
    """The outline with a server's times; what stops that is added to `missing`."""
    try:
        document = server.get(model_path(outline.model, outline.version)).document
        said_by = _Metadata.model_validate(document).parameters
    except CommandError as error:
        missing.append(f"{outline.release} at {url}: {error}")
        return outline
    except ValidationError:
        missing.append(f"{outline.release} at {url}: its metadata is not what this command can read")
        return outline
    device = f", on {said_by.device}" if said_by.device else ""
    nodes = {name: Times.of(ms, f"when {url} loaded it{device}") for name, ms in said_by.nodes_ms.items() if ms}
    return outline.with_times(Times.of(said_by.profile_ms, f"learned at {url}{device}"), nodes)


def _draw(path: Path, outlines: Sequence[Outline]) -> None:
    drawable = outlines if len(outlines) == 1 else [outline for outline in outlines if outline.is_graph]
    if len(drawable) != 1:
        names = ", ".join(outline.release for outline in outlines)
        raise CommandError(f"--svg draws one release; name one of: {names}")
    try:
        path.write_text(drawn(drawable[0]), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None


def _heading(outline: Outline) -> str:
    settings = f"  {'; '.join(map(str, outline.settings))}" if outline.settings else ""
    return f"{outline.release}{settings}"


def _facts(node: NodeOutline) -> list[str]:
    taken, given = "; ".join(map(_said_taken, node.inputs)), ", ".join(map(_said_input, node.outputs))
    return [
        f"{node.placement:<6} {node.reason}",
        *((f"set    {'; '.join(map(str, node.settings))}",) if node.settings else ()),
        *((f"takes  {taken}",) if taken else ()),
        f"gives  {given or 'what its model does, which is known once it is loaded'}",
        *_said_times(node.times),
    ]


def _said_input(spec: TensorSpec) -> str:
    return f"{spec.name} {said(spec)}"


def _said_taken(taken: Taken) -> str:
    name = "" if taken.name in ("", taken.reference) else f"{taken.name} = "
    return f"{name}{taken.reference}{f' {said(taken.spec)}' if taken.spec else ''}"


def _said_times(times: Sequence[Times]) -> list[str]:
    return [f"time   {one.said(_MOST_TIMES)} ({one.measured})" for one in times if one.by_rows]
