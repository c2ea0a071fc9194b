"""The delay of the event loop."""

from __future__ import annotations

import asyncio

import pytest
from support.arithmetic import Executor, rows
from support.gateway import plane_of, table
from support.waiting import until

from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.loop_lag import LoopLag
from serve_app.errors import DeadlineUnreachable
from serve_app.types import InferenceRequest


class Loop:
    """Runs timers when it is told what time it is."""

    def __init__(self) -> None:
        self.now, self.timers = 0.0, []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback, *args):
        self.timers.append((when, callback, args))

    def run(self, now: float) -> None:
        self.now = now
        when, callback, args = self.timers.pop()
        assert when <= now
        callback(*args)


def test_only_timers_that_are_late_one_after_the_other_are_a_lag():
    loop, lag = Loop(), LoopLag()
    lag._arm(loop, 0.0)
    loop.run(0.10)
    assert lag.lag_s == 0.0
    loop.run(0.15)
    loop.run(0.19)
    assert lag.lag_s == pytest.approx(0.03)
    loop.run(0.20)
    assert lag.lag_s == pytest.approx(0.0)


async def test_it_runs_until_it_is_stopped():
    lag = LoopLag()
    lag.start()
    await until(lambda: lag._timer.when() > asyncio.get_running_loop().time())
    lag.stop()
    assert lag._timer.cancelled()


async def test_a_request_whose_time_the_loop_takes_is_refused_at_once_and_others_are_not():
    request = InferenceRequest("arithmetic", {"x": rows(1)}, timeout_s=0.05)
    cluster = LocalCluster(Executor("v1", slo_ms=60_000))
    async with plane_of(cluster, table(arithmetic={"traffic": {"v1": 100}})) as plane:
        plane._lag.stop()
        plane._lag.lag_s = 0.03
        with pytest.raises(DeadlineUnreachable, match="work ahead for about 60 ms, the request allows 50 ms"):
            await plane.infer(request)
        plane._lag.lag_s = 0.01
        assert (await plane.infer(request)).outputs["total"].tolist() == [3]
