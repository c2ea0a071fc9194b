"""Goodput of a gateway and a release together, beyond what they hold: it stays, and little is executed in vain."""

from __future__ import annotations

from functools import cache

import pytest
from support.overload import Release, serve
from support.simulation import Outcome, bursts, poisson
from support.virtual_time import in_virtual_time

from serve_app.batching.coalescer import Bounds

SLO_S, LONG_S, SECONDS = 0.05, 0.5, 2


def conv_net(rows: int) -> float:
    """As the benchmarks' conv net on two cores: half a millisecond a row, and little besides."""
    return 0.00035 + 0.00047 * rows


def on_a_gpu(rows: int) -> float:
    """Much for an execution, and little for a row."""
    return 0.008 + 0.0001 * rows


def row_by_row(rows: int) -> float:
    return 0.005


def quick(rows: int) -> float:
    return 0.0006


RELEASES = {
    "conv net": Release(conv_net),
    "conv net on a noisy machine": Release(conv_net, spread=0.3, held_up=0.04),
    "on a GPU": Release(on_a_gpu, max_rows=16),
    "row by row": Release(row_by_row, max_rows=1),
    "quick, row by row": Release(quick, max_rows=1),
}


def outcome(release: Release, arrivals, call_rows: int | None = None) -> Outcome:
    bounds = Bounds(call_rows=call_rows or release.max_rows, calls_ahead=1)
    return in_virtual_time(lambda loop: serve(release, bounds, arrivals, loop))


@cache
def under(name: str, load: float, **more) -> Outcome:
    """A release under so many times what it holds in full batches."""
    return outcome(RELEASES[name], poisson(load * RELEASES[name].capacity_per_s, SECONDS, SLO_S), **more)


@pytest.mark.parametrize("load", [1.1, 1.5, 3.0])
@pytest.mark.parametrize("name", RELEASES)
def test_overload_leaves_the_goodput_as_it_is(name, load):
    assert under(name, load).in_time > 0.9 * under(name, 0.95).in_time
    assert under(name, 0.95).in_time > 0.75 * SECONDS * RELEASES[name].capacity_per_s


@pytest.mark.parametrize("name", RELEASES)
def test_what_is_executed_in_overload_is_answered_in_time(name):
    found = under(name, 3.0)
    assert found.in_time > 0.85 * sum(found.batches)
    assert found.late < 0.02 * found.offered


def test_a_queue_that_may_be_long_goes_in_full_batches_all_the_same():
    release = RELEASES["on a GPU"]
    found = outcome(release, poisson(1.5 * release.capacity_per_s, 2 * SECONDS, LONG_S))
    assert found.in_time > 0.97 * sum(found.batches) > 0.95 * 2 * SECONDS * release.capacity_per_s


@pytest.mark.parametrize("name", RELEASES)
def test_a_burst_leaves_nothing_behind(name):
    held = RELEASES[name].capacity_per_s
    found = outcome(RELEASES[name], bursts(0.2 * held, 2 * held, SECONDS, SLO_S))
    half_s = SECONDS / 2
    assert found.in_time > 0.9 * half_s * (0.2 * held + under(name, 0.95).in_time / SECONDS)


def test_what_is_held_is_answered_as_a_whole():
    quiet = Release(conv_net, held_up=0.0)
    found = outcome(quiet, poisson(0.8 * quiet.capacity_per_s, SECONDS, SLO_S))
    assert (found.late, found.refused) == (0, 0)
    assert found.in_time == sum(found.batches)


def test_a_call_of_several_batches_has_the_first_wait_for_the_last():
    """Why `Bounds.call_rows` is what a replica executes at once."""
    assert under("on a GPU", 0.95).in_time > 1.1 * under("on a GPU", 0.95, call_rows=4096).in_time
