"""Future value, z-scores and branching scores against loops."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from appo_core.algorithm import branching_score, future_value, rows, spread, token_entropy, z_score
from appo_core.algorithm.score import ScoreMode
from tests.appo_core.algorithm.oracles import backward_sum, future_sum, moments, z_scores

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
@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000, 16384])
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


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000, 16384])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_rows_equal_the_loops(dtype: torch.dtype, length: int, gamma: float) -> None:
    torch.manual_seed(length)
    mask_BL = torch.rand(3, length) < 0.8
    mask_BL[1], mask_BL[2] = False, True
    now_BL, old_BL = -torch.rand(3, length, dtype=dtype), -torch.rand(3, length, dtype=dtype)
    got = future_value(now_BL, old_BL, mask_BL, gamma=gamma, clip=0.2)
    for row, mask_L in enumerate(mask_BL.int().tolist()):
        sums = backward_sum((now_BL[row].double() - old_BL[row].double()).tolist(), mask_L, gamma)
        omega = [math.exp(max(-0.5, min(0.5, total))) if m else 1.0 for total, m in zip(sums, mask_L, strict=True)]
        expected = torch.tensor(omega, dtype=torch.float64).clamp(0.8, 1.2)
        tolerance = 1e-9 if dtype == torch.float64 else 2e-6 * math.sqrt(length)
        assert (got[row] - expected).abs().max() < tolerance


def scores(entropy_BL: Tensor, now_BL: Tensor, old_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
    return branching_score(entropy_BL, future_value(now_BL, old_BL, mask_BL, gamma=0.99, clip=0.2), mask_BL)


def batch(length: int = 150) -> list[Tensor]:
    """Entropy, log-probs now and then, mask: random, full, empty and one-token rows; NaN outside the mask."""
    torch.manual_seed(9)
    mask_BL = torch.rand(6, length) < 0.8
    mask_BL[1], mask_BL[2], mask_BL[3] = True, False, False
    mask_BL[3, 40] = True
    old_BL = -torch.rand(6, length)
    tensors = [torch.rand(6, length), old_BL + 0.02 * torch.randn(6, length), old_BL]
    return [*(x.masked_fill(~mask_BL, math.nan) for x in tensors), mask_BL]


def test_scores_do_not_depend_on_order_padding_or_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = batch()
    score_BL, candidate_BL = scores(*tensors)
    assert score_BL.isfinite().all()
    assert not score_BL[2:4].any()
    assert not (candidate_BL & ~tensors[-1]).any()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    # Sums of other shapes may be taken in another order, so only their rounding may differ.
    moved_BL, chosen_BL = scores(*(x[order] for x in tensors))
    torch.testing.assert_close(moved_BL, score_BL[order], rtol=1e-4, atol=1e-4)
    assert not ((chosen_BL != candidate_BL[order]) & (score_BL[order].abs() > 1e-3)).any()
    padded, _ = scores(*(torch.nn.functional.pad(x, (0, 60)) for x in tensors))
    torch.testing.assert_close(padded[:, :150], score_BL, rtol=1e-4, atol=1e-4)
    assert not padded[:, 150:].any()
    monkeypatch.setattr(rows, "CACHED_ELEMENTS", 200)
    torch.testing.assert_close(scores(*tensors)[0], score_BL, rtol=1e-4, atol=1e-4)


def test_scores_of_generated_tokens_do_not_see_where_others_were_injected() -> None:
    entropy_BL, now_BL, old_BL, _ = (x[1:2].double() for x in batch())
    plain, candidate = scores(entropy_BL, now_BL, old_BL, torch.ones(1, 150))
    for places in (range(150), range(45, 195), [*range(10), *range(70, 210)]):
        mask_BL = torch.zeros(1, 210)
        mask_BL[0, list(places)] = 1
        wide = [torch.full((1, 210), math.nan, dtype=torch.float64) for _ in range(3)]
        for target, source in zip(wide, (entropy_BL, now_BL, old_BL), strict=True):
            target[0, list(places)] = source[0]
        got, chosen = scores(*wide, mask_BL)  # type: ignore[call-arg]
        torch.testing.assert_close(got[:, list(places)], plain, rtol=1e-8, atol=1e-8)
        assert torch.equal(chosen[:, list(places)], candidate)


def test_branching_score_worked_by_hand() -> None:
    """Entropies 0, 2, 4 and values 0.8, 0.8, 1.1: Z = -r, 0, r and -1/s, -1/s, 2/s; r = sqrt 1.5, s = sqrt 2."""
    score_BL, candidate_BL = branching_score(row([0.0, 2.0, 9.0, 4.0]), row([0.8, 0.8, 5.0, 1.1]), row([1, 1, 0, 1]))
    r, s = math.sqrt(1.5), math.sqrt(2)
    assert score_BL[0].tolist() == pytest.approx([r / s, 0.0, 0.0, 2 * r / s], abs=1e-12)
    assert candidate_BL.tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_bad_log_probs_are_named(bad: float, place: int) -> None:
    tensors = batch()[1:]
    tensors[place][1, 77] = bad
    name = ("logp_now_BL", "logp_behaviour_BL")[place]
    with pytest.raises(ValueError, match=rf"{name} is -?(nan|inf) at row 1, position 77"):
        future_value(*tensors, gamma=0.99, clip=0.2)  # type: ignore[misc]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_entropies_and_values_are_named(bad: float) -> None:
    entropy_BL, omega_BL, _, mask_BL = batch()
    for name, tensor in (("entropy_BL", entropy_BL), ("future_value_BL", omega_BL)):
        kept, tensor[1, 5] = float(tensor[1, 5]), bad
        with pytest.raises(ValueError, match=rf"{name} is (nan|inf) at row 1, position 5"):
            branching_score(entropy_BL, omega_BL, mask_BL)
        with pytest.raises(ValueError, match=r"x_BL is (nan|inf) at row 1, position 5"):
            z_score(tensor, mask_BL)
        with pytest.raises(ValueError, match=r"x_BL is (nan|inf) at row 1, position 5"):
            spread(tensor, mask_BL)
        tensor[1, 5] = kept


def test_shapes_and_gamma_are_checked() -> None:
    with pytest.raises(ValueError, match=r"logp_behaviour_BL has shape \(1, 3\), but logp_now_BL has shape \(1, 2\)"):
        future_value(torch.ones(1, 2), torch.ones(1, 3), torch.ones(1, 2), gamma=0.9, clip=0.2)
    with pytest.raises(ValueError, match="gamma is 2"):
        future_value(torch.ones(1, 2), torch.ones(1, 2), torch.ones(1, 2), gamma=2, clip=0.2)
    with pytest.raises(ValueError, match=r"mask_BL has shape \(2, 2\), but entropy_BL has shape \(1, 2\)"):
        branching_score(torch.ones(1, 2), torch.ones(1, 2), torch.ones(2, 2))


@pytest.mark.parametrize("mode", ["product", "entropy", "future", "sum"])
def test_no_rows_and_no_tokens(mode: ScoreMode) -> None:
    for shape in ((0, 0), (0, 5), (3, 0)):
        empty = torch.zeros(shape)
        omega_BL = future_value(empty, empty, empty, gamma=0.9, clip=0.2)
        assert omega_BL.shape == shape
        assert [x.shape for x in branching_score(empty, omega_BL, empty, mode=mode)] == [shape, shape]
        assert spread(empty, empty).tolist() == [0.0] * shape[0]
