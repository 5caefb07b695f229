"""Figures over a few seeds: Student's t intervals, paired differences, an exact sign-flip test."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95
MOST_EXACT = 20
"""Above this many pairs, 2^n flips are too many."""
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % t interval; the bounds are NaN for fewer than two."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Paired:
    """The mean of paired differences, and how surely it is not 0."""

    difference: Estimate
    t_test: float
    """Two-sided p-value of the paired t-test; NaN for fewer than two pairs."""
    sign_flip: float
    """Two-sided p-value of the exact sign-flip permutation test; with n pairs it is at least 2 / 2^n."""


def estimate(values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate:
    """Mean +- t(n - 1) s / sqrt(n); raises ValueError without values."""
    count = len(values)
    if not count:
        raise ValueError("no values to average")
    mean = fmean(values)
    if count < 2:
        return Estimate(mean, math.nan, math.nan, count)
    half = t_quantile((1 + confidence) / 2, count - 1) * stdev(values) / math.sqrt(count)
    return Estimate(mean, mean - half, mean + half, count)


def paired(first: Sequence[float], second: Sequence[float]) -> Paired:
    """`second` - `first`, pair by pair; raises ValueError for different lengths or none."""
    differences = [b - a for a, b in zip(first, second, strict=True)]
    return Paired(estimate(differences), t_test(differences), sign_flip(differences))


def t_test(differences: Sequence[float]) -> float:
    """Two-sided p-value of mean 0; 1 if all are 0, 0 if all are equal and not 0, NaN for fewer than two."""
    count = len(differences)
    if count < 2:
        return math.nan
    mean, deviation = fmean(differences), stdev(differences)
    if deviation <= _ROUNDING * max(1.0, abs(mean)):
        return 1.0 if abs(mean) <= _ROUNDING else 0.0
    return 2 * t_tail(abs(mean) / deviation * math.sqrt(count), count - 1)


def sign_flip(differences: Sequence[float]) -> float:
    """Share of all sign assignments whose mean is at least as far from 0; NaN for none or more than 20 pairs."""
    count = len(differences)
    if not 0 < count <= MOST_EXACT:
        return math.nan
    seen = abs(sum(differences)) - _ROUNDING
    flips = itertools.product((1, -1), repeat=count - 1)  # the first sign is fixed: |sum| is the same for its mirror
    far = sum(abs(differences[0] + _dot(signs, differences[1:])) >= seen for signs in flips)
    return float(far) / 2.0 ** (count - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment for testing several hypotheses at once; NaN stays NaN and is not counted."""
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda i: p_values[i])
    adjusted, worst = [math.nan] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted


def t_quantile(probability: float, freedom: int) -> float:
    """The value below which Student's t with `freedom` degrees lies with `probability` (above 0.5), by bisection."""
    low, high = 0.0, 1.0
    while 1 - t_tail(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - t_tail(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_tail(t: float, freedom: int) -> float:
    """P(T > t), t >= 0: half the regularised incomplete beta function at v / (v + t^2)."""
    return beta_share(freedom / (freedom + t * t), freedom / 2, 0.5) / 2


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b) (Abramowitz and Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast below the mean only
        return 1 - beta_share(1 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) / (a * _fraction(x, a, b))


def _fraction(x: float, a: float, b: float, terms: int = 300) -> float:
    """1 + d1 / (1 + d2 / (1 + ...)), evaluated from the far end, where it has converged."""
    value = 1.0
    for n in range(terms, 0, -1):
        m = n // 2
        if n % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        value = 1 + d / value
    return value


def _dot(signs: Sequence[int], values: Sequence[float]) -> float:
    return sum(sign * value for sign, value in zip(signs, values, strict=True))
