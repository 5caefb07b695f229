"""The linear scan against serial sums, at every discount and on every kind of mask."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from appo_core.algorithm import discounted_future_sum, rows
from appo_core.algorithm.scan import BLOCK
from tests.appo_core.algorithm.oracles import backward_sum, future_sum

GAMMAS = (0.0, 1e-6, 0.5, 0.99, 1.0)
LENGTHS = (1, 127, 128, 129, 1000, 16384)


def masks(length: int) -> Tensor:
    """Random, full, empty, alternating, one token at either end, long gaps, and gaps that fill whole blocks."""
    mask_BL = torch.zeros(9, length, dtype=torch.bool)
    mask_BL[0] = torch.rand(length) < 0.7
    mask_BL[1] = True
    mask_BL[3, ::2] = True
    mask_BL[4, -1] = True
    mask_BL[5, 0] = True
    mask_BL[6, : length // 3] = True
    mask_BL[6, 2 * length // 3 :] = True
    mask_BL[7] = True
    mask_BL[7, BLOCK : 3 * BLOCK] = False
    mask_BL[8] = torch.rand(length) < 0.02
    return mask_BL


def serial(x_BL: Tensor, mask_BL: Tensor, gamma: float) -> Tensor:
    pairs = zip(x_BL.tolist(), mask_BL.int().tolist(), strict=True)
    return torch.tensor([backward_sum(x_L, mask_L, gamma) for x_L, mask_L in pairs], dtype=torch.float64)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("length", LENGTHS)
def test_scan_equals_the_serial_recurrence(length: int, gamma: float) -> None:
    torch.manual_seed(length)
    mask_BL = masks(length)
    x_BL = torch.randn(mask_BL.shape, dtype=torch.float64)
    expected = serial(x_BL, mask_BL, gamma)
    torch.testing.assert_close(discounted_future_sum(x_BL, mask_BL, gamma), expected, rtol=0, atol=1e-11)
    # float32: within the rounding of sums whose partial results reach the square root of the length.
    got = discounted_future_sum(x_BL.float(), mask_BL, gamma)
    assert got.dtype == torch.float32
    assert (got - expected).abs().max() < 2e-6 * math.sqrt(length) * max(1.0, float(expected.abs().max()) ** 0.5)


@settings(max_examples=40)
@given(
    rows=st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 1)), min_size=1, max_size=100),
    gamma=st.one_of(st.sampled_from(GAMMAS), st.floats(0, 1)),
)
def test_scan_equals_the_definition_on_any_mask(rows: list[tuple[float, int]], gamma: float) -> None:
    x_L, mask_L = [row[0] for row in rows], [row[1] for row in rows]
    got = discounted_future_sum(torch.tensor([x_L], dtype=torch.float64), torch.tensor([mask_L]), gamma)
    assert got[0].tolist() == pytest.approx(future_sum(x_L, mask_L, gamma), rel=1e-12, abs=1e-11)


def test_worked_by_hand() -> None:
    x_BL, mask_BL = torch.tensor([[4.0, 9.0, 2.0, 8.0]]), torch.tensor([[1, 0, 1, 1]])
    assert discounted_future_sum(x_BL, mask_BL, 0.5).tolist() == [[7.0, 6.0, 6.0, 8.0]]
    assert discounted_future_sum(x_BL, mask_BL, 1.0).tolist() == [[14.0, 10.0, 10.0, 8.0]]
    assert discounted_future_sum(x_BL, mask_BL, 0.0).tolist() == [[4.0, 2.0, 2.0, 8.0]]


def test_a_constant_is_a_geometric_series_at_any_length() -> None:
    """No underflow of the weights and no cancellation, however long the row is."""
    got = discounted_future_sum(torch.ones(1, 16384), torch.ones(1, 16384), 0.5)
    assert got[0, :-30].eq(2.0).all()
    got = discounted_future_sum(torch.full((1, 16384), 0.25), torch.ones(1, 16384), 1.0)
    assert torch.equal(got[0], 0.25 * torch.arange(16384, 0, -1))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_rows_neither_know_their_place_nor_each_other(gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    mask_BL = masks(300)
    x_BL = torch.randn(mask_BL.shape)
    whole = discounted_future_sum(x_BL, mask_BL, gamma)
    order = torch.randperm(len(x_BL))
    torch.testing.assert_close(discounted_future_sum(x_BL[order], mask_BL[order], gamma), whole[order])
    monkeypatch.setattr(rows, "CACHED_ELEMENTS", 700)
    torch.testing.assert_close(discounted_future_sum(x_BL, mask_BL, gamma), whole)


def test_padding_behind_rows_changes_nothing() -> None:
    torch.manual_seed(2)
    mask_BL = masks(200)
    x_BL = torch.randn(mask_BL.shape, dtype=torch.float64)
    more = torch.nn.functional.pad(x_BL, (0, 77), value=math.nan)
    got = discounted_future_sum(more, torch.nn.functional.pad(mask_BL, (0, 77)), 0.9)
    torch.testing.assert_close(got[:, :200], discounted_future_sum(x_BL, mask_BL, 0.9), rtol=0, atol=1e-13)
    assert not got[:, 200:].any()


@settings(max_examples=25)
@given(places=st.sets(st.integers(0, 99), max_size=60), gamma=st.floats(0, 1))
def test_generated_tokens_do_not_see_where_others_were_injected(places: set[int], gamma: float) -> None:
    x_L = torch.linspace(-1, 2, 40, dtype=torch.float64)
    generated = [place for place in range(100) if place not in places][:40]
    spread_L, mask_L = torch.full((100,), math.nan, dtype=torch.float64), torch.zeros(100)
    spread_L[generated], mask_L[generated] = x_L[: len(generated)], 1
    got = discounted_future_sum(spread_L[None], mask_L[None], gamma)[0, generated]
    plain = discounted_future_sum(x_L[None, : len(generated)], torch.ones(1, len(generated)), gamma)[0]
    torch.testing.assert_close(got, plain, rtol=1e-12, atol=1e-12)


def test_values_outside_the_mask_are_never_read() -> None:
    x_BL = torch.tensor([[1.0, float("nan"), 2.0, float("inf")]], requires_grad=True)
    mask_BL = torch.tensor([[1, 0, 1, 0]])
    got = discounted_future_sum(x_BL, mask_BL, 0.5)
    assert got.tolist() == discounted_future_sum(x_BL.detach(), mask_BL, 0.5).tolist() == [[2.0, 2.0, 2.0, 0.0]]
    got.sum().backward()
    assert x_BL.grad is not None
    assert x_BL.grad.tolist() == [[1.0, 0.0, 2.5, 0.0]]


def test_no_rows_and_no_tokens() -> None:
    for shape in ((0, 0), (0, 5), (3, 0)):
        assert discounted_future_sum(torch.zeros(shape), torch.zeros(shape), 0.9).shape == shape


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 1.0])
def test_gradient_passes_through_the_scan(gamma: float) -> None:
    torch.manual_seed(3)
    x_BL = torch.randn(3, 2 * BLOCK + 3, dtype=torch.float64, requires_grad=True)
    mask_BL = torch.rand(x_BL.shape) < 0.6
    mask_BL[1] = False
    mask_BL[2] = True
    mask_BL[2, 5 : BLOCK + 20] = False
    assert torch.autograd.gradcheck(lambda x: discounted_future_sum(x, mask_BL, gamma), x_BL)
    got = discounted_future_sum(x_BL, mask_BL, gamma)
    torch.testing.assert_close(got.detach(), discounted_future_sum(x_BL.detach(), mask_BL, gamma))


def test_any_layout_and_low_precision() -> None:
    torch.manual_seed(4)
    x_LB = torch.randn(90, 5)
    mask_LB = torch.rand(90, 5) < 0.8
    expected = discounted_future_sum(x_LB.t().contiguous(), mask_LB.t().contiguous(), 0.9)
    assert torch.equal(discounted_future_sum(x_LB.t(), mask_LB.t(), 0.9), expected)
    half = discounted_future_sum(x_LB.t()[:, 26:], mask_LB.t()[:, 26:], 0.9)
    torch.testing.assert_close(half, expected[:, 26:])
    low = discounted_future_sum(x_LB.t().bfloat16(), mask_LB.t(), 0.9)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), expected, rtol=2e-2, atol=4e-2)


@pytest.mark.parametrize("gamma", [-0.01, 1.01, math.nan, math.inf])
def test_a_discount_must_be_in_the_unit_interval(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"gamma is .*\[0, 1\]"):
        discounted_future_sum(torch.ones(1, 2), torch.ones(1, 2), gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("gradient", [False, True])
def test_the_first_value_that_is_not_finite_is_named(gamma: float, bad: float, gradient: bool) -> None:
    x_BL, mask_BL = torch.zeros(3, 100), torch.ones(3, 100)
    mask_BL[1, 7], x_BL[1, 7], x_BL[2, 55], x_BL[2, 60] = 0, bad, bad, bad
    with pytest.raises(ValueError, match=r"x_BL is -?(nan|inf) at row 2, position 55"):
        discounted_future_sum(x_BL.requires_grad_(gradient), mask_BL, gamma)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"mask_BL has shape \(2, 3\), but x_BL has shape \(2, 4\)"):
        discounted_future_sum(torch.ones(2, 4), torch.ones(2, 3), 0.9)
    with pytest.raises(ValueError, match=r"x_BL has shape \(4,\)"):
        discounted_future_sum(torch.ones(4), torch.ones(4), 0.9)
