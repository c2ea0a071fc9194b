"""The order of a benchmark, with hosts and instruments that only take notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from support.bench_results import MACHINE, closed_point, open_point

from load_tests.accounting import Cost
from load_tests.arrivals import seconds_of
from load_tests.batch_sizes import BatchSample
from load_tests.bench import Bench
from load_tests.goodput import GoodputSettings
from load_tests.host_noise import HostNoise
from load_tests.plan import Plan
from load_tests.points import LoadFailed
from load_tests.results import BenchResults, Unavailable
from load_tests.target import HostUnavailable, Target

PLAN = Plan(
    rounds=2,
    connections=(1, 64),
    many_connections=256,
    fast_per_s=5000,
    warm_up_s=1,
    point_s=2,
    goodput=GoodputSettings(max_rates=1, multiples=()),
    ramp_s=10,
)


@dataclass
class FakeHost:
    name: str
    targets: tuple[Target, ...] = ()
    reason: str = ""
    running_now: bool = False

    @contextmanager
    def running(self) -> Iterator[tuple[Target, ...]]:
        if self.reason:
            raise HostUnavailable(self.reason)
        self.running_now = True
        yield self.targets
        self.running_now = False


def target(name: str) -> Target:
    return Target(name, "digits", f"http://{name}/infer", (b"a",), pids=(1,))


@dataclass
class FakeInstruments:
    """A server's rate is 100 a connection, up to its limit; the clock moves by the length of each load."""

    log: list[str] = field(default_factory=list)
    limits: dict[str, float] = field(default_factory=dict)
    broken: str = ""
    telling: tuple[str, ...] = ()
    now: float = 0.0
    headers: dict[str, object] = field(default_factory=dict)

    def closed(self, target, connections, seconds):
        self.now += seconds
        if target.name == self.broken:
            raise LoadFailed("nobody listens")
        self.log.append(f"{target.name} {connections}")
        return closed_point(connections, min(100.0 * connections, self.limits.get(target.name, 1e9)))

    def open(self, load):
        self.now += seconds_of(load.phases)
        rate = load.phases[0].rate_per_s
        self.log.append(f"{load.target.name} open {rate:g}")
        self.headers[load.target.name] = load.target.headers
        return open_point(rate, rate)

    def cost_of(self, target, load):
        return load(), Cost(1.0, 0, len(target.pids))

    def noise(self, seconds):
        self.log.append("noise")
        return HostNoise(0.01, 5.0)

    def tells_batches(self, target):
        return target.name in self.telling

    def batch_sizes(self, load):
        self.now += seconds_of(load.phases)
        self.log.append(f"{load.target.name} ramp to {max(phase.rate_per_s for phase in load.phases):g}")
        return (BatchSample(1.0, 4.0, 100.0),)


class Silent:
    def host(self, name):
        pass

    more = step = host


def measured(hosts, instruments: FakeInstruments, **changes) -> BenchResults:
    results = BenchResults("bench", "2026-11-23", MACHINE, replace(PLAN, **changes))
    Bench(results.plan, instruments, Silent(), results, lambda: instruments.now).run(hosts)
    return results


def test_targets_take_turns_and_hosts_come_again_in_the_next_round():
    instruments = FakeInstruments()
    hosts = [FakeHost("both", (target("a"), target("b"))), FakeHost("one", (target("c"),))]
    results = measured(hosts, instruments, many_connections=0)
    closed = [line for line in instruments.log if "open" not in line]
    a_round = ["noise", "a 8", "b 8", "a 1", "b 1", "a 64", "b 64", "c 8", "c 1", "c 64"]
    assert closed == a_round * 2
    assert [(part.round, part.target) for part in results.rounds] == [(n, name) for n in (1, 2) for name in "abc"]
    assert not any(host.running_now for host in hosts)
    assert results.noise == [HostNoise(0.01, 5.0)] * 2


def test_goodput_is_searched_from_the_best_closed_loop_and_run_at_twice_the_rate():
    instruments = FakeInstruments(limits={"a": 5000})
    results = measured([FakeHost("h", (target("a"),))], instruments, rounds=1, many_connections=0)
    assert [line for line in instruments.log if "open" in line] == ["a open 3000", "a open 6000"]
    goodput = results.rounds[0].goodput
    assert goodput is not None
    assert (goodput.rate_per_s, goodput.is_bound) == (3000, True)


def test_only_fast_targets_get_many_connections():
    instruments = FakeInstruments(limits={"slow": 4999})
    measured([FakeHost("h", (target("fast"), target("slow")))], instruments, rounds=1)
    assert "fast 256" in instruments.log
    assert "slow 256" not in instruments.log


def test_batch_sizes_are_read_in_the_first_round_of_the_fastest_target_that_tells_them():
    instruments = FakeInstruments(telling=("a", "b"), limits={"a": 1000, "b": 500, "c": 2000})
    results = measured([FakeHost("h", (target("a"), target("b"), target("c")))], instruments, many_connections=0)
    assert [line for line in instruments.log if "ramp" in line] == ["a ramp to 810"]  # the peak's second has 0.9 of it
    assert [part.ramp_peak_per_s for part in results.rounds] == [900, 0, 0, 0, 0, 0]


def test_a_host_that_cannot_run_is_told_once_and_the_others_go_on():
    results = measured([FakeHost("peer", reason="no Java"), FakeHost("h", (target("a"),))], FakeInstruments())
    assert results.unavailable == [Unavailable("peer", "no Java")]
    assert [part.target for part in results.rounds] == ["a", "a"]


def test_a_target_that_takes_no_load_is_a_note_and_the_others_go_on():
    results = measured([FakeHost("h", (target("a"), target("b")))], FakeInstruments(broken="a"), rounds=1)
    assert results.notes == ["a, digits: nobody listens"]
    assert [part.target for part in results.rounds] == ["b"]


def test_what_there_is_no_time_for_is_left_out_and_told():
    hosts = [FakeHost("one", (target("a"),)), FakeHost("two", (target("b"),))]
    # each host needs 1 + 2 x 2 s for its closed loops; a search counts as (1 + 1) runs of 4 + 1 s
    results = measured(hosts, FakeInstruments(), rounds=1, many_connections=0, limit_s=30, host_reserve_s=16)
    assert results.left_out == ["a, digits: goodput"]
    assert [part.goodput is not None for part in results.rounds] == [False, True]


def test_only_our_own_server_is_told_the_objective():
    instruments = FakeInstruments()
    measured([FakeHost("h", (target("serve-app, a door"), target("peer")))], instruments, rounds=1, many_connections=0)
    assert instruments.headers == {"serve-app, a door": (("x-request-timeout-seconds", "0.05"),), "peer": ()}
