"""What waits at the gateways."""

from __future__ import annotations

from dataclasses import replace

from support.arithmetic import block, rows

from serve_app.batching.backlog import Backlog


def test_each_gateways_last_word_counts_until_it_is_old():
    now = [0.0]
    backlog, sent = Backlog(lambda: now[0]), block(rows(1))
    backlog.update(replace(sent, sender="a", backlog_rows=9))
    backlog.update(replace(sent, sender="a", backlog_rows=5))
    now[0] = 1.0
    backlog.update(replace(sent, sender="b", backlog_rows=2))
    assert backlog.rows == 7
    now[0] = 2.5
    assert backlog.rows == 2


def test_a_block_of_nobody_says_nothing():
    backlog = Backlog(lambda: 0.0)
    backlog.update(block(rows(1)))
    assert backlog.rows == 0
