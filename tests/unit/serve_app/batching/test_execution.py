"""One batch in a thread: merged, padded, checked and cut back."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from support.arithmetic import block, predict, rows

from serve_app.batching.execution import Answer, Batch, Instance, WholeBlock, told
from serve_app.batching.job import Job
from serve_app.batching.quick import FIRST_IN_THREAD
from serve_app.batching.ragged import Ragged
from serve_app.config.release import RaggedConfig
from serve_app.errors import WrongAnswer
from serve_app.types import Block, BlockEntry, Timings
from serve_app.visits import NodeVisit


def batch(*blocks, executed_rows=0) -> Batch:
    pieces = [piece for one in blocks for piece in Job(one, 0.0, max_rows=64).pieces]
    total = sum(piece.rows for piece in pieces)
    return Batch(pieces, total, executed_rows or total)


async def test_rows_are_padded_by_the_last_one_and_padding_comes_back_to_nobody():
    seen = []

    def model(inputs):
        seen.append(inputs["x"][:, 0].tolist())
        return predict(inputs)

    answer = await Instance(model, "m").execute(batch(block(rows(1, 2)), block(rows(3)), executed_rows=5))
    assert seen == [[1, 2, 3, 3, 3]]
    assert answer.outputs["total"].tolist() == [3, 6, 9]


async def test_as_many_rows_as_asked_for_is_the_wrong_answer_if_more_were_executed():
    with pytest.raises(WrongAnswer, match="has 3 rows for 5 rows"):
        await Instance(lambda inputs: {"y": np.zeros(3)}, "m").execute(batch(block(rows(1, 2, 3)), executed_rows=5))


async def test_lengths_are_brought_to_the_bucket_before_rows_are_merged():
    ragged = Ragged(RaggedConfig(lengths=(4,), pad={"ids": 0}))
    texts = [Block({"ids": np.ones((1, length), np.int64)}, (BlockEntry(1),)) for length in (2, 3)]
    subject = batch(*texts)
    subject.ragged, subject.bucket = ragged, 4
    assert subject.merged()["ids"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]


async def test_batches_are_merged_in_memory_that_the_device_reads_soonest():
    given = []
    subject = batch(block(rows(1, 2)), block(rows(3)), executed_rows=5)
    subject.empty = lambda shape, dtype: given.append(np.empty(shape, dtype)) or given[-1]
    assert subject.merged()["x"] is given[0]
    assert given[0][:, 0].tolist() == [1, 2, 3, 3, 3]


async def test_inputs_that_were_prepared_ahead_are_used():
    subject = batch(block(rows(1)))
    subject.inputs = asyncio.get_running_loop().create_future()
    subject.inputs.set_result({"x": rows(7)})
    assert (await Instance(predict, "m").execute(subject)).outputs["total"].tolist() == [21]


async def test_what_is_known_to_be_quick_needs_no_thread_and_what_is_slow_does():
    now, threads = [0.0], []

    def model(inputs):
        threads.append(threading.current_thread())
        now[0] += 0.0001 if len(inputs["x"]) == 1 else 0.01
        return predict(inputs)

    subject = Instance(model, "m", lambda: now[0])
    for size in (1, 8) * FIRST_IN_THREAD:
        await subject.execute(batch(block(rows(*range(size)))))
    here = threading.current_thread()
    assert {one is here for one in threads[:FIRST_IN_THREAD]} == {False}
    assert [one is here for one in threads[-2:]] == [True, False]


async def test_what_is_not_ours_is_told_by_its_name_and_logged_with_its_requests(caplog):
    own = WrongAnswer("m", "it has no rows")
    subject = batch(block(rows(1), rows(2)))
    assert told(own, subject, "m") is own
    assert str(told(ValueError("secret"), subject, "m")) == "m failed: it raised ValueError"
    assert "m raised on requests r0, r1" in caplog.text


def test_a_whole_block_is_wanted_until_its_last_deadline():
    inputs = {"x": rows(1, 2)}
    limited = Block(inputs, (BlockEntry(1, timeout_s=0.5), BlockEntry(1, timeout_s=2.0)))
    assert WholeBlock(limited, 2, 10.0).deadline == 12.0
    unlimited = Block(inputs, (BlockEntry(1, timeout_s=0.5), BlockEntry(1)))
    assert WholeBlock(unlimited, 2, 10.0).deadline is None


def test_a_whole_block_is_answered_with_the_times_of_all_and_the_visits_of_those_who_ask():
    visit = NodeVisit("net", 1, 0.0, 1.0, 3)
    answer = Answer({"total": np.arange(3)}, 0.001, 0.25, {"net.b": "dead"}, {1: (visit,)})
    asked = Block({"x": rows(1, 2, 3)}, (BlockEntry(2, "a"), BlockEntry(1, "b", explain=True)))
    reply = WholeBlock(asked, 3, 10.0).reply(answer, 10.5)
    assert reply.outputs["total"] is answer.outputs["total"]
    assert [result.timings for result in reply.results] == [Timings(0.5, 0.001, 0.25, 3)] * 2
    assert [result.left_out for result in reply.results] == [{"net.b": "dead"}] * 2
    assert [result.visits for result in reply.results] == [(), (visit,)]
