"""The delay of the event loop, and what it makes the doors refuse."""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np
import pytest
from support.arithmetic import Executor, rows
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.data_plane import loop_lag
from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.loop_lag import PASSES, PASSES_IN_ALL, PERIOD_S, LoopLag
from serve_app.errors import DeadlineUnreachable
from serve_app.protocol.call import Call
from serve_app.types import InferenceRequest

TRAFFIC = table(arithmetic={"traffic": {"v1": 100}})


class Loop:
    """Passes take as long as it is told."""

    def __init__(self) -> None:
        self.now, self.ready, self.timers = 0.0, deque(), []

    def time(self) -> float:
        return self.now

    def call_later(self, delay, callback, *args):
        self.timers.append((self.now + delay, callback, args))
        return self.timers[-1]

    def call_soon(self, callback, *args):
        self.ready.append((callback, args))
        return self.ready[-1]

    def run(self, pass_s: float) -> None:
        ready, self.ready = self.ready, deque()
        for callback, args in ready:
            callback(*args)
        self.now += pass_s
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, callback, args in due:
            callback(*args)


def lag_of(*passes_s: float) -> LoopLag:
    loop, lag = Loop(), LoopLag()
    for pass_s in passes_s:
        before, loop.now = loop.now, loop.now + pass_s
        lag._came_round(loop, before)
    return lag


def test_a_lag_is_what_two_passes_in_a_row_take_at_least():
    assert lag_of(0.02, 0.03).lag_s == pytest.approx(0.02)
    assert lag_of(0.02, 0.03, 0.005).lag_s == pytest.approx(0.005)


def test_one_long_pass_is_a_pause_and_no_lag():
    lag = lag_of(0.0, 0.05)
    assert lag.lag_s == 0.0
    assert not lag.is_behind


def test_what_a_request_waits_for():
    lag = lag_of(0.004, 0.004)
    assert lag.is_behind
    assert lag.lost_s == pytest.approx(PASSES * 0.004)
    assert lag.whole_wait_s == pytest.approx(PASSES_IN_ALL * 0.004)


def test_a_loop_that_keeps_up_is_looked_at_by_a_timer():
    loop, lag = Loop(), LoopLag()
    lag._loop = loop
    looks = []
    for _ in range(200):
        lag.request_came()
        loop.run(PERIOD_S / 20)
        looks.append(len(loop.ready))
    assert 8 <= sum(looks) / 2 <= 12  # each look is two calls in a row
    assert lag.lag_s == pytest.approx(PERIOD_S / 20)


def test_an_idle_loop_is_left_alone_until_the_next_request():
    loop, lag = Loop(), LoopLag()
    lag._loop = loop
    for _ in range(2):
        lag.request_came()
        assert len(loop.timers) == 1
        for _ in range(60):
            loop.run(PERIOD_S / 20)
        assert not loop.timers
        assert not loop.ready


def test_a_loop_that_is_behind_is_looked_at_also_while_nothing_gets_through():
    loop, lag = Loop(), LoopLag()
    lag._loop = loop
    lag.request_came()
    for _ in range(20):
        loop.run(2 * PERIOD_S)
    assert lag.is_behind
    assert lag.lag_s == pytest.approx(2 * PERIOD_S)


async def test_it_runs_until_it_is_stopped():
    loop, lag = asyncio.get_running_loop(), LoopLag()
    lag.start()
    assert lag._next is None
    lag.request_came()
    first = lag._next
    lag.request_came()
    assert lag._next is first
    await until(lambda: lag._next is not first and isinstance(lag._next, asyncio.TimerHandle))
    assert lag._next.when() > loop.time()
    lag.stop()
    assert lag._next.cancelled()
    lag._next = None
    lag.request_came()
    assert lag._next is None


@pytest.mark.parametrize(
    ("lag_ms", "allowed_s", "share"),
    [
        (0, 0.05, 0.0),
        (1.875, 0.05, 0.0),
        (4.0625, 0.05, 0.5),
        (6.25, 0.05, 1.0),
        (50, 0.05, 1.0),
        (6.25, 30.0, 0.0),
        (6.25, 0.1, 2 / 7),
    ],
)
def test_the_more_of_its_time_a_request_would_wait_the_more_are_refused(lag_ms, allowed_s, share):
    lag = LoopLag()
    lag.lag_s = lag_ms / 1000
    assert lag.share_to_refuse(allowed_s) == pytest.approx(share, abs=1e-9)


async def test_what_is_turned_away_leaves_the_split_as_it_is():
    """The version with the shorter objective would lose more than its share."""
    traffic = table(arithmetic={"traffic": {"v1": 50, "v2": 50}})
    cluster = LocalCluster(Executor("v1"), Executor("v2", slo_ms=50))
    async with plane_of(cluster, traffic) as plane:
        plane._lag.stop()
        plane._lag.lag_s = 0.005
        for _ in range(200):
            plane.turn_away(Call("arithmetic"))  # v1 allows 30 s
        plane._lag.lag_s = 60.0
        with pytest.raises(DeadlineUnreachable):
            plane.turn_away(Call("arithmetic", "v2"))


def test_while_it_refuses_other_threads_get_their_turn(monkeypatch):
    slept = []
    monkeypatch.setattr(loop_lag.time, "sleep", slept.append)
    loop, lag = Loop(), LoopLag()
    for pass_s in (0.004, 0.004, 0.1):
        loop.now += pass_s
        lag._came_round(loop, loop.now - pass_s)
        assert slept == []
    lag.lag_s = 0.005
    lag.share_to_refuse(30.0)
    lag._came_round(loop, loop.now - 0.004)
    assert slept == []
    for pass_s, let_go_s in ((0.004, 0.0004), (0.1, 0.001)):
        lag.lag_s = 0.005
        lag.share_to_refuse(0.05)
        lag._came_round(loop, loop.now - pass_s)
        assert slept.pop() == pytest.approx(let_go_s)
        lag._came_round(loop, loop.now - pass_s)
        assert slept == []


async def test_a_request_whose_time_the_loop_takes_is_refused_at_once_and_others_are_not():
    request = InferenceRequest("arithmetic", {"x": rows(1)}, timeout_s=0.05)
    async with plane_of(LocalCluster(Executor("v1", slo_ms=60_000)), TRAFFIC) as plane:
        plane._lag.stop()
        plane._lag.lag_s = 0.02
        with pytest.raises(DeadlineUnreachable, match="work ahead for about 60 ms, the request allows 50 ms"):
            await plane.infer(request)
        plane._lag.lag_s = 0.01
        assert (await plane.infer(request)).outputs["total"].tolist() == [3]


async def test_of_unread_calls_the_share_is_turned_away_and_accounted_for():
    points = iter(np.arange(2000) % 100 / 100)
    async with plane_of(LocalCluster(Executor("v1")), TRAFFIC, random_point=lambda: next(points)) as plane:
        plane._lag.stop()
        plane._lag.lag_s = 0.0040625
        refused = []
        for _ in range(500):
            try:
                plane.turn_away(Call("arithmetic", timeout_s=0.05))
            except DeadlineUnreachable as error:
                refused.append(str(error).partition(";")[0])
        assert refused == ["arithmetic-v1 has work ahead for about 32 ms, the request allows 50 ms"] * 250
        assert plane._accounting.arms.of("arithmetic", "v1").deadline_misses == 250
        plane.turn_away(Call("arithmetic"))  # which allows 30 s
        plane.turn_away(Call("nobody"))  # about which is told once it is read


SERVE_S, REFUSE_S, SLO_S = 1 / 2000, 1 / 8000, 0.05
BEFORE, BEHIND = 2, 5  # passes of a request before and from the one in which its door decides


def goodput(load: float, refuses: bool, seconds: float = 20.0) -> float:
    """Answers in time, as a share of what the loop could give; Poisson arrivals at `load` times that, and pauses."""
    random, lag, now, last_s, in_time = np.random.default_rng(1), LoopLag(), 0.0, 0.0, 0
    passes: list[list[float]] = [[] for _ in range(BEFORE + BEHIND)]
    step_s, next_arrival = SERVE_S / len(passes), 0.0
    while now < seconds:
        began, let_in = now, []
        for arrived in passes[BEFORE]:
            if refuses and random.random() < lag.share_to_refuse(SLO_S):
                now += REFUSE_S - BEFORE * step_s
            else:
                let_in.append(arrived)
        passes[BEFORE] = let_in
        now = max(now + step_s * sum(map(len, passes)), began + 1e-4)
        if random.random() < 0.02:
            now += random.exponential(0.005)
        in_time += sum(now - arrived <= SLO_S for arrived in passes.pop())
        passes.insert(0, [])
        while next_arrival <= now:
            passes[0].append(next_arrival)
            next_arrival += random.exponential(SERVE_S / load)
        lag.lag_s, last_s = min(now - began, last_s), now - began
    return in_time / seconds * SERVE_S


def test_an_overloaded_loop_goes_on_answering_in_time():
    peak = max(goodput(load, refuses=True) for load in (0.8, 0.9, 1.0, 1.1))
    assert peak > 0.9
    for load in (1.2, 1.5, 1.8):
        best = (1 - load * REFUSE_S / SERVE_S) / (1 - REFUSE_S / SERVE_S)  # all time spent, refusals included
        assert goodput(load, refuses=True) > 0.8 * min(peak, best)
        assert goodput(load, refuses=False) < 0.1


def test_what_keeps_up_is_hardly_refused_anything():
    for load in (0.5, 0.7, 0.8):
        assert goodput(load, refuses=True) > 0.97 * load
