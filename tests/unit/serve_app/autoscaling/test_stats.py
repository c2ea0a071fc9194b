"""Reports of a replica: rates between two readings, and what full batches would make of it."""

from dataclasses import replace

import pytest
from support.arithmetic import INFO

from serve_app.autoscaling.stats import Meter, ReplicaStats, best_rows_per_s
from serve_app.batching.totals import Totals

PROFILED = replace(INFO, max_rows=64, profile={1: 1.0, 8: 4.0, 64: 16.0}, slo_ms=None)


def test_a_report_is_what_happened_since_the_one_before():
    now = [100.0]
    meter = Meter(lambda: now[0])
    now[0] = 102.0
    first = meter.read(Totals(rows=10, busy_s=1.0, missed=2, refused=0, queued_rows=7), PROFILED)
    assert first == ReplicaStats(7.0, 5.0, 0.5, 1.0, 4000.0)
    now[0] = 106.0
    second = meter.read(Totals(rows=30, busy_s=2.0, missed=3, refused=7, queued_rows=0), PROFILED)
    assert second == ReplicaStats(0.0, 5.0, 0.25, 2.0, 4000.0)


def test_instances_share_the_work():
    now = [0.0]
    meter = Meter(lambda: now[0])
    now[0] = 2.0
    totals = Totals(rows=10, busy_s=3.0, missed=0, refused=0, queued_rows=0, instances=2)
    assert meter.read(totals, PROFILED) == ReplicaStats(0.0, 5.0, 0.75, 0.0, 8000.0)


def test_two_readings_at_once_divide_by_no_zero():
    meter = Meter(lambda: 1.0)
    assert meter.read(Totals(0, 0.0, 0, 0, 0), PROFILED).rows_per_s == 0


@pytest.mark.parametrize(
    ("slo_ms", "max_rows", "rows_per_s"),
    [
        (None, 64, 4000),  # 64 rows in 16 ms
        (32, 64, 4000),  # two of 16 ms fit
        (31, 64, 2000),  # 8 rows in 4 ms
        (None, 63, 2000),
        (7, 64, 1000),
        (1, 64, 1000),  # not even one row fits twice, but then one row it is
    ],
)
def test_the_best_batch_keeps_the_limits(slo_ms, max_rows, rows_per_s):
    assert best_rows_per_s(replace(PROFILED, slo_ms=slo_ms, max_rows=max_rows)) == rows_per_s


def test_without_latencies_nothing_is_known():
    assert best_rows_per_s(replace(PROFILED, profile={})) == 0
    assert best_rows_per_s(replace(PROFILED, profile={4: 0.0})) == 0
