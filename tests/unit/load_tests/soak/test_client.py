from __future__ import annotations

import time
from collections import Counter

import pytest
from support.http_servers import answer, answering
from support.soak_oracle import DIGITS_V1, oracle, v2_answer

from load_tests.soak.client import Client, Ledger
from load_tests.soak.mix import HURRIED, Kind, Mix, Probe

PATH = "/v2/models/digits/versions/v1/infer"
RIGHT = answer(200, v2_answer("v1", DIGITS_V1[[0]], [0]))
ORDINARY = Probe(
    Kind.ORDINARY, PATH, b"0123456789", frozenset({200}), may_be_refused=True, model="digits", version="v1", rows=(0,)
)
HURRIED_ONE = Probe(Kind.HURRIED_HEADER, PATH, b"{}", HURRIED, model="digits", version="v1", rows=(0,))
LEAVING = Probe(Kind.LEAVES, PATH, b"{}", frozenset({200}), model="digits", rows=(0,), leaves_after_s=0.0)
HALF_SENT = Probe(Kind.HALF_SENT, PATH, b"0123456789", frozenset({200}), is_half_sent=True)
BAD = Probe(Kind.BAD, PATH, b"{", frozenset({400}))


async def sent(reply, *probes: Probe, hang_s: float = 30.0):
    ledger = Ledger()
    async with answering(reply) as (target, seen):
        client = Client(target.url.removesuffix("/infer"), oracle(), ledger, hang_s)
        for probe in probes:
            await client.send(probe)
        await client.close()
    return ledger, seen


async def test_right_answers_come_on_one_connection():
    ledger, seen = await sent(lambda _: RIGHT, ORDINARY, ORDINARY)
    tally = ledger.tallies[Kind.ORDINARY]
    assert (tally.sent, tally.right, tally.statuses, seen.connections) == (2, 2, Counter({200: 2}), 1)
    assert ledger.violations == Counter()
    assert seen.heads[0].startswith(b"post " + PATH.encode())


async def test_a_wrong_answer_is_a_violation():
    ledger, _ = await sent(lambda _: answer(200, v2_answer("v1", DIGITS_V1[[1]], [1])), ORDINARY)
    assert ledger.violations == Counter({"wrong answer": 1})
    assert "row 0 of 1 is off by 0.7" in ledger.examples[0]


@pytest.mark.parametrize("status", [429, 503, 504])
async def test_a_refusal_of_one_in_no_hurry_is_counted(status):
    ledger, _ = await sent(lambda number: answer(status) if number == 0 else RIGHT, *[ORDINARY] * 4)
    assert ledger.tallies[Kind.ORDINARY].refused == 1
    assert ledger.refused_share() == 0.25
    assert ledger.violations == Counter()


async def test_a_hurried_request_may_be_too_late_but_not_unavailable():
    ledger, _ = await sent(lambda number: (answer(504), RIGHT, answer(503))[number], *[HURRIED_ONE] * 3)
    assert ledger.tallies[Kind.HURRIED_HEADER].right == 2
    assert ledger.violations == Counter({"wrong status": 1})


async def test_a_bad_request_must_have_its_status():
    ledger, _ = await sent(lambda number: answer(400 if number == 0 else 500, b'{"error": "x"}'), BAD, BAD)
    assert (ledger.tallies[Kind.BAD].right, ledger.violations) == (1, Counter({"wrong status": 1}))
    assert '500 {"error": "x"}' in ledger.examples[0]


async def test_those_who_leave_close_their_connection():
    ledger, seen = await sent(lambda _: RIGHT, HALF_SENT, ORDINARY)
    assert (ledger.tallies[Kind.HALF_SENT].left, ledger.tallies[Kind.ORDINARY].right) == (1, 1)
    assert seen.connections == 2
    ledger, _ = await sent(lambda number: RIGHT if number else b"HTTP/1.1 200", LEAVING, hang_s=30)
    assert ledger.tallies[Kind.LEAVES].left == 1
    assert ledger.violations == Counter()


async def test_a_request_left_hanging_is_a_violation():
    ledger, _ = await sent(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", ORDINARY, hang_s=0.05)
    assert ledger.violations == Counter({"no answer": 1})


async def test_a_connection_that_breaks_is_a_violation_and_the_next_probe_goes_on():
    ledger, _ = await sent(lambda number: RIGHT if number else None, ORDINARY, ORDINARY)
    assert ledger.violations == Counter({"connection broken": 1})
    assert ledger.tallies[Kind.ORDINARY].right == 1


async def test_a_client_sends_its_mix_until_the_time_is_over():
    ledger = Ledger()
    async with answering(lambda _: answer(400)) as (target, seen):
        client = Client(target.url.removesuffix("/infer"), oracle(), ledger)
        await client.run(Mix(oracle(), seed=1), until=time.perf_counter() + 0.2)
    assert sum(tally.sent for tally in ledger.tallies.values()) > 0
    assert seen.bodies
