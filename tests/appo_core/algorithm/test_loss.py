"""The future-KL policy loss against a token-by-token version, and its gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from appo_core.algorithm import kl_k3, log_ratio, policy_loss
from appo_core.config.algorithm import LossSettings
from tests.appo_core.algorithm import oracles

TOKEN = st.tuples(st.floats(-5, 0), st.floats(-5, 0), st.sampled_from([-1.5, -0.2, 0.0, 0.7]), st.integers(0, 1))


def tensors(rows: list[list[tuple[float, float, float, int]]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """logp, old, advantage, mask of (B, L, 4) tokens."""
    values = torch.tensor(rows, dtype=torch.float64)
    return values[..., 0], values[..., 1], values[..., 2], values[..., 3].bool()


@settings(max_examples=40)
@given(
    row=st.lists(TOKEN, min_size=1, max_size=12),
    b=st.sampled_from([0.0, 1.0, 0.5]),
    half_life=st.sampled_from([1.0, 64.0]),
    high_only=st.booleans(),
    sieve=st.booleans(),
)
def test_loss_equals_the_loop(
    row: list[tuple[float, float, float, int]], b: float, half_life: float, high_only: bool, sieve: bool
) -> None:
    chosen = LossSettings(
        future_kl_weight=b, future_kl_decay=half_life, future_kl_clip_high_only=high_only, sequence_filter=sieve
    )
    logp, old, advantage, mask = ([token[i] for token in row] for i in range(4))
    expected, factors, kept = oracles.policy_loss(
        logp,
        old,
        advantage,
        mask,
        b=b,
        half_life=half_life,
        high_only=high_only,
        sieve=sieve,  # type: ignore[arg-type]
    )
    # A second, empty row must change nothing.
    got = policy_loss(*tensors([row, [(0.0, 0.0, 0.0, 0)] * len(row)]), chosen)
    assert got.loss_sum.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert got.future_weight_BL[0].tolist() == pytest.approx(factors, rel=1e-9)
    assert got.kept_BL[0].tolist() == kept
    assert not got.kept_BL[1].any()


def test_without_future_kl_it_is_dual_clip_ppo() -> None:
    for ratio, advantage, expected in (
        (1.0, 1.0, -1.0), (1.5, 1.0, -1.28), (0.5, 1.0, -0.5), (1.5, -1.0, 1.5), (0.5, -1.0, 0.8), (9.0, -1.0, 3.0),
    ):  # fmt: skip
        args = tensors([[(math.log(ratio), 0.0, advantage, 1)]])
        assert policy_loss(*args, LossSettings(future_kl=False)).loss_sum.item() == pytest.approx(expected)


def test_sequence_filter_forgives_one_token_and_drops_two() -> None:
    bad, good = (math.log(5.0), 0.0, -1.0, 1), (0.0, 0.0, 1.0, 1)
    kept = policy_loss(*tensors([[bad, good, good], [bad, bad, good]]), LossSettings()).kept_BL
    assert kept.all(dim=1).tolist() == [True, False]


def test_what_lies_outside_the_mask_reaches_neither_loss_nor_gradient() -> None:
    logp = torch.tensor([[-1.0, math.nan, -2.0]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[-1.1, math.inf, -2.0]], dtype=torch.float64)
    advantage, mask = torch.tensor([[1.0, math.nan, -1.0]], dtype=torch.float64), torch.tensor([[1, 0, 1]])
    part = policy_loss(logp, old, advantage, mask, LossSettings())
    (part.loss_sum + kl_k3(logp, old, mask).sum()).backward()
    assert logp.grad is not None
    assert logp.grad.isfinite().all()
    assert logp.grad[0, 1] == 0
    assert part.loss_sum.isfinite()
    assert part.future_weight_BL.isfinite().all()
    assert not (part.clipped_BL | part.kept_BL)[0, 1]


@pytest.mark.parametrize("future", [True, False])
def test_gradient_of_the_loss(future: bool) -> None:
    """The future factor carries no gradient: it is held fixed while the numeric gradient is taken."""
    torch.manual_seed(3)
    old = -2 * torch.rand(3, 8, dtype=torch.float64)
    logp = (old + 0.1 * torch.randn(3, 8, dtype=torch.float64)).requires_grad_()
    advantage = torch.randn(3, 8, dtype=torch.float64)
    mask = torch.rand(3, 8) < 0.8
    chosen = LossSettings(future_kl=future)
    scaled = advantage
    if future:
        factor = policy_loss(logp, old, advantage, mask, chosen).future_weight_BL
        scaled = advantage * (1 + chosen.future_kl_weight * factor)
    fixed = LossSettings(future_kl=False)
    assert torch.autograd.gradcheck(lambda x: policy_loss(x, old, scaled, mask, fixed).loss_sum, logp)
    (wanted,) = torch.autograd.grad(policy_loss(logp, old, scaled, mask, fixed).loss_sum, logp)
    (got,) = torch.autograd.grad(policy_loss(logp, old, advantage, mask, chosen).loss_sum, logp)
    torch.testing.assert_close(got, wanted)


def test_kl_is_k3_with_its_gradient() -> None:
    torch.manual_seed(4)
    reference = -3 * torch.rand(2, 6, dtype=torch.float64)
    logp = (-3 * torch.rand(2, 6, dtype=torch.float64)).requires_grad_()
    mask = torch.tensor([[1, 0, 1, 1, 1, 0], [0] * 6])
    expected = [
        [math.exp(u) - u - 1 if m else 0.0 for u, m in zip(line, keep, strict=True)]
        for line, keep in zip((reference - logp).tolist(), mask.tolist(), strict=True)
    ]
    got = kl_k3(logp, reference, mask)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: kl_k3(x, reference, mask), logp)
    assert kl_k3(torch.tensor([[-9.0]]), torch.tensor([[-0.0]]), torch.ones(1, 1)).item() == 10.0


def test_log_ratio_is_bounded() -> None:
    assert log_ratio(torch.tensor([[-99.0, 0.0]]), torch.tensor([[0.0, -99.0]]), torch.ones(1, 2)).tolist() == [
        [-20.0, 20.0]
    ]


@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000, 16384])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_long_rows_stay_finite(length: int, dtype: torch.dtype) -> None:
    torch.manual_seed(length)
    logp = (-9 * torch.rand(2, length, dtype=dtype)).requires_grad_()
    old, advantage = -9 * torch.rand(2, length, dtype=dtype), torch.randn(2, length, dtype=dtype)
    part = policy_loss(logp, old, advantage, torch.ones(2, length), LossSettings(sequence_filter=False))
    part.loss_sum.backward()
    assert part.loss_sum.isfinite()
    assert logp.grad is not None
    assert logp.grad.isfinite().all()
    assert part.future_weight_BL.min() >= 0.8
    assert part.future_weight_BL.max() <= 1.2


def sample(length: int = 40) -> list[Tensor]:
    """logp, old, advantage, mask with a full, an empty and a one-token row."""
    torch.manual_seed(7)
    old = -2 * torch.rand(5, length, dtype=torch.float64)
    mask = torch.rand(5, length) < 0.7
    mask[1], mask[2], mask[3] = True, False, False
    mask[3, 11] = True
    return [old + 0.8 * torch.randn(5, length, dtype=torch.float64), old, torch.randn(5, length).double(), mask]


def gradient(tensors: list[Tensor], chosen: LossSettings) -> tuple[Tensor, Tensor]:
    logp = tensors[0].detach().clone().requires_grad_()
    loss = policy_loss(logp, *tensors[1:], chosen).loss_sum  # type: ignore[call-arg]
    return loss.detach(), torch.autograd.grad(loss, logp)[0]


@pytest.mark.parametrize("sieve", [False, True])
def test_rows_neither_know_their_place_nor_each_other(sieve: bool) -> None:
    tensors, chosen = sample(), LossSettings(sequence_filter=sieve, safety_ratio=1.5, clip_ratio_c=2.0)
    loss, slope = gradient(tensors, chosen)
    order = torch.tensor([4, 2, 0, 1, 3])
    moved, moved_slope = gradient([x[order] for x in tensors], chosen)
    torch.testing.assert_close((moved, moved_slope), (loss, slope[order]))
    padded, padded_slope = gradient([torch.nn.functional.pad(x, (0, 9)) for x in tensors], chosen)
    torch.testing.assert_close((padded, padded_slope[:, :40]), (loss, slope))
    parts = [gradient([x[rows] for x in tensors], chosen) for rows in (slice(0, 2), slice(2, 5))]
    torch.testing.assert_close((parts[0][0] + parts[1][0], torch.cat([parts[0][1], parts[1][1]])), (loss, slope))


def test_worked_by_hand() -> None:
    """Ratios 1.1 and 1, gamma 1/2: G = ln 1.1 and 0, f = 1.1 and 1, so A' = 2.1 and 2."""
    args = tensors([[(math.log(1.1), 0.0, 1.0, 1), (0.0, 0.0, 1.0, 1)]])
    part = policy_loss(*args, LossSettings(future_kl_decay=1.0))
    assert part.future_weight_BL.tolist() == [pytest.approx([1.1, 1.0])]
    assert part.loss_sum.item() == pytest.approx(-(2.1 * 1.1 + 2.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_bad_log_probs_are_named(bad: float, place: int) -> None:
    args = sample()
    args[place][1, 17] = bad
    name = ("logp_BL", "logp_old_BL")[place]
    with pytest.raises(ValueError, match=rf"{name} is -?(nan|inf) at row 1, position 17"):
        policy_loss(*args, LossSettings())  # type: ignore[call-arg]
    name = ("logp_BL", "logp_reference_BL")[place]
    with pytest.raises(ValueError, match=rf"{name} is -?(nan|inf) at row 1, position 17"):
        kl_k3(args[0], args[1], args[3])


@pytest.mark.parametrize("place", [1, 2, 3])
def test_shapes_must_agree(place: int) -> None:
    args = sample()
    args[place] = args[place][:, :-1]
    name = ("", "logp_old_BL", "advantage_BL", "mask_BL")[place]
    with pytest.raises(ValueError, match=rf"{name} has shape \(5, 39\), but logp_BL has shape \(5, 40\)"):
        policy_loss(*args, LossSettings())  # type: ignore[call-arg]


def test_inputs_stay_as_they_are() -> None:
    args = sample()
    before = [x.clone() for x in args]
    policy_loss(*args, LossSettings())  # type: ignore[call-arg]
    assert all(torch.equal(x, y) for x, y in zip(args, before, strict=True))
