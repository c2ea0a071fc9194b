"""When a start counts as over."""

from __future__ import annotations

import time

import pytest

from load_tests import start
from load_tests.start import is_right, seconds_until
from load_tests.target import HostUnavailable


def test_nobody_at_the_port_is_no_answer():
    assert not is_right("http://127.0.0.1:9", [0.0] * 64, 1)


def test_the_time_counts_from_the_command():
    assert seconds_until(lambda: True, time.perf_counter() - 5, "an answer") == pytest.approx(5, abs=0.5)


def test_what_never_comes_is_told(monkeypatch):
    monkeypatch.setattr(start, "LIMIT_S", 0.05)
    with pytest.raises(HostUnavailable, match=r"an answer did not come within 0\.05 s"):
        seconds_until(lambda: False, 0.0, "an answer")
