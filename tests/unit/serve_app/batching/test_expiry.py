"""Many deadlines at little cost."""

from __future__ import annotations

import asyncio

import pytest
from support.virtual_time import VirtualTimeLoop, in_virtual_time
from support.waiting import until

from serve_app.batching.expiry import TICK_S, Expiry


async def test_an_item_is_called_for_once_its_time_is_over_and_not_before_others():
    over: list[str] = []
    expiry = Expiry[str](over.append)
    expiry.add("later", 0.03)
    expiry.add("sooner", 0.005)
    expiry.add("never", 60)
    await until(lambda: len(over) == 2)
    assert over == ["sooner", "later"]
    assert len(expiry) == 1


def test_there_is_one_timer_for_all_of_a_tick():
    async def play(loop: VirtualTimeLoop) -> float:
        over = asyncio.Queue[str]()
        expiry = Expiry[str](over.put_nowait)
        assert len({expiry.add(str(number), 0.7 * TICK_S) for number in range(100)}) == 1
        await over.get()
        assert (over.qsize(), len(expiry)) == (99, 0)
        return loop.time()

    assert in_virtual_time(play) == pytest.approx(TICK_S)


async def test_an_item_taken_back_is_not_called_for():
    over: list[str] = []
    expiry = Expiry[str](over.append)
    tick = expiry.add("back", 0.005)
    expiry.add("stays", 0.006)
    expiry.discard("back", tick)
    expiry.discard("back", tick)
    await until(lambda: over != [])
    assert (over, len(expiry)) == (["stays"], 0)
