import asyncio
from contextlib import aclosing

import numpy as np
import pytest
from support.decoupled import INFO, Counting, server_of
from support.waiting import until

from serve_app.config.release import BatchingConfig
from serve_app.dataflow.checked_runtime import CheckedStreamingRuntime
from serve_app.dataflow.streams import Streams
from serve_app.errors import ModelRaised, Overloaded, TooLarge, WrongAnswer
from serve_app.types import Block, BlockEntry


def streams_of(*models: Counting, **limits: int) -> Streams:
    checked = [CheckedStreamingRuntime(model, INFO.outputs, "count-v1").stream for model in models]
    return Streams(checked, BatchingConfig(**{"max_rows": 4, "max_queue_rows": 8, **limits}), "count-v1")


def upto(*numbers: int) -> dict[str, np.ndarray]:
    return {"upto": np.array(numbers)}


async def numbers(streams: Streams, *given: int) -> list[list[int]]:
    async with aclosing(streams.of(upto(*given))) as responses:
        return [outputs["number"].tolist() async for outputs, _ in responses]


async def test_each_response_comes_in_order():
    assert await numbers(streams_of(Counting()), 3, 2) == [[1, 1], [2, 2], [3, 2]]


async def test_no_response_at_all_is_an_end_as_any_other():
    assert await numbers(streams_of(Counting()), 0) == []


async def test_a_stream_that_was_left_is_closed_and_makes_room():
    model = Counting()
    streams = streams_of(model, max_rows=1)
    async with aclosing(streams.of(upto(10**9))) as responses:
        await anext(responses)
    assert await numbers(streams, 2) == [[1], [2]]
    assert model.closed.is_set()
    assert model.given < 10


async def test_leaving_while_the_model_works_closes_it_behind_that_response():
    model = Counting(held=True)
    streams = streams_of(model)
    responses = streams.of(upto(10**9))
    await anext(responses)
    waiting = asyncio.ensure_future(anext(responses))
    await until(model.waits.is_set)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not model.closed.is_set()
    model.go.set()
    await until(model.closed.is_set)
    assert model.given <= 2


async def test_open_streams_take_turns():
    streams = streams_of(Counting())
    async with aclosing(streams.of(upto(9))) as slow:
        await anext(slow)
        assert await numbers(streams, 3) == [[1], [2], [3]]
        assert (await anext(slow))[0]["number"].tolist() == [2]


async def test_instances_share_the_streams():
    first, second = Counting(), Counting()
    streams = streams_of(first, second)
    async with aclosing(streams.of(upto(9))) as one, aclosing(streams.of(upto(9))) as other:
        await anext(one)
        await anext(other)
    assert (first.given, second.given) == (1, 1)


async def test_rows_wait_for_room_in_their_order():
    streams = streams_of(Counting(), max_rows=2)
    open_stream = streams.of(upto(5, 5))
    await anext(open_stream)
    ended: list[str] = []

    async def served(name: str, *given: int) -> None:
        await numbers(streams, *given)
        ended.append(name)

    tasks = [asyncio.create_task(served("large", 1, 1)), asyncio.create_task(served("small", 1))]
    await asyncio.sleep(0)
    await open_stream.aclose()
    await asyncio.gather(*tasks)
    assert ended == ["large", "small"]


async def test_who_stops_waiting_lets_the_next_one_in():
    streams = streams_of(Counting(), max_rows=2)
    open_stream = streams.of(upto(5))
    await anext(open_stream)
    large = asyncio.create_task(numbers(streams, 1, 1))
    small = asyncio.create_task(numbers(streams, 2))
    await asyncio.sleep(0)
    large.cancel()
    assert await small == [[1], [2]]
    await open_stream.aclose()


async def test_rows_that_never_fit_and_rows_too_many_are_refused():
    streams = streams_of(Counting(), max_rows=2, max_queue_rows=2)
    with pytest.raises(TooLarge, match="the request has 3 rows, the limit is 2"):
        await numbers(streams, 1, 1, 1)
    open_stream = streams.of(upto(5, 5))
    await anext(open_stream)
    waiting = asyncio.create_task(numbers(streams, 1, 1))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="2 rows"):
        await numbers(streams, 1)
    await open_stream.aclose()
    assert await waiting == [[1, 1]]


async def test_what_the_model_raises_comes_behind_its_responses():
    responses = streams_of(Counting()).of(upto(20))
    assert [(await anext(responses))[0]["number"].tolist() for _ in range(12)] == [[n] for n in range(1, 13)]
    with pytest.raises(ModelRaised, match="13 brings bad luck"):
        await anext(responses)


async def test_a_response_that_breaks_the_signature_is_an_error():
    class Wrong(Counting):
        def stream(self, inputs):
            yield {"number": np.array([1, 2, 3])}

    with pytest.raises(WrongAnswer, match="answered 3 rows for 1"):
        await numbers(streams_of(Wrong()), 1)


async def test_a_release_tells_errors_as_values_and_counts_requests():
    server = server_of(Counting())
    replies = [reply async for reply in server.stream(Block(upto(14), (BlockEntry(1),)))]
    assert [reply.outputs["number"].tolist() for reply in replies[:-1]] == [[number] for number in range(1, 13)]
    assert isinstance(replies[-1].results[0].error, ModelRaised)
    _ = [reply async for reply in server.stream(Block(upto(2), (BlockEntry(1),)))]
    assert (server.statistics.answered.count, server.statistics.failed.count) == (1, 1)
    server.close()


async def test_other_limits_apply_at_once():
    server = server_of(Counting(), max_rows=4)
    server.configure({"batching": {"max_rows": 1}})
    (reply,) = [reply async for reply in server.stream(Block(upto(2, 2), (BlockEntry(2),)))]
    assert isinstance(reply.results[0].error, TooLarge)
    server.close()
