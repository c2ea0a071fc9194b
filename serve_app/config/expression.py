"""Arithmetic over named counters, read from a file: numbers, names, + - * / and parentheses, and nothing else."""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping

COUNTERS = (
    "requests",
    "errors",
    "deadline_misses",
    "refused",
    "latency_ms_sum",
    "compared",
    "disagreed",
    "distance_sum",
    "dropped",
    "shadow_errors",
    "judged",
    "correct",
    "rewarded",
    "reward_sum",
)
"""What an expression may name: the counters of `serve_app.release.counts.ArmCounts`."""

_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


OF_COPIES = frozenset({"compared", "disagreed", "distance_sum", "dropped", "shadow_errors"})
"""Counters of requests that were copied to a version to compare its answers; the stable version has none."""


def names_in(expression: str) -> frozenset[str]:
    """The counters that an expression names.

    Raises:
        ValueError: It is no arithmetic over the known counters.
    """
    names = {node.id for node in ast.walk(_parsed(expression)) if isinstance(node, ast.Name)}
    if unknown := sorted(names - set(COUNTERS)):
        raise ValueError(f"expression names {unknown[0]!r}; there are: {', '.join(COUNTERS)}")
    if not names:
        raise ValueError(f"expression {expression!r} names no counter; there are: {', '.join(COUNTERS)}")
    return frozenset(names)


def evaluate(expression: str, counters: Mapping[str, float]) -> float | None:
    """The expression's value; None where it divides by zero or is too large for a number.

    Raises:
        ValueError: It is no arithmetic over the given counters.
    """
    try:
        value = _value(_parsed(expression), counters)
    except ZeroDivisionError:
        return None
    return value if math.isfinite(value) else None


def _parsed(expression: str) -> ast.expr:
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"expression {expression!r} is no arithmetic") from None
    for node in ast.walk(tree):
        if not isinstance(
            node, ast.BinOp | ast.UnaryOp | ast.Name | ast.Constant | ast.operator | ast.unaryop | ast.Load
        ):
            raise ValueError(f"expression {expression!r} has more than names, numbers, + - * / and parentheses")
        if isinstance(node, ast.BinOp) and type(node.op) not in _OPERATIONS:
            raise ValueError(f"expression {expression!r} has an operator that is none of + - * /")
        if isinstance(node, ast.UnaryOp) and not isinstance(node.op, ast.USub):
            raise ValueError(f"expression {expression!r} has a sign that is none of -")
        if isinstance(node, ast.Constant) and not _is_number(node.value):
            raise ValueError(f"expression {expression!r} has {node.value!r}, which is no number")
    return tree


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max  # a longer literal is infinite, or no float at all


def _value(node: ast.expr, counters: Mapping[str, float]) -> float:
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_value(node.left, counters), _value(node.right, counters))
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, counters)
    if isinstance(node, ast.Name):
        return float(counters[node.id])
    assert isinstance(node, ast.Constant)  # noqa: S101 - `_parsed` let nothing else through
    return float(node.value)  # type: ignore[arg-type]
