"""What fits what: signatures beside each other."""

from __future__ import annotations

import pytest

from serve_app.config.graph import EnsembleNode
from serve_app.datatypes import Datatype
from serve_app.graph.fitting import combined, mismatch, other_outputs, said, uncombined
from serve_app.types import TensorSpec


def spec(*shape, name="t", datatype=Datatype.FP32, labels=()):
    return TensorSpec(name, datatype, (-1, *shape), labels)


@pytest.mark.parametrize(
    ("have", "want", "fits"),
    [
        (spec(3), spec(3), True),
        (spec(3), spec(-1), True),
        (spec(-1), spec(3), False),
        (spec(3), spec(4), False),
        (spec(3), spec(3, 1), False),
        (spec(3), spec(3, datatype=Datatype.FP64), False),
    ],
)
def test_a_free_axis_takes_any_length_and_fills_no_fixed_one(have, want, fits):
    assert (mismatch("n.t", have, want) == "") == fits
    assert fits or said(have) in mismatch("n.t", have, want)


def test_outputs_that_differ_are_each_told():
    other = (spec(3, name="a"), spec(2, name="b"))
    assert other_outputs(("n", (spec(3, name="a"),)), ("m", other)) == []
    assert other_outputs(("n", (spec(4, name="a"), spec(name="c"))), ("m", other)) == [
        "n.a is FP32 [-1, 4], m has FP32 [-1, 3]",
        "n.c is FP32 [-1], m has nothing of that name",
    ]


def ensemble(method):
    return EnsembleNode(kind="ensemble", name="e", method=method, members=("a.t", "b.t"))


def test_members_of_a_stack_may_differ_in_their_last_axis_only():
    members = [spec(3, labels=("x", "y", "z")), spec(4)]
    assert uncombined(ensemble("stack"), members) == []
    assert uncombined(ensemble("mean"), members) == [(1, "b.t is FP32 [-1, 4], but a.t is FP32 [-1, 3]")]
    assert combined(ensemble("stack"), members, "y") == spec(7, name="y")
    assert combined(ensemble("stack"), [spec(3), spec(-1)], "y") == spec(-1, name="y")
    assert combined(ensemble("mean"), members[:1] * 2, "y") == spec(3, name="y", labels=("x", "y", "z"))
