"""The batcher: rows are counted, owners get their own, nobody waits without need, nothing is executed in vain."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from support.arithmetic import Recording, block, predict, rows
from support.waiting import until

from serve_app.batching.batcher import Batcher
from serve_app.batching.policy import FixedPolicy
from serve_app.errors import DeadlineExceeded, ModelRaised, Overloaded
from serve_app.types import Block, BlockEntry


def batcher(model, max_rows=8, **options) -> Batcher:
    return Batcher(model, FixedPolicy(max_rows), release="arithmetic-v1", **options)


def totals(reply, sent) -> list[list[int] | str]:
    return [
        result.error.__class__.__name__ if outputs is None else outputs["total"].tolist()
        for outputs, result in reply.per_entry(sent)
    ]


async def test_every_entry_of_a_block_gets_its_own_rows():
    sent = block(rows(1), rows(2, 3), rows(4))
    reply = await batcher(predict).submit(sent)
    assert totals(reply, sent) == [[3], [6, 9], [12]]
    np.testing.assert_array_equal(reply.outputs["y"], 2 * sent.inputs["x"] + 1)


async def test_blocks_that_wait_together_share_one_execution():
    model = Recording(held=True)
    subject = batcher(model)
    first = asyncio.create_task(subject.submit(block(rows(1))))
    await until(model.started.is_set)
    others = [asyncio.create_task(subject.submit(block(rows(i, i)))) for i in (2, 3)]
    await until(lambda: subject.queued_rows == 4)
    model.release()
    replies = await asyncio.gather(first, *others)
    assert model.batches == [[1], [2, 2, 3, 3]]
    assert [reply.outputs["total"].tolist() for reply in replies] == [[3], [6, 6], [9, 9]]


async def test_a_lone_request_is_executed_at_once_and_alone():
    model = Recording()
    await batcher(model).submit(block(rows(7)))
    assert model.batches == [[7]]


async def test_no_execution_has_more_rows_than_the_policy_allows():
    model = Recording(held=True)
    subject = batcher(model, max_rows=32)
    sizes = list(range(1, 65))
    sent = [block(rows(*range(size))) for size in sizes]
    replies = [asyncio.create_task(subject.submit(one)) for one in sent]
    await until(model.started.is_set)
    model.release()
    answers = await asyncio.gather(*replies)
    assert max(model.batch_rows) <= 32
    assert sum(model.batch_rows) == sum(sizes)
    for size, answer in zip(sizes, answers, strict=True):
        assert answer.outputs["total"].tolist() == [3 * i for i in range(size)]


async def test_a_request_over_the_limit_is_cut_and_joined_again():
    model = Recording()
    sent = block(rows(100), rows(*range(20)), rows(200))
    reply = await batcher(model).submit(sent)
    assert max(model.batch_rows) <= 8
    assert totals(reply, sent) == [[300], [3 * i for i in range(20)], [600]]


async def test_only_like_shapes_share_an_execution():
    widths: list[tuple[int, ...]] = []

    def model(inputs):
        widths.append(inputs["x"].shape)
        return {"total": inputs["x"].sum(axis=1)}

    subject = batcher(model)
    blocks = [Block({"x": np.ones((2, width), np.float32)}, (BlockEntry(2),)) for width in (3, 5, 3)]
    replies = await asyncio.gather(*(subject.submit(one) for one in blocks))
    assert [reply.outputs["total"].tolist() for reply in replies] == [[3, 3], [5, 5], [3, 3]]
    assert sorted(widths) == [(2, 5), (4, 3)]


@pytest.mark.parametrize("wrong", [0, 1, 3])
async def test_a_wrong_number_of_rows_is_an_error_for_the_batch_and_never_a_shift(wrong):
    sent = block(rows(1), rows(2))
    reply = await batcher(lambda inputs: {"total": np.zeros(wrong)}).submit(sent)
    assert totals(reply, sent) == ["WrongAnswer", "WrongAnswer"]
    assert f"output 'total' has {wrong} rows for 2 rows of input" in str(reply.results[0].error)


async def test_no_outputs_at_all_is_an_error():
    reply = await batcher(lambda inputs: {}).submit(block(rows(1)))
    assert "gave no output for 1 rows" in str(reply.results[0].error)


async def test_a_model_that_raises_fails_its_batch_and_the_next_one_runs(caplog):
    def model(inputs):
        if inputs["x"].max() > 10:
            raise ValueError("secret detail")
        return predict(inputs)

    subject = batcher(model)
    bad = await subject.submit(block(rows(11)))
    good = await subject.submit(block(rows(1)))
    assert isinstance(bad.results[0].error, ModelRaised)
    assert str(bad.results[0].error) == "arithmetic-v1 failed: it raised ValueError"
    assert "r0" in caplog.text
    assert good.outputs["total"].tolist() == [3]


async def test_rows_beyond_the_queue_are_refused_at_once_with_the_limit():
    model = Recording(held=True)
    subject = batcher(model, max_queue_rows=4)
    running = asyncio.create_task(subject.submit(block(rows(0))))
    await until(model.started.is_set)
    sent = block(rows(1, 1, 1), rows(2, 2), rows(3))
    waiting = asyncio.create_task(subject.submit(sent))
    await until(lambda: subject.queued_rows == 4)
    model.release()
    await running
    reply = await waiting
    assert totals(reply, sent) == [[3, 3, 3], "Overloaded", [9]]
    error = reply.results[1].error
    assert isinstance(error, Overloaded)
    assert error.limit_rows == 4
    assert error.retry_after_s > 0


async def test_expired_rows_are_not_executed():
    now = [0.0]
    model = Recording(held=True)
    subject = batcher(model, clock=lambda: now[0])
    running = asyncio.create_task(subject.submit(block(rows(1))))
    await until(model.started.is_set)
    late = asyncio.create_task(subject.submit(block(rows(2), timeout_s=0.5)))
    in_time = asyncio.create_task(subject.submit(block(rows(3), timeout_s=5)))
    await until(lambda: subject.queued_rows == 2)
    now[0] = 1.0
    model.release()
    await running
    assert isinstance((await late).results[0].error, DeadlineExceeded)
    assert (await in_time).outputs["total"].tolist() == [9]
    assert model.batches == [[1], [3]]


async def test_cancelled_rows_leave_the_queue_and_are_not_executed():
    model = Recording(held=True)
    subject = batcher(model)
    running = asyncio.create_task(subject.submit(block(rows(1))))
    await until(model.started.is_set)
    leaving = asyncio.create_task(subject.submit(block(rows(2, 2))))
    staying = asyncio.create_task(subject.submit(block(rows(3))))
    await until(lambda: subject.queued_rows == 3)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert subject.queued_rows == 1
    model.release()
    await asyncio.gather(running, staying)
    assert model.batches == [[1], [3]]


async def test_cancelling_a_block_in_execution_disturbs_nobody():
    model = Recording(held=True)
    subject = batcher(model)
    leaving = asyncio.create_task(subject.submit(block(rows(1))))
    await until(model.started.is_set)
    staying = asyncio.create_task(subject.submit(block(rows(2))))
    await until(lambda: subject.queued_rows == 1)
    leaving.cancel()
    model.release()
    assert (await staying).outputs["total"].tolist() == [6]


async def test_five_hundred_callers_get_exactly_their_own():
    subject = batcher(predict, max_rows=64)
    sent = [block(rows(*[float(i)] * (1 + i % 7))) for i in range(500)]
    replies = await asyncio.gather(*(subject.submit(one) for one in sent))
    for index, reply in enumerate(replies):
        assert reply.outputs["total"].tolist() == [3 * index] * (1 + index % 7)


async def test_timings_name_the_batch():
    reply = await batcher(predict).submit(block(rows(1), rows(2, 3)))
    assert [result.timings.batch_rows for result in reply.results] == [3, 3]
    assert all(result.timings.compute_s >= 0 and result.timings.queue_s >= 0 for result in reply.results)


async def test_the_observer_hears_of_every_execution():
    heard = []
    await batcher(predict, observe=heard.append).submit(block(rows(1), rows(2, 3)))
    assert [one.rows for one in heard] == [3]


async def test_a_block_without_entries_is_answered_empty():
    assert (await batcher(predict).submit(Block({}, ()))).results == ()


async def test_one_bad_request_among_thirty_one_good_ones_fails_alone():
    executions: list[int] = []

    def model(inputs):
        executions.append(len(inputs["x"]))
        if (inputs["x"] == 13).any():
            raise ValueError("unlucky")
        return predict(inputs)

    sent = block(*(rows(float(i)) for i in range(32)))
    reply = await batcher(model, max_rows=64).submit(sent)
    assert totals(reply, sent) == [[3 * i] if i != 13 else "ModelRaised" for i in range(32)]
    assert len(executions) <= 12


async def test_a_model_that_always_raises_is_not_executed_without_end():
    executions: list[int] = []

    def model(inputs):
        executions.append(len(inputs["x"]))
        raise ValueError

    sent = block(*(rows(float(i)) for i in range(64)))
    reply = await batcher(model, max_rows=64).submit(sent)
    assert totals(reply, sent) == ["ModelRaised"] * 64
    assert len(executions) <= 64


async def test_the_rest_of_a_request_that_failed_in_part_is_not_executed():
    seen: list[int] = []

    def model(inputs):
        seen.append(len(inputs["x"]))
        raise ValueError

    await batcher(model).submit(block(rows(*range(80))))
    assert seen == [8]


async def test_outputs_that_cannot_be_joined_are_an_error_and_the_queue_goes_on():
    def model(inputs):
        return {"y": np.zeros((len(inputs["x"]), len(inputs["x"])))}

    subject = batcher(model)
    sent = block(rows(*range(12)))
    assert totals_or_errors(await subject.submit(sent), sent) == ["WrongAnswer"]
    sent = block(rows(1))
    assert totals_or_errors(await subject.submit(sent), sent) == ["ok"]


def totals_or_errors(reply, sent) -> list[str]:
    return ["ok" if outputs else type(result.error).__name__ for outputs, result in reply.per_entry(sent)]


async def test_an_observer_that_raises_does_not_stop_the_queue(caplog):
    def observe(execution):
        raise RuntimeError("no metrics today")

    reply = await batcher(predict, observe=observe).submit(block(rows(1)))
    assert reply.outputs["total"].tolist() == [3]
    assert "not accounted for" in caplog.text


async def test_a_block_without_rows_is_answered():
    reply = await batcher(predict).submit(Block({"x": rows()}, (BlockEntry(0), BlockEntry(0))))
    assert [result.error for result in reply.results] == [None, None]
