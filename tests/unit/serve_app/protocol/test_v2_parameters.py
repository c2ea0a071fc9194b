from __future__ import annotations

import pytest

from serve_app.errors import InvalidInput
from serve_app.protocol.v2_parameters import priority, timeout_s


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
