"""What commands can say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve_app.release.commands import Lock, Promote, Register, Scale, StartRollout


def test_traffic_sums_up_to_100():
    with pytest.raises(ValidationError, match="traffic weights sum up to 90, not to 100"):
        StartRollout(model="digits", traffic={"v1": 40, "v2": 50})


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Scale, {"min_replicas": 3, "max_replicas": 2}),
        (Scale, {"min_replicas": 0, "max_replicas": 2}),
        (Scale, {"max_replicas": 1001}),
        (Scale, {"max_replicas": True}),
        (Register, {"version": "v1", "source": ""}),
        (Register, {"version": "../v1", "source": "/m"}),
        (Promote, {"actor": "line\nbreak"}),
        (Promote, {"foce": True}),
    ],
)
def test_what_could_not_be_meant_is_refused(kind, fields):
    with pytest.raises(ValidationError):
        kind(model="digits", **fields)


def test_nobody_keeps_the_lock_for_hours():
    with pytest.raises(ValidationError):
        Lock(owner="ci", for_s=601)
