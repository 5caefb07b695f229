"""Intervals, tests and adjustments against SciPy and hand-worked figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from appo_core.experiments.statistics import beta_share, estimate, holm, paired, sign_flip, t_quantile, t_tail, t_test

figures = st.lists(st.floats(-100, 100, allow_nan=False), min_size=2, max_size=9)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 30, 200])
def test_student_t_is_scipys(freedom: int) -> None:
    for probability in (0.6, 0.9, 0.975, 0.9995):
        assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-8)
    for t in (0.0, 1e-3, 0.5, 2.0, 15.0):
        assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-7, abs=1e-12)


@given(st.floats(0, 1), st.floats(0.5, 50), st.floats(0.5, 50))
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert beta_share(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-6, abs=1e-9)


@given(figures)
def test_an_estimate_is_the_t_interval(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert found.high - found.mean == pytest.approx(half, rel=1e-6, abs=1e-6)
    assert found.mean - found.low == pytest.approx(half, rel=1e-6, abs=1e-6)


def test_a_worked_interval() -> None:
    # s = 1, n = 3: 2 +- 4.302653 / sqrt(3)
    found = estimate([1.0, 2.0, 3.0])
    assert (found.low, found.high) == pytest.approx((-0.484138, 4.484138), abs=1e-6)


def test_one_seed_has_no_interval_and_none_no_mean() -> None:
    alone = estimate([0.4])
    assert (alone.mean, alone.count) == (0.4, 1)
    assert math.isnan(alone.low)
    assert math.isnan(alone.high)
    with pytest.raises(ValueError, match="no values"):
        estimate([])


@given(figures)
def test_the_paired_test_is_scipys(differences: list[float]) -> None:
    if np.std(differences) < 1e-6:
        return
    assert t_test(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-6, abs=1e-9)


def test_equal_differences_leave_no_doubt() -> None:
    assert t_test([0.0, 0.0, 0.0]) == 1.0
    assert t_test([0.1, 0.1, 0.1]) == 0.0
    assert math.isnan(t_test([0.1]))


def test_paired_is_the_second_minus_the_first() -> None:
    found = paired([0.1, 0.2, 0.3], [0.2, 0.4, 0.6])
    assert found.difference.mean == pytest.approx(0.2)
    assert found.t_test == pytest.approx(stats.ttest_rel([0.2, 0.4, 0.6], [0.1, 0.2, 0.3]).pvalue)
    with pytest.raises(ValueError, match="zip"):
        paired([1.0], [1.0, 2.0])


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=8))
def test_the_sign_flip_test_is_scipys(differences: list[int]) -> None:
    far = stats.permutation_test(
        (np.array(differences),),
        lambda x, axis: np.abs(np.sum(x, axis=axis)),
        permutation_type="samples",
        n_resamples=np.inf,
        alternative="greater",
        vectorized=True,
    )
    assert sign_flip(differences) == pytest.approx(far.pvalue)


def test_worked_sign_flips() -> None:
    assert sign_flip([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 32)
    assert sign_flip([1.0, -1.0]) == 1.0
    # |sum| = 4 for +1 +3 and its mirror, 2 for the others.
    assert sign_flip([1.0, 3.0]) == 0.5
    assert math.isnan(sign_flip([]))
    assert math.isnan(sign_flip([1.0] * 21))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    with_gap = holm([math.nan, 0.02])
    assert math.isnan(with_gap[0])
    assert with_gap[1] == pytest.approx(0.02)
