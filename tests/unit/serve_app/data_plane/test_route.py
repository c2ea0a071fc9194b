"""Shares of a split, and how blocks get to a release."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.arithmetic import INFO, Executor, block, rows
from support.waiting import until

from serve_app.data_plane.local import LocalCluster
from serve_app.data_plane.rendezvous import pick
from serve_app.data_plane.route import Sender, Split


@pytest.mark.parametrize(
    ("point", "version"), [(0.0, "a"), (0.19, "a"), (0.2, "b"), (0.49, "b"), (0.5, "c"), (0.999999, "c"), (1.0, "c")]
)
def test_a_point_falls_into_its_share(point, version):
    assert Split(("a", "b", "c"), (20, 50, 100)).pick(point) == version


def test_a_user_gets_what_the_hash_of_the_weights_says():
    split, users = Split(("a", "b", "c"), (20, 50, 100)), [str(number) for number in range(50)]
    expected = [pick("m", user, {"a": 20, "b": 30, "c": 50}) for user in users]
    assert [split.pick_for("m", user) for user in users] == expected
    assert set(expected) == {"a", "b", "c"}


def test_shares_are_percent_of_what_is_there():
    split = Split(("a", "b"), (30, 40))  # a third version is not ready
    assert (split.share("a"), split.share("b"), split.share("c")) == (75, 25, 0)


class Recording:
    """The way to a real executor, remembering how blocks travelled; can be held."""

    def __init__(self, held: bool = False) -> None:
        self._inner = LocalCluster(Executor("v1", max_rows=2**20, max_queue_rows=2**20)).client("arithmetic-v1")
        self.reply_bytes: list[int] = []
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def describe(self):
        return await self._inner.describe()

    async def infer(self, sent, reply_bytes):
        self.reply_bytes.append(reply_bytes)
        await self.gate.wait()
        return await self._inner.infer(sent, reply_bytes)


async def test_the_client_is_told_how_big_the_reply_will_be():
    client = Recording()
    await Sender(client, INFO, lambda: None)((block(rows(1, 2)), block(rows(3))))
    assert client.reply_bytes == [3 * (3 * 4 + 8)]
    await Sender(client, INFO, lambda: None)((replace(block(rows(1, 2)), outputs=("total",)), block(rows(3))))
    assert client.reply_bytes[1:] == [2 * 8 + (3 * 4 + 8)]


async def test_a_call_that_takes_long_has_the_cluster_looked_at(monkeypatch):
    monkeypatch.setattr("serve_app.data_plane.route.STALL_S", 0.01)
    looks: list[int] = []
    client = Recording(held=True)
    call = asyncio.create_task(Sender(client, INFO, lambda: looks.append(1))((block(rows(1)),)))
    await until(lambda: len(looks) >= 3)
    client.gate.set()
    await call
    seen = len(looks)
    await asyncio.sleep(0.03)
    assert len(looks) == seen


async def test_a_release_that_was_tuned_is_noticed_once():
    class Tuned(Recording):
        async def infer(self, sent, reply_bytes):
            return tuple(replace(reply, revision=77) for reply in await super().infer(sent, reply_bytes))

    tuned: list[int] = []
    send = Sender(Tuned(), INFO, lambda: None, tuned.append)
    for _ in range(3):
        await send((block(rows(1)),))
    assert tuned == [77]
