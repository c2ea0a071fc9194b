"""Benchmark results with figures worked out by hand."""

from __future__ import annotations

from load_tests.accounting import Cost
from load_tests.batch_sizes import BatchSample
from load_tests.goodput import Goodput
from load_tests.machine import Machine
from load_tests.plan import QUICK, Plan
from load_tests.points import ClosedPoint, OpenPoint
from load_tests.results import BenchResults, ClosedRun, TargetRound

MACHINE = Machine(2, "Xeon", 23.0, "Debian 12", "3.11.2", (("ray", "2.60.0"),))


def closed_point(connections: int, requests_per_s: float, answers: int = 1000, failed: int = 0) -> ClosedPoint:
    return ClosedPoint(connections, 2.0, answers, requests_per_s, 1.5, 2.5, 9.0, failed, "wrk")


def open_point(offered_per_s: float, goodput_per_s: float) -> OpenPoint:
    share = goodput_per_s / offered_per_s
    return OpenPoint(offered_per_s, goodput_per_s, share, 3.0, 40.0, offered_per_s - goodput_per_s, 1.0, 6.0, 0, 1.2)


def target_round(number: int, target: str, per_s: dict[int, float], cpu_s: float = 0.2) -> TargetRound:
    closed = [ClosedRun(closed_point(at, rate), Cost(cpu_s, 100 * 2**20, 3)) for at, rate in per_s.items()]
    return TargetRound(number, "host", target, "digits", closed)


def bench_results(plan: Plan = QUICK) -> BenchResults:
    """Ours is 2x and 4x as fast as the other with 1 and 64 connections in round 1, and 3x and 5x in round 2."""
    ours = [
        target_round(1, "serve-app", {1: 200, 64: 4000}),
        target_round(2, "serve-app", {1: 300, 64: 5000}),
    ]
    ours[0].goodput = Goodput(3000, False, (open_point(3000, 3000), open_point(6000, 2700)), open_point(6000, 2700))
    ours[0].batch_sizes = (BatchSample(1.0, 2.0, 500.0), BatchSample(2.0, 8.0, 2000.0))
    others = [
        target_round(1, "other", {1: 100, 64: 1000}, cpu_s=0.8),
        target_round(2, "other", {1: 100, 64: 1000}, cpu_s=0.8),
    ]
    others[0].goodput = Goodput(750, True, (open_point(750, 750),), None)
    rounds = [ours[0], others[0], ours[1], others[1]]
    return BenchResults("python -m load_tests bench", "2026-11-23", MACHINE, plan, rounds)
