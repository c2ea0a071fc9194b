"""The batcher: rows are counted, owners get their own, nobody waits without need, nothing is executed in vain."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest
from support.arithmetic import Recording, block, predict, rows
from support.waiting import until

from serve_app.batching.batcher import Batcher
from serve_app.batching.execution import Traits
from serve_app.batching.latency import LatencyModel
from serve_app.batching.policy import AdaptivePolicy
from serve_app.batching.quick import FIRST_IN_THREAD
from serve_app.batching.ragged import Ragged
from serve_app.config.release import BatchingConfig, RaggedConfig
from serve_app.errors import DeadlineExceeded, ModelRaised, Overloaded, ReplicaLost
from serve_app.types import Block, BlockEntry


def batcher(*models, max_rows=8, max_queue_rows=4096, **options) -> Batcher:
    config = BatchingConfig(max_rows=max_rows, max_queue_rows=max_queue_rows)
    clock = {"clock": options["clock"]} if "clock" in options else {}
    return Batcher(models, AdaptivePolicy(config, **clock), traits=Traits("arithmetic-v1"), **options)


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
    subject = batcher(model, max_rows=4, max_queue_rows=4)
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


async def test_nothing_keeps_the_tensors_of_a_block_that_is_answered():
    subject = batcher(predict, max_rows=2)
    gc.disable()
    try:
        sent = block(rows(1), rows(2, 2, 2))
        reply = await subject.submit(sent)
        seen = [weakref.ref(array) for array in (sent.inputs["x"], *reply.outputs.values())]
        del sent, reply
        await until(lambda: not any(one() is not None for one in seen))
    finally:
        gc.enable()


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


async def test_a_batch_whose_node_was_lost_is_not_halved():
    executions: list[int] = []

    def model(inputs):
        executions.append(len(inputs["x"]))
        raise ReplicaLost("m.a-v1")

    sent = block(rows(1.0), rows(2.0))
    reply = await batcher(model).submit(sent)
    assert (totals(reply, sent), executions) == (["ReplicaLost"] * 2, [2])


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


async def test_two_instances_execute_side_by_side():
    first, second = Recording(held=True), Recording(held=True)
    subject = batcher(first, second)
    tasks = [asyncio.create_task(subject.submit(block(rows(1))))]
    await until(first.started.is_set)
    tasks.append(asyncio.create_task(subject.submit(block(rows(2)))))
    await until(second.started.is_set)
    first.release()
    second.release()
    await asyncio.gather(*tasks)
    assert (first.batches, second.batches) == ([[1]], [[2]])


async def test_urgent_requests_overtake_those_that_wait():
    model = Recording(held=True)
    subject = batcher(model, max_rows=1)
    tasks = [asyncio.create_task(subject.submit(block(rows(1))))]
    await until(model.started.is_set)
    for entry in (BlockEntry(1, timeout_s=20), BlockEntry(1, timeout_s=10), BlockEntry(1, timeout_s=20, priority=1)):
        tasks.append(asyncio.create_task(subject.submit(Block({"x": rows(len(tasks) + 1)}, (entry,)))))
    await until(lambda: subject.queued_rows == 3)
    model.release()
    await asyncio.gather(*tasks)
    assert model.batches == [[1], [4], [3], [2]]


async def test_a_row_over_the_bytes_of_a_batch_is_refused_with_the_limit():
    subject = Batcher((predict,), AdaptivePolicy(BatchingConfig(max_batch_bytes=20)), traits=Traits("m", 9))
    (result,) = (await subject.submit(block(rows(1)))).results
    assert str(result.error) == "one row with its outputs has 21 bytes, the limit is 20"


async def test_a_batch_stays_within_its_bytes():
    model = Recording()
    subject = Batcher((model,), AdaptivePolicy(BatchingConfig(max_batch_bytes=50)))
    reply = await subject.submit(block(rows(*range(10))))
    assert reply.outputs["total"].tolist() == [3 * i for i in range(10)]
    assert max(model.batch_rows) == 4


async def test_only_allowed_sizes_are_executed():
    model = Recording()
    subject = Batcher((model,), AdaptivePolicy(BatchingConfig(max_rows=8, allowed_rows=(2, 8))))
    for size in range(1, 20):
        reply = await subject.submit(block(rows(*range(size))))
        assert reply.outputs["total"].tolist() == [3 * i for i in range(size)]
    assert set(model.batch_rows) == {2, 8}


async def test_a_model_that_cannot_batch_runs_row_by_row():
    model = Recording()
    reply = await batcher(model, max_rows=1).submit(block(rows(1, 2), rows(3)))
    assert model.batches == [[1], [2], [3]]
    assert reply.outputs["total"].tolist() == [3, 6, 9]


async def test_texts_of_other_lengths_share_a_batch_and_get_their_own_length_back():
    shapes = []

    def model(inputs):
        shapes.append(inputs["ids"].shape)
        return {"tokens": inputs["ids"] * 10, "count": inputs["mask"].sum(axis=1)}

    ragged = Ragged(RaggedConfig(lengths=(4, 8), pad={"ids": 0}, mask="mask"), np.dtype(np.int64))
    traits = Traits("m", ragged=ragged, ragged_outputs=frozenset({"tokens"}))
    subject = Batcher((model,), AdaptivePolicy(BatchingConfig()), traits=traits)
    texts = [np.arange(1, length + 1)[None] for length in (2, 4, 3, 7)]
    replies = await asyncio.gather(*(subject.submit(Block({"ids": text}, (BlockEntry(1),))) for text in texts))
    assert [reply.outputs["tokens"].tolist() for reply in replies] == [(10 * text).tolist() for text in texts]
    assert [reply.outputs["count"].tolist() for reply in replies] == [[2], [4], [3], [7]]
    assert sorted(shapes) == [(1, 8), (3, 4)]
    (result,) = (await subject.submit(Block({"ids": np.ones((1, 9))}, (BlockEntry(1),)))).results
    assert "has 9 elements, the limit is 8" in str(result.error)


async def test_smaller_limits_hold_for_what_waits_already():
    model = Recording(held=True)
    subject = batcher(model)
    tasks = [asyncio.create_task(subject.submit(block(rows(1))))]
    await until(model.started.is_set)
    tasks.append(asyncio.create_task(subject.submit(block(rows(1, 2, 3, 4, 5)))))
    await until(lambda: subject.queued_rows == 5)
    subject.configure(BatchingConfig(max_rows=2))
    model.release()
    replies = await asyncio.gather(*tasks)
    assert replies[1].outputs["total"].tolist() == [3, 6, 9, 12, 15]
    assert model.batches == [[1], [1, 2], [3, 4], [5]]


async def test_a_full_batch_is_merged_while_the_one_before_runs():
    model, threads = Recording(held=True), []

    def slow_looking(inputs):
        threads.append(inputs["x"].shape)
        return model(inputs)

    latency = LatencyModel({1: 0.1, 8: 0.1})
    subject = Batcher((slow_looking,), AdaptivePolicy(BatchingConfig(max_rows=8), latency))
    tasks = [asyncio.create_task(subject.submit(block(rows(1))))]
    await until(model.started.is_set)
    tasks += [asyncio.create_task(subject.submit(block(rows(*[n] * 4)))) for n in (2, 3, 4)]
    await until(lambda: len(subject._ahead) == 1)
    assert subject.queued_rows == 12
    assert (await subject._ahead[0].inputs)["x"].shape == (8, 3)
    model.release()
    replies = await asyncio.gather(*tasks)
    assert model.batch_rows == [1, 8, 4]
    assert [reply.outputs["total"].tolist()[0] for reply in replies] == [3, 6, 9, 12]


async def test_callers_that_leave_early_cost_no_execution_and_the_next_one_is_served():
    model = Recording(held=True)
    subject = batcher(model, max_rows=64)
    first = asyncio.create_task(subject.submit(block(rows(0))))
    await until(model.started.is_set)
    leaving = [asyncio.create_task(subject.submit(block(rows(i)))) for i in range(1, 81)]
    staying = [asyncio.create_task(subject.submit(block(rows(i)))) for i in range(100, 120)]
    await until(lambda: subject.queued_rows == 100)
    for task in leaving:
        task.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    model.release()
    await asyncio.gather(first, *staying)
    assert (await subject.submit(block(rows(7)))).outputs["total"].tolist() == [21]
    assert [value for batch in model.batches for value in batch] == [0, *range(100, 120), 7]
    assert subject.queued_rows == 0


def quick(model, **options) -> Batcher:
    """A batcher that has executed one, two and four rows often enough to do it in the event loop itself."""
    subject = batcher(model, **options)
    instance = subject._instances[0]
    for count in (1, 2, 4):
        for _ in range(FIRST_IN_THREAD):
            instance._quickness.observe(count, 1e-5)
    return subject


async def test_what_is_quick_is_answered_in_the_same_turn_of_the_event_loop():
    model = Recording()
    subject = quick(model)
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "next")
    sent = block(rows(1), rows(2))
    reply = await subject.submit(sent)
    assert (totals(reply, sent), turns) == ([[3], [6]], [])
    assert subject.totals.queued_rows == 0


async def test_what_is_quick_but_raises_is_halved_like_the_rest():
    def model(inputs):
        if (inputs["x"] == 3).any():
            raise ValueError("unlucky")
        return predict(inputs)

    sent = block(rows(1), rows(2), rows(3), rows(4))
    assert totals(await quick(model).submit(sent), sent) == [[3], [6], "ModelRaised", [12]]
    sent = block(rows(3))
    assert totals(await quick(model).submit(sent), sent) == ["ModelRaised"]


async def test_a_quick_block_that_fits_is_executed_as_it_is():
    executed = []

    def model(inputs):
        executed.append(inputs["x"])
        return predict(inputs)

    sent = block(rows(1), rows(2), rows(3, 4))
    reply = await quick(model).submit(sent)
    assert totals(reply, sent) == [[3], [6], [9, 12]]
    assert executed[0] is sent.inputs["x"]
    assert [result.timings.batch_rows for result in reply.results] == [4, 4, 4]


async def test_a_quick_block_that_raises_is_executed_once_as_a_whole():
    executed: list[int] = []

    def model(inputs):
        executed.append(len(inputs["x"]))
        raise ValueError("always")

    sent = block(rows(1), rows(2))
    assert totals(await quick(model).submit(sent), sent) == ["ModelRaised", "ModelRaised"]
    assert executed == [2, 1, 1]
    executed.clear()
    sent = block(rows(1))
    assert totals(await quick(model).submit(sent), sent) == ["ModelRaised"]
    assert executed == [1]


async def test_a_quick_block_of_another_size_is_padded():
    model = Recording()
    subject = quick(model)
    subject.configure(BatchingConfig(max_rows=4, allowed_rows=(2, 4)))
    sent = block(rows(1), rows(2), rows(3))
    assert totals(await subject.submit(sent), sent) == [[3], [6], [9]]
    assert model.batch_rows == [4]


async def test_a_quick_block_over_the_bytes_of_a_batch_is_cut():
    model = Recording()
    subject = quick(model)
    row_bytes = rows(1).nbytes
    subject.configure(BatchingConfig(max_rows=4, max_batch_bytes=2 * row_bytes))
    sent = block(rows(1, 2, 3))
    assert totals(await subject.submit(sent), sent) == [[3, 6, 9]]
    assert model.batch_rows == [2, 1]


async def test_a_quick_block_does_not_overtake_what_waits():
    model = Recording()
    subject = quick(model)
    waits = block(rows(1), rows(2))
    subject._wake_soon(0.0)
    first = asyncio.create_task(subject.submit(waits))
    await asyncio.sleep(0)
    sent = block(rows(3))
    assert totals(await subject.submit(sent), sent) == [[9]]
    assert totals(await first, waits) == [[3], [6]]
    assert model.batches == [[1, 2, 3]]


async def test_texts_in_a_quick_block_are_padded_to_their_bucket():
    seen = []

    def lengths(inputs):
        seen.append(inputs["ids"].shape)
        return {"length": (inputs["ids"] > 0).sum(axis=1)}

    config = BatchingConfig(max_rows=8, ragged=RaggedConfig(lengths=(4, 8), pad={"ids": 0}))
    ragged = Traits("texts-v1", ragged=Ragged(config.ragged))
    subject = Batcher([lengths], AdaptivePolicy(config), traits=ragged)
    for _ in range(FIRST_IN_THREAD):
        subject._instances[0]._quickness.observe(1, 1e-5)
    reply = await subject.submit(Block({"ids": np.ones((1, 3), np.int64)}, (BlockEntry(1),)))
    assert (reply.outputs["length"].tolist(), seen) == ([3], [(1, 4)])


async def test_a_quick_block_is_accounted_for():
    executions = []
    subject = quick(predict, observe=executions.append)
    await subject.submit(block(rows(1), rows(2, 3)))
    assert [one.rows for one in executions] == [3]
    assert subject.totals.rows == 3
    assert subject.totals.busy_s > 0


async def test_a_quick_block_that_usually_takes_longer_than_it_may_is_not_executed():
    model = Recording()
    subject = quick(model)
    for _ in range(4):
        subject._policy.observe(1, 0.2)
    sent = block(rows(1), timeout_s=0.05)
    assert totals(await subject.submit(sent), sent) == ["DeadlineExceeded"]
    assert model.batches == []


async def test_an_entry_without_rows_has_none_in_a_quick_block_either():
    sent = block(rows(1), rows())
    reply = await quick(predict).submit(sent)
    assert [(result.error, result.timings.batch_rows) for result in reply.results] == [(None, 1), (None, 0)]


async def test_others_have_their_turn_between_two_quick_batches():
    model = Recording()
    subject = quick(model)
    subject.configure(BatchingConfig(max_rows=4))
    turns: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: turns.append(len(model.batches)))
    sent = block(rows(1, 2, 3, 4), rows(5, 6, 7, 8))
    assert totals(await subject.submit(sent), sent) == [[3, 6, 9, 12], [15, 18, 21, 24]]
    assert (model.batch_rows, turns) == ([4, 4], [1])


async def test_what_is_quick_but_too_late_is_not_executed():
    model = Recording()
    sent = block(rows(1), timeout_s=0)
    assert totals(await quick(model).submit(sent), sent) == ["DeadlineExceeded"]
    assert model.batches == []
