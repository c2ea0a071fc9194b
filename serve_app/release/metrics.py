"""Metrics of two arms, each with its interval for the new arm and for the new arm against the stable one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.release import sequential
from serve_app.release.counts import ArmCounts
from serve_app.release.sequential import Interval


@dataclass(frozen=True, slots=True)
class Sums:
    """Values seen so far: how many, their sum and their sum of squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, value: float) -> Sums:
        """With one more value."""
        return Sums(self.n + 1, self.total + value, self.squares + value * value)

    @property
    def mean(self) -> float | None:
        """None without values."""
        return self.total / self.n if self.n else None


class Pair(Protocol):
    """One metric of both arms."""

    @property
    def needs(self) -> int:
        """Values of an arm below which nothing can be said of it, however clear it looks."""

    @property
    def new_n(self) -> int:
        """What the new arm's value was measured on."""

    @property
    def stable_n(self) -> int:
        """What the stable arm's value was measured on."""

    @property
    def new_value(self) -> float | None:
        """None without anything to measure it on."""

    @property
    def stable_value(self) -> float | None:
        """None without anything to measure it on."""

    def absolute(self, alpha: float) -> Interval:
        """Of the new arm's value."""

    def relative(self, alpha: float) -> Interval:
        """Of the difference new - stable; of a quantile, of the ratio new / stable."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of requests, e.g. of errors; exact at every n."""

    new_count: int
    new_n: int
    stable_count: int = 0
    stable_n: int = 0
    needs: int = 1

    @property
    def new_value(self) -> float | None:
        """Share of the new arm."""
        return self.new_count / self.new_n if self.new_n else None

    @property
    def stable_value(self) -> float | None:
        """Share of the stable arm."""
        return self.stable_count / self.stable_n if self.stable_n else None

    def absolute(self, alpha: float) -> Interval:
        """By the beta-binomial mixture."""
        return sequential.proportion_bounds(self.new_count, self.new_n, alpha)

    def relative(self, alpha: float) -> Interval:
        """By the product of both arms' mixtures."""
        new, stable = (self.new_count, self.new_n), (self.stable_count, self.stable_n)
        return sequential.proportion_difference(new, stable, alpha)


@dataclass(frozen=True, slots=True)
class Means:
    """Means of a number; asymptotic, hence the `needs`."""

    new: Sums
    stable: Sums = field(default_factory=Sums)
    needs: int = sequential.MEAN_FROM

    @property
    def new_n(self) -> int:
        """Values of the new arm."""
        return self.new.n

    @property
    def stable_n(self) -> int:
        """Values of the stable arm."""
        return self.stable.n

    @property
    def new_value(self) -> float | None:
        """Mean of the new arm."""
        return self.new.mean

    @property
    def stable_value(self) -> float | None:
        """Mean of the stable arm."""
        return self.stable.mean

    def absolute(self, alpha: float) -> Interval:
        """By the normal mixture."""
        return sequential.mean_bounds(self.new.total, self.new.squares, self.new.n, alpha)

    def relative(self, alpha: float) -> Interval:
        """By the product of both arms' mixtures."""
        new = self.new.total, self.new.squares, self.new.n
        stable = self.stable.total, self.stable.squares, self.stable.n
        return sequential.mean_difference(new, stable, alpha)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A quantile of the latency of answers, in ms; exact but for the width of the histogram's buckets."""

    q: float
    new: Mapping[int, int]
    stable: Mapping[int, int] = field(default_factory=dict)
    needs: int = 1

    @property
    def new_n(self) -> int:
        """Answers of the new arm."""
        return sum(self.new.values())

    @property
    def stable_n(self) -> int:
        """Answers of the stable arm."""
        return sum(self.stable.values())

    @property
    def new_value(self) -> float | None:
        """Quantile of the new arm."""
        return sequential.quantile(self.new, self.q)

    @property
    def stable_value(self) -> float | None:
        """Quantile of the stable arm."""
        return sequential.quantile(self.stable, self.q)

    def absolute(self, alpha: float) -> Interval:
        """By the test of a proportion at the edges of the buckets."""
        return sequential.quantile_bounds(self.new, self.q, alpha)

    def relative(self, alpha: float) -> Interval:
        """By both arms' intervals, each with half of alpha."""
        return sequential.quantile_ratio(self.new, self.stable, self.q, alpha)


def error_rate(new: ArmCounts, stable: ArmCounts, *, is_shadow: bool = False) -> Rates:
    """Requests that ended with an error; of a shadow, which has no requests of its own, copies that did."""
    if is_shadow:
        copies = new.compared + new.shadow_errors
        return Rates(new.shadow_errors, copies, stable.errors, stable.requests)
    return Rates(new.errors, new.requests, stable.errors, stable.requests)


def deadline_miss_rate(new: ArmCounts, stable: ArmCounts) -> Rates:
    """Requests that were too late, or refused because they would have been."""
    return Rates(new.deadline_misses, new.requests, stable.deadline_misses, stable.requests)


def disagreement(new: ArmCounts) -> Rates:
    """Compared requests whose prediction was not the stable version's."""
    return Rates(new.disagreed, new.compared)


def distance(new: ArmCounts) -> Means:
    """Mean distance of the predictions of compared requests."""
    return Means(Sums(new.compared, new.distance_sum, new.distance_squares))


def accuracy(new: ArmCounts, stable: ArmCounts) -> Rates:
    """Answers that were right, of those whose label came back."""
    return Rates(new.correct, new.judged, stable.correct, stable.judged)


def reward(new: ArmCounts, stable: ArmCounts) -> Means:
    """Mean of the numbers that came back."""
    return Means(_rewards(new), _rewards(stable))


def mean_latency_ms(new: ArmCounts, stable: ArmCounts) -> Means:
    """Mean latency of answers."""
    return Means(_latencies(new), _latencies(stable))


def _rewards(arm: ArmCounts) -> Sums:
    return Sums(arm.rewarded, arm.reward_sum, arm.reward_squares)


def _latencies(arm: ArmCounts) -> Sums:
    return Sums(sum(arm.latency.values()), arm.latency_ms_sum, arm.latency_ms_squares)
