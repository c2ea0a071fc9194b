"""An outline as an SVG: boxes in the order of data, from left to right, coloured by where they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from textwrap import wrap
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from serve_app.graph.layout import Arrow, Box, Point, laid_out
from serve_app.graph.outline import Edge, NodeOutline, Outline, Times
from serve_app.graph.placement import Placement
from serve_app.graph.settings import cut
from serve_app.types import TensorSpec

MARGIN, PAD, LINE = 24.0, 14.0, 17.0
NARROWEST, GAP = 90.0, 60.0
MOST_CHARACTERS = 46  # of a line in a box, and of an arrow's label
MOST_LINES = 3  # of a setting
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NARROW, _WIDE = frozenset(" !'(),.:;I[]fijlrt|"), frozenset("MWmw@%→…")

_COLOURS = {
    Placement.FUSED: ("fused", "fused: in the process of the release"),
    Placement.INLINE: ("inline", "gateway inline: in the process of the gateway"),
    Placement.OWN: ("own", "own: replicas of its own"),
    Placement.REMOTE: ("remote", "remote: another server"),
}
_STYLE = """
text { font: 12px "DejaVu Sans", Verdana, sans-serif; fill: #475569 }
.name { font-weight: bold; font-size: 14px; fill: #0f172a }
.heading { font-weight: bold; font-size: 18px; fill: #0f172a }
.place { font-weight: bold; font-size: 11px }
.label { font-size: 11px }
.paper { fill: #ffffff }
.box { fill: #f8fafc; stroke: #cbd5e1 }
.arrow { fill: none; stroke: #64748b; stroke-width: 1.5 }
.branch { stroke-dasharray: 6 4 }
.head { fill: #64748b }
.tensor { fill: #94a3b8 }
.fused { fill: #2563eb }
.inline { fill: #059669 }
.own { fill: #d97706 }
.remote { fill: #9333ea }
@media (prefers-color-scheme: dark) {
  text { fill: #cbd5e1 }
  .name, .heading { fill: #f8fafc }
  .paper { fill: #0f172a }
  .box { fill: #1e293b; stroke: #475569 }
  .arrow { stroke: #94a3b8 }
  .head { fill: #94a3b8 }
  .fused { fill: #60a5fa }
  .inline { fill: #34d399 }
  .own { fill: #fbbf24 }
  .remote { fill: #c084fc }
}
"""


@dataclass(frozen=True, slots=True)
class _Card:
    """What a box says: its name, lines, and where it runs in that colour; `tip` is shown where the pointer rests."""

    name: str
    lines: tuple[str, ...]
    tip: str
    colour: str = "tensor"
    place: str = ""

    def box(self, key: str) -> Box:
        """Its size."""
        widest = max(1.25 * _width(self.name), 1.1 * _width(self.place), *map(_width, self.lines))
        lines = 1 + len(self.lines) + bool(self.place)
        return Box(key, max(NARROWEST, widest + 2 * PAD), lines * LINE + PAD)


def svg(outline: Outline) -> str:
    """The picture of a release, as the text of a file."""
    cards, edges = _cards(outline), {(edge.begin, edge.end): edge for edge in _edges(outline)}
    leads = {key: max((_width(_label(e)) for e in edges.values() if e.begin == key), default=0.0) for key in cards}
    gaps = {key: GAP + lead for key, lead in leads.items()}
    layout = laid_out([card.box(key) for key, card in cards.items()], list(edges), gaps)
    words, legend = _words(outline), _legend(outline)
    top = MARGIN + LINE * (len(words) + 2)
    width = max(layout.width, 1.5 * _width(outline.release), *map(_width, (*words, *legend.values()))) + 2 * MARGIN
    root = _canvas(width, top + layout.height + LINE * (len(legend) + 1) + MARGIN, outline.release)
    _text(root, (MARGIN, MARGIN + LINE), outline.release, "heading")
    for index, line in enumerate(words):
        _text(root, (MARGIN, MARGIN + LINE * (index + 2)), line)
    body = SubElement(root, "g", transform=f"translate({MARGIN:g} {top:g})")
    for arrow in layout.arrows:
        _draw_arrow(body, arrow, edges[arrow.begin, arrow.end], leads[arrow.begin])
    for key, card in cards.items():
        _draw_card(body, layout.boxes[key], card)
    for index, (colour, line) in enumerate(legend.items(), 2):
        y = top + layout.height + LINE * index
        if colour:
            _element(root, "rect", {"class": colour, "rx": "2"}, x=MARGIN, y=y - 10, width=12, height=12)
        _text(root, (MARGIN + 20, y), line)
    indent(root)
    return f"{tostring(root, encoding='unicode')}\n"


def _cards(outline: Outline) -> dict[str, _Card]:
    """Boxes by a key of their own: an output may be named as a node."""
    inputs = {spec.name: _tensor_card(spec.name, spec, "input") for spec in outline.inputs}
    nodes = {node.name: _node_card(node) for node in outline.nodes}
    outputs = {f"> {taken.name}": _tensor_card(taken.name, taken.spec, "output") for taken in outline.outputs}
    return {**inputs, **nodes, **outputs}


def _edges(outline: Outline) -> Iterator[Edge]:
    """Those of the outline, and to the outputs."""
    yield from outline.edges
    nodes = {node.name for node in outline.nodes}
    for taken in outline.outputs:
        node, _, output = taken.reference.partition(".")
        begin = node if node in nodes else taken.reference
        label = "" if output in ("y", taken.name) or begin != node else output
        yield Edge(begin, f"> {taken.name}", label, False)


def _tensor_card(name: str, spec: TensorSpec | None, what: str) -> _Card:
    lines = (f"{what} {spec.datatype}", str(list(spec.shape))) if spec else (what,)
    return _Card(name, lines, f"{what} {name}")


def _node_card(node: NodeOutline) -> _Card:
    source = node.source if len(node.source) <= MOST_CHARACTERS else f"…{node.source[1 - MOST_CHARACTERS :]}"
    lines = [" ".join(filter(None, (node.kind, node.format))), source]
    lines += map(str, node.settings)
    lines += [times.said(2) for times in node.times[:1]]
    shown = tuple(part for line in lines for part in wrap(line, MOST_CHARACTERS, max_lines=MOST_LINES, placeholder="…"))
    place = f"{node.placement} ({node.reason})" if node.placement is Placement.OWN else node.placement.value
    tip = f"{node.name}: {node.placement}, because {node.reason}"
    colour = _COLOURS[node.placement][0]
    return _Card(cut(node.name, MOST_CHARACTERS), shown, tip, colour, cut(place, MOST_CHARACTERS))


def _words(outline: Outline) -> list[str]:
    """What stands under the release's name."""
    settings = ", ".join(map(str, outline.settings))
    return [line for line in (settings, *(f"all of it: {_said(times)}" for times in outline.times[:1])) if line]


def _said(times: Times) -> str:
    return f"{times.said(4)} ({times.measured})"


def _legend(outline: Outline) -> Mapping[str, str]:
    """What colours mean, by class; without one, how the nodes' times were measured."""
    there = {node.placement for node in outline.nodes}
    colours = {colour: text for placement, (colour, text) in _COLOURS.items() if placement in there}
    measured = dict.fromkeys(node.times[0].measured for node in outline.nodes if node.times)
    return {**colours, **({"": f"times of nodes: {'; '.join(measured)}"} if measured else {})}


def _canvas(width: float, height: float, title: str) -> Element:
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
    SubElement(root, "title").text = _clean(title)
    SubElement(root, "style").text = _STYLE
    _element(root, "rect", {"class": "paper"}, x=0, y=0, width=width, height=height)
    return root


def _draw_card(parent: Element, box: Box, card: _Card) -> None:
    group = SubElement(parent, "g")
    SubElement(group, "title").text = _clean(card.tip)
    place = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    _element(group, "rect", {"class": "box", "rx": "6"}, **place)
    _element(group, "rect", {"class": card.colour, "rx": "3"}, **{**place, "width": 6})
    texts = [(card.name, "name"), *((line, "") for line in card.lines), (card.place, f"place {card.colour}")]
    for index, (text, kind) in enumerate(texts, 1):
        if text:
            _text(group, (box.x + PAD, box.y + index * LINE + PAD / 4), text, kind)


def _label(edge: Edge) -> str:
    return cut(edge.label, MOST_CHARACTERS)


def _draw_arrow(parent: Element, arrow: Arrow, edge: Edge, lead: float) -> None:
    """An arrow that goes straight for as long as the labels beside its beginning are."""
    (x, y), *between, (end_x, end_y) = arrow.points
    points = [(x, y), (x + lead, y), *between, (end_x - 8, end_y)]
    SubElement(parent, "path", {"class": "arrow branch" if edge.is_branch else "arrow", "d": _path(points)})
    SubElement(parent, "path", {"class": "head", "d": f"M{end_x:.1f} {end_y:.1f} l-9 -4.5 v9 z"})
    if edge.label:
        _text(parent, (x + 8, y - 4), _label(edge), "label")


def _path(points: Sequence[Point]) -> str:
    """A curve that is horizontal at every point."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (next_x, next_y) in pairwise(points):
        bend = (next_x - x) / 2
        parts.append(f"C{x + bend:.1f} {y:.1f} {next_x - bend:.1f} {next_y:.1f} {next_x:.1f} {next_y:.1f}")
    return " ".join(parts)


def _text(parent: Element, place: Point, text: str, kind: str = "") -> None:
    attributes = {"class": kind} if kind else {}
    element = SubElement(parent, "text", {"x": f"{place[0]:.1f}", "y": f"{place[1]:.1f}", **attributes})
    element.text = _clean(text)


def _element(parent: Element, tag: str, attributes: Mapping[str, str], **numbers: float) -> None:
    SubElement(parent, tag, {**attributes, **{name: f"{number:.1f}" for name, number in numbers.items()}})


def _clean(text: str) -> str:
    """Without what XML cannot have; ElementTree escapes the rest."""
    return _NOT_XML.sub("\ufffd", text)


def _width(text: str) -> float:
    """About how wide a text is at 12 px, rather more than less; fonts differ."""
    return sum(4.4 if character in _NARROW else 11.5 if character in _WIDE else 7.7 for character in text)
