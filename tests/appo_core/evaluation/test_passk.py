from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appo_core.evaluation.passk import bootstrap_means, estimate, pass_at_k


def enumerated(n: int, c: int, k: int) -> float:
    """Share of k-subsets of n samples, the first c of them right, with a right one."""
    subsets = list(combinations(range(n), k))
    return sum(any(sample < c for sample in subset) for subset in subsets) / len(subsets)


@pytest.mark.parametrize("n", range(1, 9))
def test_equals_enumeration(n: int):
    for k in range(1, n + 1):
        correct = list(range(n + 1))
        expected = [enumerated(n, c, k) for c in correct]
        np.testing.assert_allclose(pass_at_k([n] * (n + 1), correct, k), expected, atol=1e-12)


def test_is_nan_below_k_samples_and_never_flattering():
    values = pass_at_k([4, 5, 0], [4, 0, 0], 5)
    assert np.isnan(values[0])
    assert values[1] == 0
    assert np.isnan(values[2])


@given(st.integers(1, 3000), st.data())
def test_stays_in_bounds_and_grows_with_k(n: int, data: st.DataObject):
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    one, two = pass_at_k([n], [c], 1)[0], pass_at_k([n], [c], k)[0]
    assert one == pytest.approx(c / n)
    assert 0 <= two <= 1
    assert two >= one - 1e-9


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_impossible_counts_are_refused(n: int, c: int, k: int):
    with pytest.raises(ValueError, match="pass@k"):
        pass_at_k([n], [c], k)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        values = (random.random((100, 1)) < 0.3).astype(float)
        [figure] = estimate(values, 400, seed)
        hits += figure.low <= 0.3 <= figure.high
    assert 180 <= hits <= 200


def test_one_seed_draws_the_same_questions_so_differences_are_paired():
    values = np.random.default_rng(1).random((50, 1))
    shifted = bootstrap_means(values + 0.25, 500, 3) - bootstrap_means(values, 500, 3)
    np.testing.assert_allclose(shifted, 0.25, atol=1e-12)
    assert not np.allclose(bootstrap_means(values, 500, 3), bootstrap_means(values, 500, 4))


def test_equals_resampling_by_indices():
    values = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    means = bootstrap_means(values, 20000, 0)[:, 0]
    assert means.mean() == pytest.approx(0.6, abs=0.01)
    assert means.std() == pytest.approx(np.sqrt(0.6 * 0.4 / 5), abs=0.01)


def test_no_questions_give_no_figure():
    [figure] = estimate(np.empty((0, 1)), 100, 0)
    assert np.isnan([figure.value, figure.low, figure.high]).all()
