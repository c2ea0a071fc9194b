from __future__ import annotations

from support.http_servers import answer, answering
from support.soak_oracle import oracle

from load_tests.soak.client import Ledger
from load_tests.soak.memory import MemorySample
from load_tests.soak.mix import Kind
from load_tests.soak.soak import SoakPlan, SoakResult, soak


def result(*, sent: int = 1000, refused: int = 0, last_bytes: int = 100) -> SoakResult:
    made = SoakResult(SoakPlan(60), Ledger())
    tally = made.ledger.tallies[Kind.ORDINARY]
    tally.sent, tally.refused = sent, refused
    made.memory = [MemorySample(float(at), {"1 x": 100 if at < 8 else last_bytes}) for at in range(11)]
    return made


def test_a_soak_without_faults_passes():
    assert result().violations == []


def test_memory_may_grow_by_a_twentieth():
    assert result(last_bytes=105).violations == []
    assert result(last_bytes=106).violations == ["memory grew by 6.0%, the limit is 5%"]
    assert result(last_bytes=50).violations == []


def test_few_refusals_are_allowed():
    assert result(refused=10).violations == []
    assert result(refused=11).violations == ["1.1% of the requests in no hurry were refused, the limit is 1%"]


def test_every_fault_is_a_violation():
    made = result()
    made.ledger.violate("wrong answer", "row 1")
    made.ledger.violate("wrong answer", "row 2")
    assert made.violations == ["wrong answer: 2 times"]


def test_a_long_soak_samples_every_ten_seconds_and_a_short_one_sixty_times():
    assert SoakPlan(3600).sample_interval_s == 10
    assert SoakPlan(60).sample_interval_s == 1


async def test_clients_send_memory_is_read_and_a_lone_request_comes_last():
    progress: list[float] = []
    async with answering(lambda _: answer(400)) as (target, seen):
        base = target.url.removesuffix("/infer")
        made = await soak(base, oracle(), SoakPlan(0.3, clients=2), lambda: {"1 x": 7}, progress.append)
    assert made.memory[0].total == 7
    assert progress
    assert made.ledger.tallies[Kind.ORDINARY].statuses[400] >= 1  # at least the last one, which is a violation here
    assert made.violations
    assert seen.connections >= 3


async def test_memory_of_a_server_whose_processes_are_unknown_is_not_read():
    async with answering(lambda _: answer(400)) as (target, _):
        made = await soak(target.url.removesuffix("/infer"), oracle(), SoakPlan(0.1, 1), None, lambda _: None)
    assert made.memory == []
