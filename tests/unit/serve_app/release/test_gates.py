"""Verdicts of gates: worked-out cases, and by simulation how often they are wrong and how soon they are right."""

import json

import numpy as np
import pytest

from serve_app.config.rollout import RolloutConfig
from serve_app.release.counts import LATENCY_EDGES_MS, ArmCounts
from serve_app.release.gates import ArmMetric, Outcome, SecondSamples, compare_arms, judge
from serve_app.release.metrics import Sums

VERSIONS = ("v1", "v2")


def canary(*gates, steps=1, confidence=0.95):
    percents = [{"percent": percent} for percent in (20, 40, 60)[:steps]]
    return RolloutConfig.model_validate(
        {"strategy": "canary", "steps": percents, "gates": gates, "confidence": confidence}
    )


def shadow(*gates):
    return RolloutConfig.model_validate({"strategy": "shadow", "gates": gates})


def verdict(config, stable, new, samples=None):
    (only,) = judge(config, stable, new, samples or SecondSamples(), VERSIONS)
    return only


ERRORS = {"metric": "error_rate", "max_increase": 0.005}


def test_too_many_errors_fail():
    given = verdict(canary(ERRORS), ArmCounts(requests=5600, errors=5), ArmCounts(requests=1400, errors=35))
    assert given.outcome is Outcome.FAILED
    assert (given.gate, given.bound, given.new_value, given.new_n) == ("error_rate", "max_increase 0.005", 0.025, 1400)
    assert 0.005 < given.low < 0.024 < given.high
    assert given.sentence.endswith("at 95.0%: more than max_increase 0.005")


def test_as_many_errors_as_the_stable_version_pass():
    given = verdict(canary(ERRORS), ArmCounts(requests=5600, errors=56), ArmCounts(requests=1400, errors=14))
    assert given.outcome is Outcome.PASSED


def test_exact_bounds_fail_before_min_requests_and_pass_after_them():
    stable, gate = ArmCounts(requests=400), ERRORS | {"min_requests": 50}
    assert verdict(canary(gate), stable, ArmCounts(requests=6, errors=6)).outcome is Outcome.FAILED
    waiting = verdict(canary(gate), stable, ArmCounts(requests=49))
    assert waiting.outcome is Outcome.WAITING
    assert waiting.sentence.endswith("49 of 50 requests seen")
    assert verdict(canary(gate), stable, ArmCounts(requests=50)).outcome is Outcome.PASSED


def test_a_relative_bound_waits_for_the_stable_version():
    given = verdict(canary(ERRORS), ArmCounts(), ArmCounts(requests=1000))
    assert given.outcome is Outcome.WAITING
    assert given.sentence.endswith("0 of 1 requests of v1 seen")


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        ({"metric": "error_rate", "max": 0.05}, {"errors": 20}, {"errors": 100}),
        ({"metric": "deadline_miss_rate", "max": 0.05}, {"deadline_misses": 20}, {"deadline_misses": 100}),
        ({"metric": "latency_ms", "quantile": 0.5, "max": 100}, {"latency": {70: 1000}}, {"latency": {85: 1000}}),
        ({"metric": "disagreement", "max": 0.05}, {"disagreed": 20}, {"disagreed": 100}),
        ({"metric": "distance", "max": 0.05}, {"distance_sum": 40, "distance_squares": 2}, {"distance_sum": 60}),
        ({"metric": "accuracy", "min": 0.9}, {"correct": 920}, {"correct": 800}),
        ({"metric": "reward", "min": 0.5}, {"reward_sum": 500}, {"reward_sum": 100}),
        ({"metric": "reward", "max": 0.5}, {"reward_sum": 500}, {"reward_sum": 900}),
        ({"metric": "reward", "max_decrease": 0.1}, {"reward_sum": 550}, {"reward_sum": 300}),
        ({"metric": "reward", "max_increase": 0.1}, {"reward_sum": 550}, {"reward_sum": 900}),
        ({"metric": "accuracy", "max_decrease": 0.05}, {"correct": 900}, {"correct": 700}),
        ({"metric": "deadline_miss_rate", "max_increase": 0.01}, {"deadline_misses": 9}, {"deadline_misses": 90}),
    ],
)
def test_every_metric_passes_and_fails(gate, good, bad):
    everything = {"requests": 1000, "compared": 1000, "judged": 1000, "rewarded": 1000, "distance_squares": 4}
    stable = ArmCounts(**everything, correct=900, reward_sum=500, reward_squares=500)
    for counters, outcome in ((good, Outcome.PASSED), (bad, Outcome.FAILED)):
        squares = {"reward_squares": counters.get("reward_sum", 0)}  # rewards of 0 and 1
        new = ArmCounts(**everything | squares | counters)
        given = verdict(canary(gate), stable, new)
        assert (given.outcome, given.new_n) == (outcome, 1000)


def test_a_quantile_is_bounded_by_a_ratio():
    gate = {"metric": "latency_ms", "quantile": 0.95, "max_ratio": 1.5}
    stable = ArmCounts(latency={80: 1800, 90: 200})
    assert verdict(canary(gate), stable, ArmCounts(latency={80: 450, 90: 50})).outcome is Outcome.PASSED
    given = verdict(canary(gate), stable, ArmCounts(latency={80: 450, 98: 50}))
    assert given.outcome is Outcome.FAILED
    assert given.low == pytest.approx(2 ** (7 / 8))  # from the lower edge of bucket 98 to the upper edge of bucket 90


def test_the_risk_is_shared_by_gates_and_steps():
    gates = ERRORS, {"metric": "accuracy", "min": 0.5}
    confidences = [
        v.confidence for v in judge(canary(*gates, steps=3), ArmCounts(), ArmCounts(), SecondSamples(), VERSIONS)
    ]
    assert confidences == pytest.approx([1 - 0.05 / 6] * 2)
    assert verdict(canary(ERRORS, confidence=0.99), ArmCounts(), ArmCounts()).confidence == pytest.approx(0.99)
    assert verdict(shadow(ERRORS), ArmCounts(), ArmCounts()).confidence == pytest.approx(0.95)
    assert judge(canary(), ArmCounts(), ArmCounts(), SecondSamples(), VERSIONS) == ()


def test_a_mean_has_no_verdict_before_50_values_however_bad():
    gate = {"metric": "reward", "min": 0.5, "min_requests": 10}
    few = ArmCounts(rewarded=49, reward_sum=-500, reward_squares=6000)
    given = verdict(canary(gate), ArmCounts(), few)
    assert given.outcome is Outcome.WAITING
    assert given.sentence.endswith("49 of 50 rewards seen")
    enough = ArmCounts(rewarded=50, reward_sum=-500, reward_squares=6000)
    assert verdict(canary(gate), ArmCounts(), enough).outcome is Outcome.FAILED
    relative = {"metric": "reward", "max_decrease": 0.5, "min_requests": 10}
    given = verdict(canary(relative), few, enough)
    assert given.sentence.endswith("49 of 50 rewards of v1 seen")


def test_the_errors_of_a_shadow_are_those_of_its_copies():
    given = verdict(shadow(ERRORS), ArmCounts(requests=1000), ArmCounts(compared=150, shadow_errors=50))
    assert (given.outcome, given.new_n, given.new_value) == (Outcome.FAILED, 200, 0.25)


REFUSED = {"expression": "refused / requests", "max_increase": 0.1}


def test_an_expression_is_measured_once_a_second_and_arm():
    samples, config = SecondSamples(), canary(REFUSED)
    samples.add(config, ArmCounts(requests=10, refused=1), ArmCounts(requests=4, refused=2))
    samples.add(config, ArmCounts(requests=10, refused=2), ArmCounts(refused=7))  # nobody asked the new version
    assert samples.stable == {"refused / requests": Sums(2, pytest.approx(0.3), pytest.approx(0.05))}
    assert samples.new == {"refused / requests": Sums(1, 0.5, 0.25)}
    assert SecondSamples.from_json(json.loads(json.dumps(samples.to_json()))) == samples
    assert SecondSamples.from_json({}) == SecondSamples()


def test_a_second_of_a_shadow_counts_if_it_was_asked():
    samples, expression = SecondSamples(), "dropped / (compared + dropped)"
    config = shadow({"expression": expression, "max": 0.1})
    samples.add(config, ArmCounts(requests=10), ArmCounts(compared=3, dropped=1))
    samples.add(config, ArmCounts(requests=10), ArmCounts(dropped=1))
    samples.add(config, ArmCounts(requests=10), ArmCounts())
    samples.add(config, ArmCounts(requests=10), ArmCounts(shadow_errors=1))  # asked, but 0 / 0
    assert samples.new == {expression: Sums(2, 1.25, 1.0625)}
    assert samples.stable == {}


def test_an_expression_waits_for_requests_and_for_seconds():
    config, samples = canary(REFUSED), SecondSamples()
    one, total = ArmCounts(requests=3), ArmCounts()
    ends = []
    for _ in range(50):
        samples.add(config, one, one)
        total = total + one
        ends.append(verdict(config, total, total, samples).sentence.rpartition(": ")[2])
    assert ends[0] == "3 of 100 requests seen"
    assert ends[33] == "34 of 50 seconds seen"
    assert ends[49] == "max_increase 0.1 is not shown to be broken"
    for _ in range(50):
        samples.add(config, one, ArmCounts(requests=3, refused=3))
    failed = verdict(config, total, total, samples)
    assert (failed.outcome, failed.new_n, failed.new_value) == (Outcome.FAILED, 100, 0.5)


def test_an_experiment_shows_what_is_known_of_an_arm():
    control = ArmCounts(requests=1000, errors=10, latency={80: 990}, latency_ms_sum=9900.0, latency_ms_squares=2e5)
    arm = ArmCounts(requests=1000, errors=100, latency={80: 900}, latency_ms_sum=18000.0, latency_ms_squares=5e5)
    errors, latency = compare_arms(control, arm, 0.95)
    assert (errors.metric, errors.n, errors.value, errors.difference) == ("error_rate", 1000, 0.1, pytest.approx(0.09))
    assert errors.low < 0.1 < errors.high
    assert 0 < errors.difference_low < 0.09 < errors.difference_high
    assert (latency.metric, latency.n, latency.value, latency.difference) == ("latency_ms", 900, 20.0, 10.0)
    assert 0 < latency.difference_low < 10 < latency.difference_high


def test_an_experiment_says_nothing_of_what_nobody_measured_and_little_of_what_one_did():
    assert compare_arms(ArmCounts(), ArmCounts(), 0.95) == []
    control, arm = ArmCounts(judged=10, correct=5), ArmCounts(rewarded=2, reward_sum=3.0, reward_squares=5.0)
    assert compare_arms(control, arm, 0.95) == [
        ArmMetric("accuracy", 0, None, None, None, None, None, None),
        ArmMetric("reward", 2, 1.5, None, None, None, None, None),
    ]


# Simulations: v2 gets 20% of the traffic, both are looked at whenever v2 has had 100 more requests.

LOOK = 100
LATENCY = {"metric": "latency_ms", "quantile": 0.95, "max_ratio": 1.5}
ACCURACY = {"metric": "accuracy", "max_decrease": 0.02}
DISAGREEMENT = {"metric": "disagreement", "max": 0.02}


class Arm:
    """Cumulative counts of one simulated version at each look; log-normal latencies of median 20 ms times `slow`."""

    def __init__(self, rng, size, *, errors=0.001, slow=1.0, right=0.95, disagree=0.01):
        looks, per_look = size
        self.per_look, self.judged = per_look, per_look // 2
        buckets = np.searchsorted(LATENCY_EDGES_MS, rng.lognormal(np.log(20 * slow), 0.5, (looks, per_look)))
        counts = [np.bincount(row, minlength=len(LATENCY_EDGES_MS) + 1) for row in buckets]
        self.latency = np.cumsum(counts, axis=0)
        self.errors = np.cumsum(rng.binomial(per_look, errors, looks))
        self.correct = np.cumsum(rng.binomial(self.judged, right, looks))
        self.disagreed = np.cumsum(rng.binomial(per_look, disagree, looks))

    def at(self, look):
        latency = self.latency[look]
        n = (look + 1) * self.per_look
        return ArmCounts(
            requests=n,
            errors=int(self.errors[look]),
            latency={int(bucket): int(latency[bucket]) for bucket in np.flatnonzero(latency)},
            compared=n,
            disagreed=int(self.disagreed[look]),
            judged=(look + 1) * self.judged,
            correct=int(self.correct[look]),
        )


def failures(config, runs, requests, stable=None, new=None):
    """The gates that failed first in each run with any, within so many requests of the new version."""
    rng = np.random.default_rng(11)
    looks = requests // LOOK
    found = []
    for _ in range(runs):
        arms = Arm(rng, (looks, 4 * LOOK), **stable or {}), Arm(rng, (looks, LOOK), **new or {})
        for look in range(looks):
            verdicts = judge(config, arms[0].at(look), arms[1].at(look), SecondSamples(), VERSIONS)
            if failed := [given.gate for given in verdicts if given.outcome is Outcome.FAILED]:
                found.append(failed)
                break
    return found


def test_at_most_5_percent_of_1000_equal_versions_are_rolled_back_under_bounds_that_allow_nothing():
    """1,000 requests of v2, 10 looks, error rate 1%, accuracy 95%, no tolerance at all."""
    nothing = [ERRORS | {"max_increase": 0}, LATENCY | {"max_ratio": 1}, ACCURACY | {"max_decrease": 0}]
    equal = {"errors": 0.01}
    assert len(failures(canary(*nothing), 1000, 1000, equal, equal)) <= 50


@pytest.mark.parametrize(
    ("gates", "bad", "requests", "gate"),
    [
        ((ERRORS, LATENCY, ACCURACY), {"errors": 0.02}, 3000, "error_rate"),
        ((ERRORS, LATENCY, ACCURACY), {"slow": 2.0}, 2100, "latency_ms p95"),
        ((ERRORS, LATENCY, DISAGREEMENT), {"disagree": 0.05}, 1500, "disagreement"),
    ],
)
def test_bad_versions_are_found_within_these_requests_in_95_percent_of_200_runs(gates, bad, requests, gate):
    """Errors 2% against 0.1%: 3,000; latency twice as high: 2,100; disagreement 5%: 1,500 requests of v2."""
    found = failures(canary(*gates), 200, requests, new=bad)
    assert sum(gate in gates_failed for gates_failed in found) >= 190
