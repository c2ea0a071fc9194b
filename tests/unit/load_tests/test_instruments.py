import itertools
import json
import os
import time
from dataclasses import replace

from support.bench_results import closed_point

from load_tests.arrivals import Phase
from load_tests.batch_sizes import Executed
from load_tests.instruments import RealInstruments
from load_tests.open_loop import OpenLoad


def test_without_wrk_the_closed_loop_is_made_in_python(thread_server):
    point = RealInstruments(wrk=None).closed(thread_server.target(), connections=2, seconds=0.2)
    assert (point.tool, point.failed) == ("python", 0)
    assert point.answers > 0


def test_the_machines_noise_is_measured_in_a_process_of_its_own():
    before = os.times()
    noise = RealInstruments(wrk=None).noise(0.5)
    after = os.times()
    assert after.children_user - before.children_user > 0.2  # ended and waited for
    assert after.user - before.user < 0.3
    assert 0 <= noise.slow_share <= 1


def test_wrk_makes_the_closed_loop_where_it_is_installed(thread_server, tmp_path):
    wrk = tmp_path / "wrk"  # test_wrk has the program itself
    result = {"requests": 40, "us": 2_000_000, "status": 0, "socket": 0, "p50": 1000, "p90": 2000, "p99": 3000}
    wrk.write_text(f"#!/bin/sh\necho 'wrk-result {json.dumps(result)}'\n")
    wrk.chmod(0o700)
    point = RealInstruments(str(wrk)).closed(thread_server.target(), connections=1, seconds=1)
    assert (point.tool, point.requests_per_s, point.failed) == ("wrk", 20.0, 0)


def test_a_load_is_charged_to_the_processes(thread_server):
    def load():
        until = time.process_time() + 0.1
        while time.process_time() < until:
            pass
        return closed_point(1, 100.0)

    target = replace(thread_server.target(), pids=(os.getpid(),))
    point, cost = RealInstruments(wrk=None).cost_of(target, load)
    assert point == closed_point(1, 100.0)
    assert cost.cpu_s > 0.05  # the kernel counts in ticks of 0.01 s
    assert cost.pss_bytes > 1_000_000


def test_only_our_own_targets_tell_their_batches(thread_server):
    instruments = RealInstruments(wrk=None)
    assert not instruments.tells_batches(thread_server.target("serve-app"))
    page = f"/v2/models/{thread_server.target().workload}/stats"
    thread_server.pages[page] = b'{"model_stats": [{"inference_count": 3, "execution_count": 1}]}'
    assert instruments.tells_batches(thread_server.target("serve-app, express door"))
    assert not instruments.tells_batches(thread_server.target("another behind the same proxy"))


def test_batches_are_read_during_an_open_loop(thread_server, monkeypatch):
    batches, asked = itertools.count(), set()

    def read(target):
        asked.add(target)
        return Executed(rows=3 * (done := next(batches)), batches=done)

    monkeypatch.setattr("load_tests.instruments.read_executed", read)
    load = OpenLoad(thread_server.target(), (Phase(50, 0.1),))
    samples = RealInstruments(wrk=None, statistics_interval_s=0.01).batch_sizes(load)
    assert {sample.rows_per_batch for sample in samples} == {3}
    assert asked == {load.target}
    assert thread_server.bodies
