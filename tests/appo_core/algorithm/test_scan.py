"""The doubling scan against serial sums."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from appo_core.algorithm import discounted_future_sum
from tests.appo_core.algorithm.oracles import backward_sum, future_sum

GAMMAS = (0.0, 0.5, 0.99, 1.0)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("length", [1, 127, 128, 129, 1000])
def test_scan_equals_the_serial_recurrence(length: int, gamma: float) -> None:
    torch.manual_seed(length)
    x_BL, mask_BL = torch.randn(3, length, dtype=torch.float64), torch.rand(3, length) < 0.7
    mask_BL[1] = True
    mask_BL[2] = False
    expected = [backward_sum(x, m, gamma) for x, m in zip(x_BL.tolist(), mask_BL.int().tolist(), strict=True)]
    torch.testing.assert_close(
        discounted_future_sum(x_BL, mask_BL, gamma), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        discounted_future_sum(x_BL.float(), mask_BL, gamma), torch.tensor(expected), rtol=1e-5, atol=1e-4
    )


@settings(max_examples=25)
@given(
    rows=st.lists(st.tuples(st.floats(-3, 3), st.integers(0, 1)), min_size=1, max_size=30),
    gamma=st.sampled_from(GAMMAS),
)
def test_scan_equals_the_definition_on_any_mask(rows: list[tuple[float, int]], gamma: float) -> None:
    x_L, mask_L = [row[0] for row in rows], [row[1] for row in rows]
    got = discounted_future_sum(torch.tensor([x_L], dtype=torch.float64), torch.tensor([mask_L]), gamma)
    assert got[0].tolist() == pytest.approx(future_sum(x_L, mask_L, gamma), abs=1e-12)


def test_values_outside_the_mask_are_never_read() -> None:
    x_BL = torch.tensor([[1.0, float("nan"), 2.0, float("inf")]])
    assert discounted_future_sum(x_BL, torch.tensor([[1, 0, 1, 0]]), 0.5).tolist() == [[2.0, 2.0, 2.0, 0.0]]


def test_no_rows_and_no_tokens() -> None:
    for shape in ((0, 0), (0, 5), (3, 0)):
        assert discounted_future_sum(torch.zeros(shape), torch.zeros(shape), 0.9).shape == shape


def test_gradient_passes_through_the_scan() -> None:
    x_BL = torch.randn(2, 9, dtype=torch.float64, requires_grad=True)
    mask_BL = torch.tensor([[1, 1, 0, 1, 0, 0, 1, 1, 1], [0] * 9])
    assert torch.autograd.gradcheck(lambda x: discounted_future_sum(x, mask_BL, 0.9), x_BL)
