"""pass@k without bias, and bootstrap intervals over questions.

Shapes: Q questions, K values of k, R bootstrap resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean with its confidence interval; NaN throughout where it is not defined."""

    value: float
    low: float
    high: float


def pass_at_k(samples_Q: ArrayLike, correct_Q: ArrayLike, k: int) -> Floats:
    """Chance that at least one of k samples drawn without replacement is correct, per question (Q,).

    1 - C(n - c, k) / C(n, k) with n samples of which c are correct (Chen et al., "Evaluating large language models
    trained on code", 2021), as the product of (1 - k / i) over i = n - c + 1 .. n, which does not overflow.
    NaN where n < k. Raises `ValueError` when k < 1 or a count does not fit.
    """
    n_Q, c_Q = np.asarray(samples_Q, dtype=np.int64), np.asarray(correct_Q, dtype=np.int64)
    if k < 1 or np.any(c_Q < 0) or np.any(c_Q > n_Q):
        raise ValueError("pass@k needs k >= 1 and 0 <= correct <= samples")
    if n_Q.size == 0:
        return np.empty(0)
    i = np.arange(1, int(n_Q.max()) + 1)
    counts = (i > (n_Q - c_Q)[:, None]) & (i <= n_Q[:, None])
    factors = np.where(counts, np.clip(1 - k / i, 0, None), 1.0)
    return np.where(n_Q >= k, 1 - factors.prod(axis=1), np.nan)


def bootstrap_means(values_QK: Floats, resamples: int, seed: int) -> Floats:
    """Means of `resamples` resamples of the questions with replacement: (R, K).

    The same seed and Q draw the same questions, so two models' means over the same questions are paired.
    """
    questions = len(values_QK)
    if questions == 0:
        return np.full((resamples, values_QK.shape[1]), np.nan)
    draws_RQ = np.random.default_rng(seed).multinomial(questions, np.full(questions, 1 / questions), size=resamples)
    return np.asarray(draws_RQ @ values_QK / questions, dtype=np.float64)


def interval(values_K: Floats, means_RK: Floats) -> list[Estimate]:
    """Point values with their 95 % percentile intervals."""
    tail = (1 - CONFIDENCE) / 2
    low_K, high_K = np.quantile(means_RK, [tail, 1 - tail], axis=0)
    return [Estimate(float(v), float(lo), float(hi)) for v, lo, hi in zip(values_K, low_K, high_K, strict=True)]


def estimate(values_QK: Floats, resamples: int, seed: int) -> list[Estimate]:
    """Mean over questions of each column, with its interval."""
    mean_K = values_QK.mean(axis=0) if len(values_QK) else np.full(values_QK.shape[1], np.nan)
    return interval(mean_K, bootstrap_means(values_QK, resamples, seed))
