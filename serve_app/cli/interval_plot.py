"""Estimates with their intervals, on one axis a metric: as text for a terminal, and as an SVG."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, indent, tostring

WIDTH = 48
_LEFT, _AXIS, _RIGHT, _LINE, _TOP = 210.0, 380.0, 190.0, 26.0, 64.0
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_STYLE = """
text { font: 12px "DejaVu Sans", Verdana, sans-serif; fill: #334155 }
.heading { font-weight: bold; font-size: 16px; fill: #0f172a }
.metric { font-weight: bold; fill: #0f172a }
.paper { fill: #ffffff }
.axis { stroke: #cbd5e1 }
.interval { stroke: #2563eb; stroke-width: 2 }
.value { fill: #2563eb }
@media (prefers-color-scheme: dark) {
  text { fill: #cbd5e1 }
  .heading, .metric { fill: #f8fafc }
  .paper { fill: #0f172a }
  .axis { stroke: #475569 }
  .interval { stroke: #60a5fa }
  .value { fill: #60a5fa }
}
"""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and how far it may be off; `low` <= `value` <= `high`."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Panel:
    """What shares an axis."""

    title: str
    intervals: tuple[Interval, ...]

    @property
    def bounds(self) -> tuple[float, float]:
        """The axis' ends; they differ."""
        low = min(interval.low for interval in self.intervals)
        high = max(interval.high for interval in self.intervals)
        return (low, high) if high > low else (low - 0.5, high + 0.5)

    def place(self, number: float) -> float:
        """Where a number is on the axis, from 0 to 1."""
        low, high = self.bounds
        return (min(max(number, low), high) - low) / (high - low)


def text_lines(panels: Sequence[Panel], width: int = WIDTH) -> Iterator[str]:
    """Each panel as lines: `|----o----|`, and under them the axis' ends."""
    for panel in panels:
        names = max(len(interval.name) for interval in panel.intervals)
        yield panel.title
        for interval in panel.intervals:
            yield f"  {interval.name:<{names}}  {_drawn(panel, interval, width)}"
        low, high = (f"{bound:.4g}" for bound in panel.bounds)
        yield f"  {'':<{names}}  {low}{high:>{width - len(low)}}"


def svg(heading: str, panels: Sequence[Panel]) -> str:
    """The same as the text of a file."""
    lines = sum(len(panel.intervals) + 2 for panel in panels)
    width, height = _LEFT + _AXIS + _RIGHT, _TOP + _LINE * lines
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
    SubElement(root, "title").text = _clean(heading)
    SubElement(root, "style").text = _STYLE
    SubElement(root, "rect", {"class": "paper", "width": f"{width:g}", "height": f"{height:g}"})
    _text(root, (24, 36), heading, "heading")
    y = _TOP
    for panel in panels:
        _text(root, (24, y), panel.title, "metric")
        for interval in panel.intervals:
            y += _LINE
            _draw(root, panel, interval, y)
        y += _LINE
        for bound, x in zip(panel.bounds, (_LEFT, _LEFT + _AXIS), strict=True):
            _text(root, (x, y - 6), f"{bound:.4g}", "end")
        y += _LINE
    indent(root)
    return f"{tostring(root, encoding='unicode')}\n"


def _drawn(panel: Panel, interval: Interval, width: int) -> str:
    low, value, high = (round(panel.place(n) * (width - 1)) for n in (interval.low, interval.value, interval.high))
    cells = [" "] * width
    cells[low : high + 1] = ["-"] * (high + 1 - low)
    cells[low] = cells[high] = "|"
    cells[value] = "o"
    return "".join(cells).rstrip()


def _draw(root: Element, panel: Panel, interval: Interval, y: float) -> None:
    low, value, high = (_LEFT + panel.place(n) * _AXIS for n in (interval.low, interval.value, interval.high))
    group = SubElement(root, "g")
    SubElement(group, "title").text = _clean(f"{interval.name}: {_said(interval)}")
    _line(group, "axis", (_LEFT, y), (_LEFT + _AXIS, y))
    _line(group, "interval", (low, y), (high, y))
    for x in (low, high):
        _line(group, "interval", (x, y - 5), (x, y + 5))
    SubElement(group, "circle", {"class": "value", "cx": f"{value:.1f}", "cy": f"{y:.1f}", "r": "4"})
    _text(group, (40, y + 4), interval.name)
    _text(group, (_LEFT + _AXIS + 16, y + 4), _said(interval))


def _said(interval: Interval) -> str:
    return f"{interval.value:.4g} [{interval.low:.4g}, {interval.high:.4g}]"


def _line(parent: Element, kind: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    ends = {"x1": begin[0], "y1": begin[1], "x2": end[0], "y2": end[1]}
    SubElement(parent, "line", {"class": kind, **{name: f"{number:.1f}" for name, number in ends.items()}})


def _text(parent: Element, place: tuple[float, float], text: str, kind: str = "") -> None:
    attributes = {"x": f"{place[0]:.1f}", "y": f"{place[1]:.1f}", **({"class": kind} if kind else {})}
    SubElement(parent, "text", attributes).text = _clean(text)


def _clean(text: str) -> str:
    """Without what XML cannot have; ElementTree escapes the rest."""
    return _NOT_XML.sub("\ufffd", text)
