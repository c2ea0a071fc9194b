"""Counters by window and version: every outcome in its place, and a window that ended is told once more."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from serve_app.data_plane.arms import MOST_HOMES, Arms
from serve_app.data_plane.in_effect import InEffect
from serve_app.errors import (
    DeadlineExceeded,
    DeadlineUnreachable,
    InvalidInput,
    ModelNotReady,
    ModelRaised,
    Overloaded,
    ReplicaLost,
)
from serve_app.release.counts import ArmCounts


def holds(window: str) -> InEffect:
    return InEffect(window, {"v1": 100}, {}, (), frozenset({"v1"}), remembers=False, home="home")


class Gateway:
    """Arms over what a test says is in effect."""

    def __init__(self, **windows: str) -> None:
        self.set(**windows)
        self.arms = Arms(lambda: self.now)

    def set(self, **windows: str) -> None:
        self.now = {model: holds(window) for model, window in windows.items()}

    def requests(self) -> dict[str, dict[str, int]]:
        return {
            window: {version: arm.requests for version, arm in arms.items()}
            for window, arms in self.arms.read().items()
        }


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ModelRaised("cats-v1", "13"), {"requests": 1, "errors": 1}),
        (ReplicaLost("cats-v1"), {"requests": 1, "errors": 1}),
        (KeyError("ours"), {"requests": 1, "errors": 1}),
        (DeadlineExceeded("cats-v1", 1.0), {"requests": 1, "deadline_misses": 1}),
        (DeadlineUnreachable("cats-v1", 2.0, 1.0), {"requests": 1, "deadline_misses": 1}),
        (Overloaded("cats-v1", 8), {"requests": 1, "refused": 1}),
        (ModelNotReady("cats", "v1", "it is starting"), {"requests": 1, "refused": 1}),
        (InvalidInput("input 'x'", "is missing"), None),
        (asyncio.CancelledError(), None),
        (GeneratorExit(), None),
    ],
)
def test_every_outcome_has_its_counter_and_what_is_the_clients_has_none(error, counted):
    gateway = Gateway(cats="w1")
    gateway.arms.failed("cats", "v1", error)
    assert gateway.arms.read() == ({"w1": {"v1": ArmCounts(**counted)}} if counted else {})


def test_answers_are_counted_with_their_milliseconds():
    gateway = Gateway(cats="w1")
    gateway.arms.answered("cats", "v1", 0.004)
    gateway.arms.answered("cats", "v1", 0.002)
    arm = gateway.arms.read()["w1"]["v1"]
    assert (arm.requests, arm.latency_ms_sum, arm.latency_ms_squares) == (2, 6, 20)


@pytest.mark.parametrize("version", ["", "unknown"])
def test_a_request_that_never_had_a_version_is_nobodys(version):
    gateway = Gateway(cats="w1")
    gateway.arms.failed("cats", version, ModelNotReady("cats", "", "none is"))
    gateway.arms.failed("dogs", "v1", ModelRaised("dogs-v1", "13"))
    assert gateway.arms.read() == {}


def test_what_was_read_does_not_change_any_more():
    gateway = Gateway(cats="w1")
    gateway.arms.answered("cats", "v1", 0.004)
    read = gateway.arms.read()
    gateway.arms.answered("cats", "v1", 0.004)
    assert read["w1"]["v1"].requests == 1
    assert list(read["w1"]["v1"].latency.values()) == [1]


def test_a_window_that_ended_is_told_until_the_controller_has_it_and_then_forgotten():
    gateway = Gateway(cats="w1")
    gateway.arms.answered("cats", "v1", 0.001)
    assert gateway.requests() == {"w1": {"v1": 1}}
    gateway.set(cats="w2")
    gateway.arms.told()  # of what was read before it ended
    gateway.arms.answered("cats", "v2", 0.001)
    assert gateway.requests() == {"w1": {"v1": 1}, "w2": {"v2": 1}}
    assert gateway.requests() == {"w1": {"v1": 1}, "w2": {"v2": 1}}
    gateway.arms.told()
    assert gateway.requests() == {"w2": {"v2": 1}}


def test_a_window_that_comes_back_at_once_goes_on_where_it_was():
    gateway = Gateway(cats="w1")
    gateway.arms.answered("cats", "v1", 0.001)
    gateway.set(cats="w2")
    gateway.arms.answered("cats", "v1", 0.001)
    gateway.set(cats="w1")
    gateway.arms.answered("cats", "v1", 0.001)
    assert gateway.requests() == {"w2": {"v1": 1}, "w1": {"v1": 2}}


def test_no_more_than_two_windows_of_a_model_are_kept():
    gateway = Gateway(cats="w1")
    for window in ("w1", "w2", "w3"):
        gateway.set(cats=window)
        gateway.arms.answered("cats", "v1", 0.001)
    assert gateway.requests() == {"w2": {"v1": 1}, "w3": {"v1": 1}}


def test_a_model_that_is_no_longer_served_is_told_once_more():
    gateway = Gateway(cats="w1")
    gateway.arms.answered("cats", "v1", 0.001)
    gateway.set(dogs="w9")
    assert gateway.requests() == {"w1": {"v1": 1}}
    gateway.arms.told()
    assert gateway.requests() == {}


def test_the_window_without_a_rollout_goes_on_where_it_was_however_long_the_rollout_took():
    gateway = Gateway(cats="home")
    gateway.arms.answered("cats", "v1", 0.001)
    for stage in ("stage-1", "stage-2", "stage-3"):
        gateway.set(cats=stage)
        gateway.arms.answered("cats", "v1", 0.001)
        gateway.requests()
        gateway.arms.told()
    gateway.set(cats="home")
    gateway.arms.answered("cats", "v1", 0.001)
    assert gateway.requests() == {"stage-3": {"v1": 1}, "home": {"v1": 2}}


def test_no_more_than_some_windows_may_come_back():
    gateway = Gateway()
    for window in range(MOST_HOMES + 2):
        gateway.now = {"cats": replace(holds(str(window)), home=str(window))}
        gateway.arms.answered("cats", "v1", 0.001)
    gateway.requests()
    gateway.arms.told()
    for window, requests in ((MOST_HOMES - 1, 2), (0, 1)):
        gateway.now = {"cats": replace(holds(str(window)), home=str(window))}
        gateway.arms.answered("cats", "v1", 0.001)
        assert gateway.requests()[str(window)] == {"v1": requests}
