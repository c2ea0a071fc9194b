"""Confidence sequences: intervals that hold at every sample size at once, so that looking all the time costs nothing.

A test martingale starts at 1, is never negative and, for the true parameter, does not grow on average. By Ville's
inequality it ever reaches 1/alpha with probability at most alpha. The interval at a sample size is the set of
parameters whose martingale is below 1/alpha; the true one is in all of them with probability 1 - alpha, whatever rule
decides when to look or to stop. Two arms have the product of their martingales, which is one too, so a difference
needs no correction for having two.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics
41 (1970), for mixtures; Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
best-arm identification", Bernoulli 28 (2022), for a fixed quantile; Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52 (2024), for means.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

from serve_app.release.counts import LATENCY_EDGES_MS

Interval = tuple[float, float]
"""Low and high end; `ANYTHING` where nothing is known."""

ANYTHING: Interval = (-math.inf, math.inf)

MEAN_FROM = 50
"""Values needed for an interval of a mean, which rests on the central limit theorem."""

MEAN_TIGHTEST_AT = 500
"""Number of values at which the interval of a mean is narrowest, relative to what any mixture can reach there."""

_PRIOR = 0.5  # both parameters of the mixing beta distribution: Jeffreys', which is good near 0 and 1 as well
_LOG_PRIOR = 2 * math.lgamma(_PRIOR) - math.lgamma(2 * _PRIOR)


def proportion_bounds(successes: int, n: int, alpha: float) -> Interval:
    """The probability of a success; exact for independent ones of equal probability.

    All p with B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p^k (1 - p)^(n - k)) < 1 / alpha, B being the beta function.
    """
    if n == 0:
        return 0.0, 1.0
    limit = -math.log(alpha)
    rate = successes / n
    low = 0.0 if successes == 0 else _crossing(successes, n, rate, 0.0, limit)
    high = 1.0 if successes == n else _crossing(successes, n, rate, 1.0, limit)
    return low, high


def proportion_difference(new: tuple[int, int], stable: tuple[int, int], alpha: float) -> Interval:
    """Probability of the new arm minus the stable one's, each arm given as successes and n; exact.

    The ends of p1 - p0 over all pairs whose product of martingales is below 1 / alpha.
    """
    if not (new[1] and stable[1]):
        return -1.0, 1.0
    return -_largest_difference(stable, new, alpha), _largest_difference(new, stable, alpha)


def mean_bounds(total: float, squares: float, n: int, alpha: float) -> Interval:
    """The mean, from the sum and the sum of squares; asymptotic: alpha is kept in the limit of many values.

    Theorem 2.2 of Waudby-Smith et al.: mean +- s sqrt(2 (n r^2 + 1) / (n^2 r^2) log(sqrt(n r^2 + 1) / alpha)) with the
    running variance s^2, and r such that n = `MEAN_TIGHTEST_AT` is the tightest. Unknown below `MEAN_FROM` values. If
    all values are equal, the variance says nothing: another value, of a probability not excluded by the n that were
    seen, is then taken to be no farther off than 1 or the value itself. Of skewed values with a long upper tail, the
    high end is too low too often while few of the large ones were seen (docs/statistics.md has figures).
    """
    if n < MEAN_FROM:
        return ANYTHING
    mean, variance = _moments(total, squares, n)
    if variance == 0:
        half = max(1.0, abs(mean)) * proportion_bounds(0, n, alpha)[1]
    else:
        half = math.sqrt((_mixed(n, alpha) - math.log(alpha)) * _spread(variance, n, alpha))
    return mean - half, mean + half


def mean_difference(new: tuple[float, float, int], stable: tuple[float, float, int], alpha: float) -> Interval:
    """Mean of the new arm minus the stable one's, each arm given as sum, sum of squares and n; asymptotic.

    The product of both arms' mixtures is bounded on an ellipse around the two means. Neither variance counts as below
    the pooled one, lest an arm that met nothing rare yet is taken for constant.
    """
    if min(new[2], stable[2]) < MEAN_FROM:
        return ANYTHING
    (new_mean, new_variance), (stable_mean, stable_variance) = _moments(*new), _moments(*stable)
    free = new[2] + stable[2] - 2
    pooled = (new_variance * (new[2] - 1) + stable_variance * (stable[2] - 1)) / free
    if pooled == 0:
        low, high = mean_bounds(*new, alpha / 2)
        stable_low, stable_high = mean_bounds(*stable, alpha / 2)
        return low - stable_high, high - stable_low
    limit = _mixed(new[2], alpha) + _mixed(stable[2], alpha) - math.log(alpha)
    spread = _spread(max(new_variance, pooled), new[2], alpha) + _spread(max(stable_variance, pooled), stable[2], alpha)
    half = math.sqrt(limit * spread)
    return new_mean - stable_mean - half, new_mean - stable_mean + half


def quantile_bounds(latency: Mapping[int, int], q: float, alpha: float) -> Interval:
    """The q-quantile in ms, from counts by bucket of `LATENCY_EDGES_MS`; exact, and wider by up to a bucket each way.

    The share of values up to the quantile is q; an edge is excluded when the share up to it cannot be q. The low end
    is the last edge that is excluded for its small share (0 if none is), the high end the first one for its large
    share (infinite if none is).
    """
    if not any(latency.values()):
        return 0.0, math.inf
    buckets, up_to = _cumulated(latency)
    n = up_to[-1]
    limit = -math.log(alpha)

    def is_too_small(count: int) -> bool:
        return count < q * n and _log_ratio(count, n, q) >= limit

    def is_too_large(count: int) -> bool:
        return count > q * n and _log_ratio(count, n, q) >= limit

    low, high = 0.0, math.inf
    if is_too_small(0):
        first = buckets[bisect_left(up_to, True, key=lambda count: not is_too_small(count))]
        low = LATENCY_EDGES_MS[first - 1] if first else 0.0
    last = bisect_left(up_to, True, key=is_too_large)
    if last < len(buckets) and buckets[last] < len(LATENCY_EDGES_MS):
        high = LATENCY_EDGES_MS[buckets[last]]
    return low, high


def quantile_ratio(new: Mapping[int, int], stable: Mapping[int, int], q: float, alpha: float) -> Interval:
    """The new arm's q-quantile over the stable one's; half of alpha goes to each arm."""
    low, high = quantile_bounds(new, q, alpha / 2)
    stable_low, stable_high = quantile_bounds(stable, q, alpha / 2)
    return (0.0 if math.isinf(stable_high) else low / stable_high), (high / stable_low if stable_low else math.inf)


def quantile(latency: Mapping[int, int], q: float) -> float | None:
    """The middle (geometric mean of its edges) of the bucket with the q-quantile, in ms; None without values."""
    if not any(latency.values()):
        return None
    buckets, up_to = _cumulated(latency)
    bucket = buckets[bisect_left(up_to, q * up_to[-1])]
    edges = LATENCY_EDGES_MS[max(0, bucket - 1) : bucket + 1]
    return math.sqrt(edges[0] * edges[-1])


def _cumulated(latency: Mapping[int, int]) -> tuple[list[int], list[int]]:
    """Buckets with values, ascending, and how many values are up to each."""
    buckets = sorted(latency)
    return buckets, list(accumulate(latency[bucket] for bucket in buckets))


def _log_ratio(successes: int, n: int, p: float) -> float:
    """Log of the martingale: likelihood of the mixture over that of p."""
    return _log_mixture(successes, n) - _log_likelihood(successes, n, p)


def _log_mixture(successes: int, n: int) -> float:
    log_beta = math.lgamma(successes + _PRIOR) + math.lgamma(n - successes + _PRIOR) - math.lgamma(n + 2 * _PRIOR)
    return log_beta - _LOG_PRIOR


def _log_likelihood(successes: int, n: int, p: float) -> float:
    if (p <= 0 and successes) or (p >= 1 and successes < n):
        return -math.inf
    heads = successes * math.log(p) if successes else 0.0
    return heads + ((n - successes) * math.log1p(-p) if successes < n else 0.0)


def _crossing(successes: int, n: int, inside: float, outside: float, limit: float) -> float:
    """Where the log ratio, which is convex in p, reaches the limit between a p below it and one above it."""
    ceiling = _log_mixture(successes, n) - limit
    while abs(outside - inside) > 1e-12 + 1e-9 * inside:
        middle = (inside + outside) / 2
        if _log_likelihood(successes, n, middle) > ceiling:
            inside = middle
        else:
            outside = middle
    return outside


def _largest_difference(upper: tuple[int, int], lower: tuple[int, int], alpha: float) -> float:
    """The largest p - q, p of `upper` and q of `lower`, whose product of martingales is below 1 / alpha.

    At the optimum the slopes of both log likelihoods are -s and s for some s > 0 (Lagrange). For a given s, p and q
    are roots of quadratics, and the product grows with s: a search in one dimension.
    """
    (k, n), (j, m) = upper, lower
    if k == n and j == 0:
        return 1.0
    floor = _log_mixture(k, n) + _log_mixture(j, m) + math.log(alpha)

    def excluded(slope: float) -> bool:
        p, q = _where_slope(k, n, slope), 1 - _where_slope(m - j, m, slope)
        return _log_likelihood(k, n, p) + _log_likelihood(j, m, q) <= floor

    high = math.sqrt(n)
    while not excluded(high):
        high *= 4
    low = high / 4
    while excluded(low):
        low, high = low / 4, low
    while high > low * (1 + 1e-4):  # the outer end of the bracket is taken: too wide by 0.01%
        middle = math.sqrt(low * high)
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return _where_slope(k, n, high) - 1 + _where_slope(m - j, m, high)


def _where_slope(successes: int, n: int, slope: float) -> float:
    """The p at or above successes / n at which the log likelihood falls by `slope` (> 0)."""
    behind = n - slope
    root = math.sqrt(behind * behind + 4 * slope * successes)
    return 2 * successes / (behind + root) if behind > 0 else (root - behind) / (2 * slope)


def _moments(total: float, squares: float, n: int) -> tuple[float, float]:
    """Mean and unbiased variance; one that rounding could have made is 0."""
    mean = total / n
    variance = (squares - total * mean) / (n - 1)
    return mean, variance if variance > 1e-12 * mean * mean else 0.0


def _tuning(alpha: float) -> float:
    """r^2 for which the mixture is tightest at `MEAN_TIGHTEST_AT`: the x = n r^2 with x = log(x + 1) - 2 log(alpha)."""
    x = first = -2 * math.log(alpha)
    for _ in range(8):
        x = first + math.log(x + 1)
    return x / MEAN_TIGHTEST_AT


def _mixed(n: int, alpha: float) -> float:
    return math.log(n * _tuning(alpha) + 1) / 2


def _spread(variance: float, n: int, alpha: float) -> float:
    """Squared distance from the mean at which the exponent of the normal mixture is 1."""
    r2 = _tuning(alpha)
    return variance * 2 * (n * r2 + 1) / (n * n * r2)
