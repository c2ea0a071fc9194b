"""What a batcher has done so far."""

from __future__ import annotations

from dataclasses import replace

from support.arithmetic import block, predict, rows

from serve_app.batching.batcher import Batcher
from serve_app.batching.policy import AdaptivePolicy
from serve_app.batching.totals import Totals
from serve_app.config.release import BatchingConfig


async def test_rows_misses_refusals_and_the_gateways_backlog_are_counted():
    now = [0.0]

    def model(inputs):
        now[0] += 0.25
        return predict(inputs)

    config = BatchingConfig(max_rows=4, max_queue_rows=4)
    subject = Batcher((model, model), AdaptivePolicy(config, clock=lambda: now[0]), clock=lambda: now[0])
    await subject.submit(replace(block(rows(1, 2), rows(3)), sender="g", backlog_rows=11, refused=5))
    await subject.submit(block(rows(1), timeout_s=0.0))
    await subject.submit(block(rows(1, 2, 3, 4, 5)))
    assert subject.totals == Totals(rows=3, busy_s=0.25, missed=1, refused=6, queued_rows=11, instances=2)
