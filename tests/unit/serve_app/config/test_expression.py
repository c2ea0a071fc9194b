"""Expressions over counters: arithmetic, and nothing else."""

from dataclasses import fields

import pytest

from serve_app.config.expression import COUNTERS, OF_COPIES, evaluate, names_in
from serve_app.release.counts import ArmCounts

COUNTS = {"requests": 10, "errors": 2, "refused": 3}


def test_every_name_is_a_counter():
    assert set(COUNTERS) <= {field.name for field in fields(ArmCounts)}
    assert set(COUNTERS) > OF_COPIES


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("errors / requests", 0.2),
        ("errors + refused * 2", 8.0),
        ("(errors + refused) * 2", 10.0),
        ("-errors - -refused", 1.0),
        (" 1e2*errors ", 200.0),
        ("10 - refused / 2", 8.5),
    ],
)
def test_arithmetic_has_its_usual_meaning(expression, value):
    assert evaluate(expression, COUNTS) == pytest.approx(value)


def test_a_division_by_zero_has_no_value():
    assert evaluate("errors / requests", {"errors": 1, "requests": 0}) is None
    assert evaluate("errors / (requests - requests)", COUNTS) is None


def test_what_is_too_large_for_a_number_has_no_value():
    assert evaluate("requests * 1e308 * 10", COUNTS) is None


def test_names_are_those_of_the_expression():
    assert names_in("errors / (requests + errors)") == {"errors", "requests"}


def test_longest_expressions_are_read():
    assert evaluate("-" * 400 + "errors", COUNTS) == 2.0
    assert evaluate("+".join(["errors"] * 71), COUNTS) == 142.0


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "is no arithmetic"),
        ("errors /", "is no arithmetic"),
        ("(" * 250 + "errors" + ")" * 250, "is no arithmetic"),
        ("errors = 1", "is no arithmetic"),
        ("errors\n+ 1", "is no arithmetic"),
        ("error", "names 'error'; there are: requests, errors"),
        ("1 + 1", "names no counter"),
        ("errors ** 2", "an operator that is none of"),
        ("errors // 2", "an operator that is none of"),
        ("errors % 2", "an operator that is none of"),
        ("+errors", "a sign that is none of -"),
        ("not errors", "a sign that is none of -"),
        ("errors > 1", "more than names, numbers"),
        ("errors if errors else 1", "more than names, numbers"),
        ("max(errors, 1)", "more than names, numbers"),
        ("errors.real", "more than names, numbers"),
        ("errors[0]", "more than names, numbers"),
        ("[errors]", "more than names, numbers"),
        ("(errors := 1)", "more than names, numbers"),
        ("lambda: errors", "more than names, numbers"),
        ("errors * True", "has True, which is no number"),
        ("errors * False", "has False, which is no number"),
        ("errors * None", "has None, which is no number"),
        ("errors * 'a'", "has 'a', which is no number"),
        ("errors * 1j", "has 1j, which is no number"),
        ("errors * 1e999", "has inf, which is no number"),
        ("errors * 1" + "0" * 400, "which is no number"),
        ("errors * ...", "has Ellipsis, which is no number"),
        ("errors\x00", "is no arithmetic"),
    ],
)
def test_anything_else_is_refused_with_its_reason(expression, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("*", r"\*")):
        names_in(expression)
