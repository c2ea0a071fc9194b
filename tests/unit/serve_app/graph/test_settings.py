"""Settings in a few words."""

import pytest
from pydantic import TypeAdapter

from serve_app.config.graph import Node
from serve_app.config.release import ReleaseArgs
from serve_app.graph.settings import cut, said, settings_of

PIXELS = {"kind": "transform", "name": "t", "input": "x"}
STEPS = [
    {"op": "standardise", "mean": [0.5] * 9, "std": [1.0] * 9},
    {"op": "clip", "min": 0, "max": 1},
    {"op": "argmax"},
]


def of(**node):
    return [str(setting) for setting in settings_of(TypeAdapter(Node).validate_python(node))]


def test_edges_are_no_settings_and_what_is_nothing_is_not_said():
    assert of(kind="model", name="m", source="s", inputs={"x": "y"}, placement="own") == []
    assert of(kind="model", name="m", source="s", timeout_ms=50, retries=2) == ["timeout_ms 50", "retries 2"]


def test_defaults_that_have_an_effect_are_said():
    y = {"name": "y", "datatype": "FP32", "shape": [-1]}
    remote = of(kind="remote", name="r", url="far:8001", model="m", inputs={"x": "x"}, outputs=[y])
    assert remote == ["timeout_ms 1000"]


def test_a_zero_that_somebody_wrote_is_said():
    cascade = of(kind="cascade", name="c", first="a", then="b", confidence="p", threshold=0)
    assert cascade == ["confidence p", "threshold 0"]


def test_steps_are_a_chain_and_long_lists_are_counted():
    (steps,) = of(**PIXELS, steps=STEPS)
    assert steps.startswith(
        "steps standardise(mean 0.5, 0.5, 0.5, 0.5, … (9), std 1, 1, 1, 1, … (9)) → clip(min 0, max 1)"
    )
    assert of(**PIXELS, steps=STEPS[1:]) == ["steps clip(min 0, max 1) → argmax"]


def test_of_a_release_only_what_its_file_says():
    args = ReleaseArgs.model_validate(
        {"model": "m", "version": "v1", "source": "s", "slo_ms": 20, "batching": {"max_rows": 8}}
    )
    assert [str(setting) for setting in settings_of(args, only_given=True)] == ["slo_ms 20", "batching max_rows 8"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (0.25, "0.25"),
        (64.0, "64"),
        ({"a": 1, "b": None}, "a 1"),
        ([1, 2], "1, 2"),
        ("t", "t"),
    ],
)
def test_values_are_said_as_people_say_them(value, text):
    assert said(value) == text


def test_a_text_is_cut_to_its_length():
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
