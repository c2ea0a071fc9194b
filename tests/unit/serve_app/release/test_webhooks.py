"""Webhooks, against real local receivers."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import json
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from support.doors import free_port
from support.http_servers import answer, answering, listening, read_request
from support.records import event
from support.waiting import until

from serve_app.config.gateway import WebhookConfig
from serve_app.errors import ConfigError, ControllerAway
from serve_app.release import webhooks
from serve_app.release.store import Delivery, Store
from serve_app.release.webhooks import GIVE_UP_S, MOST_ANSWER_BYTES, Webhooks

OK = answer(204, b"")


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Away:
    """A store whose database is away while `is_away`."""

    def __init__(self, store: Store) -> None:
        self.store, self.is_away = store, False

    def due(self, *arguments):
        return self._asked().due(*arguments)

    def settle(self, *arguments):
        return self._asked().settle(*arguments)

    def _asked(self) -> Store:
        if self.is_away:
            raise ControllerAway("its database is locked")
        return self.store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds nothing; a copy of it saves the steps that make its tables."""
    path = tmp_path_factory.mktemp("empty") / "state.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="module", autouse=True)
def one_tls_context() -> Iterator[None]:
    """No receiver here speaks TLS, and to read the authorities anew for every client takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture
def opened(tmp_path: Path, empty: Path) -> Iterator:
    """Opens stores of one database for some URLs."""
    stores = []
    shutil.copyfile(empty, tmp_path / "state.db")

    def opened(*urls: str) -> Store:
        stores.append(Store.open(f"sqlite:///{tmp_path}/state.db", urls=urls))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


@asynccontextmanager
async def telling(store, clock: Clock, *urls: str, **options) -> AsyncIterator[Webhooks]:
    configs = [WebhookConfig(url=url, **options) for url in urls]
    hooks = Webhooks(store, configs, {"KEY": "secret"}, clock, random_point=lambda: 0.5)
    try:
        yield hooks
    finally:
        await hooks.close()


async def told(hooks: Webhooks, now_s: float) -> int:
    count = await hooks.deliver_due(now_s)
    await hooks.rest()
    return count


async def test_an_event_is_posted_once_with_what_receivers_need(opened, clock):
    clock.now_s = 1234.75
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event("e1", details={"x": float("nan")})])
        async with telling(store, clock, target.url, secret_env="KEY") as hooks:  # noqa: S106 - a variable's name
            assert [await told(hooks, 1234) for _ in range(3)] == [1, 0, 0]
    assert json.loads(seen.bodies[0]) == {
        **{"id": "e1", "time_s": 1000.0, "kind": "traffic", "model": "digits", "actor": "ann"},
        **{"text": "v2 takes 5%", "details": {"x": None}},
    }
    assert len(seen.bodies) == 1
    signature = hmac.new(b"secret", b"1234." + seen.bodies[0], hashlib.sha256).hexdigest().encode()
    for line in (
        *(b"content-type: application/json", b"x-serve-app-event: traffic", b"x-serve-app-delivery: e1"),
        *(b"x-serve-app-timestamp: 1234", b"x-serve-app-signature: sha256=" + signature),
    ):
        assert line in seen.heads[0].split(b"\r\n")


async def test_without_a_secret_there_is_no_signature(opened, clock):
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event()])
        async with telling(store, clock, target.url) as hooks:
            await told(hooks, 0)
    assert b"x-serve-app-signature" not in seen.heads[0]


def test_a_secret_that_is_not_set_is_refused(opened, clock):
    config = WebhookConfig(url="https://hook/with-a-token", secret_env="KEY")  # noqa: S106 - a variable's name
    for secrets in ({}, {"KEY": ""}):
        with pytest.raises(ConfigError, match="the secret of webhook hook is missing: set KEY"):
            Webhooks(opened(), [config], secrets, clock)


async def test_events_are_told_in_their_order_over_one_connection(opened, clock):
    async with answering(lambda _: answer(200, b"x" * 1000)) as (target, seen):
        store = opened(target.url)
        store.save([event("b"), event("a"), event("c")])
        async with telling(store, clock, target.url) as hooks:
            assert await told(hooks, 0) == 3
    assert [json.loads(body)["id"] for body in seen.bodies] == ["b", "a", "c"]
    assert seen.connections == 1


async def test_what_failed_is_told_later_with_ever_longer_waits(opened, clock):
    """Waits are three quarters of 2, 4 and 8 s with a random number of 0.5."""
    replies = [answer(500), answer(400), answer(302, b"", "Location: /other"), OK]
    async with answering(lambda number: replies[number]) as (target, seen):
        store = opened(target.url)
        store.save([event()])
        async with telling(store, clock, target.url) as hooks:
            for wait_s in (1.5, 3.0, 6.0):
                assert await told(hooks, clock.now_s) == 1
                assert await told(hooks, clock.now_s + wait_s - 0.1) == 0
                clock.now_s += wait_s
            assert await told(hooks, clock.now_s) == 1
            assert await told(hooks, 1e9) == 0
    assert len(seen.bodies) == 4
    assert all(head.startswith(b"post /infer ") for head in seen.heads)  # a redirect is not followed


async def test_waits_grow_to_an_hour(opened, clock):
    async with answering(lambda _: answer(404)) as (target, _):
        store = opened(target.url)
        store.save([event()])
        async with telling(store, clock, target.url) as hooks:
            for wait_s in (*(1.5 * 2**failed for failed in range(11)), 2700.0, 2700.0):
                assert await told(hooks, clock.now_s) == 1
                assert await told(hooks, clock.now_s + wait_s - 0.1) == 0
                clock.now_s += wait_s
            assert await told(hooks, clock.now_s) == 1


async def test_an_event_a_receiver_refuses_does_not_hold_up_the_next(opened, clock):
    async with answering(lambda number: answer(400) if number == 0 else OK) as (target, seen):
        store = opened(target.url)
        store.save([event("e1"), event("e2")])
        async with telling(store, clock, target.url) as hooks:
            assert await told(hooks, clock.now_s) == 2
            assert await told(hooks, clock.now_s) == 0
        assert store.due([target.url], 1e9, 9) == [Delivery(event("e1"), target.url, 1)]
    assert len(seen.bodies) == 2


async def test_a_receiver_that_is_away_is_asked_once_a_round_and_told_all_when_it_is_back(opened, clock):
    is_away = True
    async with answering(lambda _: answer(503) if is_away else OK) as (target, seen):
        store = opened(target.url)
        store.save([event("e1"), event("e2")])
        async with telling(store, clock, target.url) as hooks:
            await told(hooks, clock.now_s)
            assert len(seen.bodies) == 1
            is_away = False
            await told(hooks, clock.now_s)
            await told(hooks, clock.now_s + 2)
    assert [json.loads(body)["id"] for body in seen.bodies] == ["e1", "e2", "e1"]


async def test_after_a_day_nobody_tries_any_more_and_the_log_says_so(opened, clock, caplog):
    clock.now_s = 1000.0 + GIVE_UP_S
    url = f"http://127.0.0.1:{free_port()}/token"
    store = opened(url)
    store.save([event("e1", time_s=1000.0), event("e2", time_s=1000.1)])
    async with telling(store, clock, url) as hooks:
        for _ in range(3):
            await told(hooks, clock.now_s)
    assert store.due([url], 1e12, 9) == [Delivery(event("e2", time_s=1000.1), url, 1)]
    (lost,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert lost.startswith("webhook 127.0.0.1 will never be told event e1 (traffic): ")
    assert "token" not in caplog.text


async def test_a_slow_receiver_holds_up_none_but_itself(opened, clock):
    going_on, seen = asyncio.Event(), []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            await going_on.wait()
            writer.write(OK)

    async with listening(slow) as port, answering(lambda _: OK) as (target, quick):
        url = f"http://127.0.0.1:{port}/"
        store = opened(url, target.url)
        async with telling(store, clock, url, target.url) as hooks:
            for number in range(3):
                store.save([event(f"e{number}")])
                while len(quick.bodies) == number:
                    await hooks.deliver_due(0)
            await until(lambda: len(seen) == 1)
            going_on.set()
            await hooks.rest()
            assert await told(hooks, 0) == 2
        assert store.due([url, target.url], 1e9, 9) == []


async def test_an_endless_answer_counts_and_is_not_read_to_its_end(opened, clock):
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 2**14)
            await writer.drain()
            sent += 2**14

    async with listening(endless) as port:
        url = f"http://127.0.0.1:{port}/"
        store = opened(url)
        store.save([event()])
        async with telling(store, clock, url) as hooks:
            assert await told(hooks, 0) == 1
            assert await told(hooks, 1e9) == 0
        assert store.due([url], 1e9, 9) == []
    assert sent >= MOST_ANSWER_BYTES


async def test_a_receiver_that_never_answers_is_left_after_a_while(opened, clock, monkeypatch, caplog):
    monkeypatch.setattr(webhooks, "TIMEOUT_S", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silent) as port:
        url = f"http://127.0.0.1:{port}/"
        store = opened(url)
        store.save([event()])
        async with telling(store, clock, url) as hooks:
            await told(hooks, clock.now_s)
    assert "was not told event e1, again in 2 s: no answer within 0.05 s" in caplog.text
    assert [delivery.attempts for delivery in store.due([url], 1e9, 9)] == [1]


async def test_while_the_database_is_away_nothing_is_told_and_nothing_told_again(opened, clock, caplog):
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event("e1")])
        away = Away(store)
        async with telling(away, clock, target.url) as hooks:
            await told(hooks, 0)
            away.is_away = True
            assert [await told(hooks, 0) for _ in range(2)] == [0, 0]
            store.save([event("e2")])
            away.is_away = False
            assert await told(hooks, 0) == 1
    assert [json.loads(body)["id"] for body in seen.bodies] == ["e1", "e2"]
    assert "webhooks wait: its database is locked" in caplog.text


async def test_whatever_fails_the_caller_goes_on(clock, caplog):
    class Broken:
        def due(self, *_):
            raise RuntimeError("ours")

    async with telling(Broken(), clock, "http://hook/") as hooks:
        assert await hooks.deliver_due(0) == 0
    assert "webhooks failed" in caplog.text


async def test_an_event_that_no_header_can_carry_does_not_hold_up_the_next(opened, clock):
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event("e1", kind="naïve\n"), event("e2")])
        async with telling(store, clock, target.url) as hooks:
            await told(hooks, clock.now_s)
            await told(hooks, clock.now_s)
        assert [json.loads(body)["id"] for body in seen.bodies] == ["e2"]
        assert [delivery.event.id for delivery in store.due([target.url], 1e9, 9)] == ["e1"]


async def test_what_was_told_before_the_end_is_not_told_by_the_next_one(opened, clock):
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event()])
        for _ in range(2):
            async with telling(store, clock, target.url) as hooks:
                await told(hooks, 0)
    assert len(seen.bodies) == 1


async def test_what_is_under_way_at_the_end_is_told_by_the_next_one(opened, clock):
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        asked.set()
        await reader.read()

    async with listening(silent) as port:
        url = f"http://127.0.0.1:{port}/"
        store = opened(url)
        store.save([event()])
        async with telling(store, clock, url) as hooks:
            await hooks.deliver_due(0)
            await asked.wait()
        assert store.due([url], 0, 9) == [Delivery(event(), url)]


async def test_two_calls_at_once_tell_an_event_once(opened, clock):
    async with answering(lambda _: OK) as (target, seen):
        store = opened(target.url)
        store.save([event()])
        async with telling(store, clock, target.url) as hooks:
            assert sorted(await asyncio.gather(hooks.deliver_due(0), hooks.deliver_due(0))) == [0, 1]
            await hooks.rest()
    assert len(seen.bodies) == 1


async def test_without_urls_the_store_is_not_asked(clock):
    async with telling(None, clock) as hooks:
        assert await hooks.deliver_due(0) == 0


def test_urls_that_are_told_belong_to_the_store(opened):
    with closing(opened("http://a/", "http://a/")) as store:
        store.save([event()])
        assert len(store.due(["http://a/"], 0, 9)) == 1
