"""Student's t distribution, intervals of means, and tests of differences: what a comparison of a
few seeds asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95  # of an interval
STEPS = 500  # of the continued fraction at most; it needs about the root of its larger argument
TINY = 1e-300


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction and Lentz's
    method.

    NIST Digital Library of Mathematical Functions 8.17.22 (https://dlmf.nist.gov/8.17.E22); the
    method is that of Thompson and Barnett, Coulomb and Bessel functions of complex arguments and
    order, 1986.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below
        return 1 - incomplete_beta(b, a, 1 - x)
    front = (
        math.exp(
            math.lgamma(a + b)
            - math.lgamma(a)
            - math.lgamma(b)
            + a * math.log(x)
            + b * math.log1p(-x)
        )
        / a
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or TINY)
    value = d
    for m in range(1, STEPS):
        before = value
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / (1 + term * d or TINY)
            c = 1 + term / c or TINY
            value *= c * d
        if abs(value - before) <= 1e-15 * abs(value):
            break
    return front * value


def t_probability(t: float, freedom: float) -> float:
    """The chance that |T| is at least |t|: the two-sided p-value (DLMF 8.17.21 and Abramowitz,
    Stegun 26.7.1).
    """
    return (
        1.0
        if t == 0
        else 0.0
        if math.isinf(t)
        else incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    )


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """The t that |T| stays below with this probability, by bisection."""
    low, high = 0.0, 1.0
    while t_probability(high, freedom) > 1 - level:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) > 1 - level else (low, middle)
    return high


@dataclass(frozen=True)
class Mean:
    """A mean with the half width of its 95 % interval; NaN where one value says nothing of the
    spread.
    """

    value: float
    half: float
    count: int


def mean_of(values: Sequence[float]) -> Mean:
    """The mean of independent values, with its interval by Student's t."""
    count = len(values)
    if count < 2:
        return Mean(float(np.mean(values)), math.nan, count)
    return Mean(
        float(np.mean(values)),
        t_quantile(count - 1) * float(np.std(values, ddof=1)) / math.sqrt(count),
        count,
    )


@dataclass(frozen=True)
class Difference:
    """The mean of one group minus that of another, its interval, the p-value of no difference, and
    how it was tested.
    """

    value: float
    low: float
    high: float
    p: float
    count: int
    paired: bool


def difference(first: dict[int, float], second: dict[int, float]) -> Difference | None:
    """Compare two groups of values by seed; None where there are too few of them.

    Two seeds or more in common, and no others, are compared pair by pair; else by Welch's test
    (Welch: The generalization of "Student's" problem when several different population variances
    are involved, 1947).
    """
    if set(first) == set(second) and len(first) >= 2:
        rests = [first[seed] - second[seed] for seed in first]
        return _tested(
            float(np.mean(rests)),
            float(np.std(rests, ddof=1)) / math.sqrt(len(rests)),
            len(rests) - 1,
            len(rests),
            True,
        )
    if min(len(first), len(second)) < 2:
        return None
    spreads = [
        float(np.var(list(group.values()), ddof=1)) / len(group) for group in (first, second)
    ]
    error = math.sqrt(sum(spreads))
    freedoms = sum(
        spread**2 / (len(group) - 1) for spread, group in zip(spreads, (first, second), strict=True)
    )
    freedom = sum(spreads) ** 2 / freedoms if freedoms else float(len(first) + len(second) - 2)
    value = float(np.mean(list(first.values())) - np.mean(list(second.values())))
    return _tested(value, error, freedom, min(len(first), len(second)), False)


def _tested(value: float, error: float, freedom: float, count: int, paired: bool) -> Difference:
    t = value / error if error else math.copysign(math.inf, value) if value else 0.0
    half = t_quantile(freedom) * error
    return Difference(value, value - half, value + half, t_probability(t, freedom), count, paired)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several tests, raised so that one of all of them errs no more often than a single
    one (Holm, 1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = highest
    return adjusted
