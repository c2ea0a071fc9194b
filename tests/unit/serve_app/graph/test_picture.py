"""The SVG of an outline: what is in it, and that it is one whatever the names are."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree.ElementTree import Element, fromstring

import pytest

from serve_app.datatypes import Datatype
from serve_app.graph.outline import Edge, NodeOutline, Outline, Taken, Times
from serve_app.graph.picture import MOST_CHARACTERS, svg
from serve_app.graph.placement import Placement
from serve_app.graph.settings import Setting
from serve_app.types import TensorSpec

SVG = "{http://www.w3.org/2000/svg}"
X, Y = TensorSpec("x", Datatype.FP32, (-1, 2)), TensorSpec("y", Datatype.FP32, (-1,))


def node(name, **changes) -> NodeOutline:
    taken = (Taken("x", "x", X),)
    plain = NodeOutline(name, "model", "", Placement.FUSED, "why", f"models/{name}/v1", "onnx", (), taken, (Y,))
    return replace(plain, **changes)


def outline(*nodes, edges=None, **changes) -> Outline:
    straight = edges or tuple(Edge("x", one.name, "", False) for one in nodes)
    outputs = tuple(Taken(one.name, f"{one.name}.y", Y) for one in nodes)
    return replace(Outline("m", "v1", "m-v1", True, (), (X,), nodes, straight, outputs), **changes)


def drawn(*nodes, **changes) -> Element:
    return fromstring(svg(outline(*nodes, **changes)))  # noqa: S314 - our own text


def texts(root) -> list[str]:
    return [element.text for element in root.iter(f"{SVG}text")]


def classes(root, tag) -> list[str]:
    return [element.get("class") for element in root.iter(f"{SVG}{tag}")]


def test_placements_versions_settings_and_times_are_in_it():
    times = (Times.of({1: 0.25, 8: 0.5}, "learned far away"), Times.of({1: 9.0}, "long ago"))
    far = node("far", kind="remote", placement=Placement.REMOTE, source="grpc://far:1/m", format="")
    near = node(
        "near", placement=Placement.OWN, reason="auto: retries 2", settings=(Setting("retries", "2"),), times=times
    )
    root = drawn(far, near, node("here"), node("door", placement=Placement.INLINE))
    said = texts(root)
    for text in (
        "m-v1",
        "near",
        "model onnx",
        "models/near/v1",
        "retries 2",
        "own (auto: retries 2)",
        "grpc://far:1/m",
    ):
        assert text in said
    assert "0.25 ms for 1 row, 0.5 ms for 8 rows" in said
    assert [text for text in said if text.startswith("times of nodes")] == ["times of nodes: learned far away"]
    assert {"remote", "own (auto: retries 2)", "fused", "gateway inline"} <= {*said}
    assert {"remote", "own", "fused", "inline", "tensor", "box", "paper"} == {*classes(root, "rect")}
    assert "near: own, because auto: retries 2" in [element.text for element in root.iter(f"{SVG}title")]


def test_only_placements_that_are_there_are_explained():
    assert [text for text in texts(drawn(node("a"))) if ": " in text] == ["fused: in the process of the release"]


def test_what_is_said_about_the_whole_stands_under_its_name():
    root = drawn(node("a"), settings=(Setting("slo_ms", "20"),), times=(Times.of({1: 2.0}, "learned"),))
    assert texts(root)[:3] == ["m-v1", "slo_ms 20", "all of it: 2 ms for 1 row (learned)"]


def test_every_edge_is_an_arrow_and_branches_are_dashed():
    edges = (Edge("x", "a", "", False), Edge("x", "b", "", True), Edge("b", "a", "else", True))
    root = drawn(node("a"), node("b"), edges=edges)
    assert sorted(classes(root, "path")) == ["arrow"] * 3 + ["arrow branch"] * 2 + ["head"] * 5
    assert "else" in texts(root)


def test_an_output_may_be_named_as_a_node_and_may_be_an_input():
    outputs = (Taken("a", "a.y", Y), Taken("raw", "x", X), Taken("far", "a.z", None))
    assert [text for text in texts(drawn(node("a"), outputs=outputs)) if text in ("a", "raw", "far", "z")] == [
        "z",
        "a",
        "a",
        "raw",
        "far",
    ]


@pytest.mark.parametrize("text", ["<script>&\"'", "]]>", "\x00\x1b[31m\x0c", "\ud800", "￾", "中文字", "x" * 300])
def test_any_text_makes_a_picture(text):
    odd = node("a", source=text, reason=text, settings=(Setting("key", text),))
    root = drawn(odd, settings=(Setting("key", text),), edges=(Edge("x", "a", text, True),))
    assert [element.tag for element in root.iter() if "script" in element.tag] == []
    boxed = [t for t in texts(root) if t and not t.startswith("key")]
    assert max(map(len, boxed)) <= max(MOST_CHARACTERS, len("fused: in the process of the release"))


def test_everything_is_inside_the_paper():
    root = drawn(*(node(f"node{index}") for index in range(12)), settings=(Setting("key", "w" * 90),))
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    for group in root.iter(f"{SVG}g"):
        left, top = map(float, re.findall(r"[\d.]+", group.get("transform", "0 0")))
        for rect in group.iter(f"{SVG}rect"):
            x, y, wide, high = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
            assert 0 <= left + x <= left + x + wide <= width
            assert 0 <= top + y <= top + y + high <= height
    assert max(float(text.get("y")) for text in root.iter(f"{SVG}text")) < height


def test_it_can_be_read_in_the_dark_and_asks_for_nothing_from_elsewhere():
    text = svg(outline(node("a")))
    assert "@media (prefers-color-scheme: dark)" in text
    assert re.findall(r"https?://[^\"\s]+", text) == ["http://www.w3.org/2000/svg"]
