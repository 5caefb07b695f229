"""Future value, z-scores and branching scores against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from appo_core.algorithm import branching_score, future_value, spread, token_entropy, z_score
from appo_core.algorithm.score import ScoreMode
from tests.appo_core.algorithm.oracles import future_sum, moments, z_scores

ROWS = st.lists(
    st.tuples(st.floats(0, 4).map(lambda x: round(x, 2)), st.floats(-1, 1), st.integers(0, 1)), min_size=1, max_size=20
)


def row(values: list[float]) -> Tensor:
    return torch.tensor([values], dtype=torch.float64)


@settings(max_examples=25)
@given(rows=ROWS, gamma=st.sampled_from([0.0, 0.5, 0.99, 1.0]), clip=st.sampled_from([0.2, 0.0]))
def test_future_value_is_the_clipped_exponential(
    rows: list[tuple[float, float, int]], gamma: float, clip: float
) -> None:
    now, behaviour, mask = ([r[i] for r in rows] for i in range(3))
    difference = [a - b for a, b in zip(now, behaviour, strict=True)]
    expected = []
    for total, m in zip(future_sum(difference, mask, gamma), mask, strict=True):  # type: ignore[arg-type]
        omega = math.exp(max(-20.0, min(20.0, total)))
        omega = max(1 - clip, min(1 + clip, omega)) if clip else omega
        expected.append(omega if m else 1.0)
    got = future_value(row(now), row(behaviour), row(mask), gamma=gamma, clip=clip)  # type: ignore[arg-type]
    assert got[0].tolist() == pytest.approx(expected, rel=1e-9)


@settings(max_examples=30)
@given(rows=ROWS)
def test_z_scores_and_spread(rows: list[tuple[float, float, int]]) -> None:
    x, mask = [r[0] for r in rows], [r[2] for r in rows]
    z_L = z_score(row(x), torch.tensor([mask]))[0].tolist()
    assert z_L == pytest.approx(z_scores(x, mask), abs=1e-6)
    assert spread(row(x), torch.tensor([mask])).item() == pytest.approx(moments(x, mask)[1], abs=1e-9)
    if any(z_L):
        mean, deviation = moments(z_L, mask)
        assert (mean, deviation) == pytest.approx((0, 1), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1 / 3, -7.7, 1e6])
@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000])
def test_constant_rows_have_no_z(dtype: torch.dtype, value: float, length: int) -> None:
    x_BL = torch.full((2, length), value, dtype=dtype)
    mask_BL = torch.ones(2, length, dtype=torch.bool)
    mask_BL[1] = False
    assert not z_score(x_BL, mask_BL).any()


def test_z_does_not_see_what_was_injected() -> None:
    plain = z_score(row([1.0, 2.0, 4.0]), torch.ones(1, 3))
    injected = z_score(row([1.0, 99.0, 2.0, math.nan, 4.0]), torch.tensor([[1, 0, 1, 0, 1]]))
    torch.testing.assert_close(injected[:, [0, 2, 4]], plain)
    assert injected[0, 1] == injected[0, 3] == 0


@settings(max_examples=40)
@given(
    rows=ROWS,
    mode=st.sampled_from(["product", "entropy", "future", "sum"]),
    floor=st.sampled_from([0.0, 0.05, 10.0]),
)
def test_branching_score_is_the_formula(rows: list[tuple[float, float, int]], mode: ScoreMode, floor: float) -> None:
    entropy, omega, mask = ([r[i] for r in rows] for i in range(3))
    zh, zf = z_scores(entropy, mask), z_scores(omega, mask)  # type: ignore[arg-type]
    silent = moments(omega, mask)[1] <= floor  # type: ignore[arg-type]
    score_BL, candidate_BL = branching_score(
        row(entropy), row(omega), torch.tensor([mask]), mode=mode, entropy_weight=0.3, noise_floor=floor
    )
    for t, (h, f) in enumerate(zip(zh, zf, strict=True)):
        f = 0.0 if silent else f
        if mode == "future":
            expected, candidate = f, f > 0
        elif mode == "entropy" or silent:
            expected, candidate = h, h > 0
        elif mode == "product":
            expected, candidate = h * f, h > 0 and f > 0
        else:
            expected, candidate = 0.3 * h + 0.7 * f, 0.3 * h + 0.7 * f > 0
        assert score_BL[0, t].item() == pytest.approx(expected, abs=1e-6)
        if abs(expected) > 1e-6:
            assert bool(candidate_BL[0, t]) == candidate
        if not mask[t]:
            assert score_BL[0, t] == 0
            assert not candidate_BL[0, t]


def test_product_of_two_negatives_is_no_candidate() -> None:
    score_BL, candidate_BL = branching_score(row([0.0, 5.0]), row([0.8, 1.2]), torch.ones(1, 2))
    assert score_BL[0, 0] > 0
    assert candidate_BL.tolist() == [[False, True]]


def test_odd3_equal_policies_fall_back_to_entropy_never_to_the_first_tokens() -> None:
    """ODD-3: with bit-identical log-probs the published code branched at the first K tokens of the first rollout."""
    torch.manual_seed(0)
    logp_BL = -torch.rand(2, 50)
    entropy_BL = torch.rand(2, 50)
    mask_BL = torch.ones(2, 50)
    omega_BL = future_value(logp_BL, logp_BL, mask_BL, gamma=0.99, clip=0.2)
    assert omega_BL.eq(1).all()
    score_BL, candidate_BL = branching_score(entropy_BL, omega_BL, mask_BL)
    torch.testing.assert_close(score_BL, z_score(entropy_BL, mask_BL))
    assert score_BL.argmax(dim=1).tolist() == entropy_BL.argmax(dim=1).tolist()
    assert not branching_score(entropy_BL, omega_BL, mask_BL, mode="future")[1].any()
    assert torch.equal(candidate_BL, score_BL > 0)


def test_odd3_noise_below_the_floor_is_no_signal() -> None:
    """Two inference stacks differ by rounding; a floor above that spread leaves entropy alone to decide."""
    torch.manual_seed(1)
    logp_BL = -torch.rand(1, 60, dtype=torch.float64)
    noisy_BL = logp_BL + 1e-6 * torch.randn(1, 60, dtype=torch.float64)
    entropy_BL, mask_BL = torch.rand(1, 60, dtype=torch.float64), torch.ones(1, 60)
    omega_BL = future_value(noisy_BL, logp_BL, mask_BL, gamma=0.99, clip=0.2)
    assert 0 < spread(omega_BL, mask_BL).item() < 1e-4
    quiet, _ = branching_score(entropy_BL, omega_BL, mask_BL, noise_floor=1e-4)
    loud, _ = branching_score(entropy_BL, omega_BL, mask_BL, noise_floor=0.0)
    torch.testing.assert_close(quiet, z_score(entropy_BL, mask_BL))
    assert not torch.allclose(loud, quiet)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_token_entropy_equals_the_sum(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    logits = 4 * torch.randn(3, 5, 17, dtype=dtype)
    logits[0, 0, 3:] = -torch.inf
    logits[0, 1, 1:] = -torch.inf
    expected = torch.zeros(3, 5, dtype=dtype)
    for b in range(3):
        for t in range(5):
            weights = [math.exp(z) for z in logits[b, t].tolist()]
            shares = [w / sum(weights) for w in weights]
            expected[b, t] = -sum(p * math.log(p) for p in shares if p > 0)
    torch.testing.assert_close(token_entropy(logits), expected, rtol=1e-5, atol=1e-6)
    assert token_entropy(logits)[0, 1] == 0
    assert (token_entropy(logits) >= 0).all()


def test_token_entropy_has_a_finite_gradient_where_probabilities_vanish() -> None:
    logits = torch.tensor([[1.0, 0.5, -500.0, -torch.inf]], dtype=torch.float32, requires_grad=True)
    token_entropy(logits).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert torch.autograd.gradcheck(token_entropy, torch.randn(2, 5, dtype=torch.float64, requires_grad=True))


def test_token_entropy_bounds_and_low_precision() -> None:
    assert token_entropy(torch.zeros(8)).item() == pytest.approx(math.log(8))
    low = torch.randn(4, 300).bfloat16()
    assert token_entropy(low).dtype == torch.float32
    torch.testing.assert_close(token_entropy(low), token_entropy(low.float()))
