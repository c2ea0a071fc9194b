from __future__ import annotations

import json

import pytest

from serve_app.errors import InvalidInput
from serve_app.protocol.v2_parameters import answered, explain, priority, timeout_s
from serve_app.types import InferenceResponse
from serve_app.visits import NodeVisit


@pytest.mark.parametrize(
    ("parameters", "header_s", "expected_s"),
    [({}, None, None), ({}, 2.0, 2.0), ({"timeout": 500_000}, None, 0.5), ({"timeout": 500_000}, 0.25, 0.25)],
)
def test_the_shorter_time_holds(parameters, header_s, expected_s):
    assert timeout_s(parameters, header_s) == expected_s


@pytest.mark.parametrize("wrong", [True, 0.5, "1"])
def test_a_timeout_is_whole_microseconds(wrong):
    with pytest.raises(InvalidInput, match=r"'timeout' is .*must be whole microseconds"):
        timeout_s({"timeout": wrong}, None)


@pytest.mark.parametrize(("parameters", "level"), [({}, 5), ({"priority": 0}, 5), ({"priority": 1}, 1)])
def test_no_priority_is_the_default(parameters, level):
    assert priority(parameters) == level


@pytest.mark.parametrize("wrong", [True, 10, -1, "1"])
def test_a_priority_is_a_level(wrong):
    with pytest.raises(InvalidInput, match=r"'priority' is .*from 0 \(the default\) to 9"):
        priority({"priority": wrong})


@pytest.mark.parametrize(
    ("parameters", "is_told", "expected"),
    [
        *(({}, False, False), ({}, True, True), ({"explain": False}, True, True)),
        *(({"explain": value}, False, True) for value in (True, 1, "1", "true")),
        *(({"explain": value}, False, False) for value in (False, 0, "0", "false")),
    ],
)
def test_an_explanation_is_asked_for_by_a_parameter_or_before_it(parameters, is_told, expected):
    assert explain(parameters, is_told) is expected


@pytest.mark.parametrize("wrong", [2, 1.0, "yes", "True", ""])
def test_a_parameter_that_is_neither_yes_nor_no_is_named(wrong):
    with pytest.raises(InvalidInput, match=rf"parameter 'explain' is '{wrong}', must be 1, true, 0 or false"):
        explain({"explain": wrong}, True)


def test_an_answer_says_only_what_there_is_to_say():
    assert answered(InferenceResponse("m", "v1", {})) == {}
    whole = InferenceResponse("m", "v1", {}, left_out={"e.a": "why"}, visits=(NodeVisit("n", 1, 0.0, 1.0, 1),))
    said = answered(whole)
    assert (list(said), said["left_out"]) == (["left_out", "explanation"], "e.a: why")
    assert [node["node"] for node in json.loads(said["explanation"])["nodes"]] == ["n"]
