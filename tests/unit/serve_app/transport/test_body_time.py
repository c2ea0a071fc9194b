"""How long bodies may take."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import VirtualTimeLoop, in_virtual_time

from serve_app.errors import BodyTimeout
from serve_app.transport.body_time import BodyTime


async def read(body: asyncio.Future[bytes]) -> bytes:
    return await body


async def test_a_body_in_time_is_given_and_its_time_is_taken_back():
    time, body = BodyTime(30.0), asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(time.bound(read(body)))
    await asyncio.sleep(0)
    assert len(time) == 1
    body.set_result(b"whole")
    assert await reading == b"whole"
    assert len(time) == 0


async def test_a_body_that_takes_too_long_is_given_up_and_its_task_goes_on():
    body = asyncio.get_running_loop().create_future()

    async def request() -> str:
        with pytest.raises(BodyTimeout, match=r"within 0\.01 s"):
            await BodyTime(0.01).bound(read(body))
        await asyncio.sleep(0)  # is not cancelled once more
        return "answered"

    task = asyncio.create_task(request())
    assert await task == "answered"
    assert task.cancelling() == 0
    assert body.cancelled()


def test_each_body_has_its_whole_time_and_a_hundredth_more_at_most():
    async def play(loop: VirtualTimeLoop) -> list[float]:
        time = BodyTime(10.0)

        async def request(begins: float) -> float:
            await asyncio.sleep(begins)
            began = loop.time()
            with pytest.raises(BodyTimeout):
                await time.bound(read(loop.create_future()))
            return loop.time() - began

        took = await asyncio.gather(*map(request, (0.0, 0.05, 3.333, 9.99, 50.0)))
        assert len(time) == 0
        assert not time._is_looking  # as nothing is read
        return took

    took = in_virtual_time(play)
    assert all(10.0 <= seconds <= 10.1 + 1e-6 for seconds in took)


async def test_another_cancellation_is_no_timeout():
    time = BodyTime(30.0)
    reading = asyncio.create_task(time.bound(read(asyncio.get_running_loop().create_future())))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(time) == 0


async def test_what_goes_wrong_with_a_body_is_raised():
    async def malformed() -> bytes:
        raise ValueError("no body")

    time = BodyTime(30.0)
    with pytest.raises(ValueError, match="no body"):
        await time.bound(malformed())
    assert len(time) == 0
