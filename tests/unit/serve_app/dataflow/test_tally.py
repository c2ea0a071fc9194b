"""Counting executions and requests."""

from __future__ import annotations

from serve_app.batching.execution import Execution
from serve_app.dataflow.tally import Tally
from serve_app.errors import ModelRaised
from serve_app.types import Duration, EntryResult, ReleaseStatistics, SizeStatistics, Timings


def test_nothing_was_done_at_first():
    assert Tally().read() == ReleaseStatistics()


def test_batches_count_by_their_rows():
    times = iter([100.0, 107.5, 109.0])
    tally = Tally(lambda: next(times))
    for execution in (Execution(4, 0.5, 0.25), Execution(1, 0.125), Execution(4, 1.0, 0.25)):
        tally.executed(execution)
    counted = tally.read()
    assert counted.sizes == {
        4: SizeStatistics(merge=Duration(2, 0.5), compute=Duration(2, 1.5)),
        1: SizeStatistics(merge=Duration(1, 0.0), compute=Duration(1, 0.125)),
    }
    assert counted.last_executed_s == 109.0


def test_requests_count_by_how_they_ended():
    tally = Tally()
    shared = EntryResult(timings=Timings(queue_s=0.25, batch_s=0.125, compute_s=0.5, batch_rows=2))
    tally.ended((shared, EntryResult(ModelRaised("m-v1", "it raised")), shared), 1.0)
    tally.ended((shared,), 0.5)
    counted = tally.read()
    assert (counted.answered, counted.failed) == (Duration(3, 2.5), Duration(1, 1.0))
    assert (counted.queue, counted.merge) == (Duration(3, 0.75), Duration(3, 0.375))
    assert counted.compute == Duration(3, 1.5)
