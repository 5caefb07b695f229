"""The recurrence between blocks against a loop."""

import pytest
import torch

from appo_core.algorithm.recurrence import FAN, backward_recurrence, one_earlier


@pytest.mark.parametrize("count", [1, 2, FAN, FAN + 1, FAN * FAN, FAN * FAN + 1, 1000])
def test_it_equals_the_loop(count: int) -> None:
    torch.manual_seed(count)
    x_NB, decay_NB = torch.randn(count, 3, dtype=torch.float64), torch.rand(count, 3, dtype=torch.float64)
    decay_NB[torch.rand(count) < 0.2] = 0.0
    decay_NB[torch.rand(count) < 0.2] = 1.0
    expected, running = torch.zeros_like(x_NB), torch.zeros(3, dtype=torch.float64)
    for place in reversed(range(count)):
        running = x_NB[place] + decay_NB[place] * running
        expected[place] = running
    torch.testing.assert_close(backward_recurrence(x_NB, decay_NB), expected, rtol=0, atol=1e-12)


def test_one_earlier() -> None:
    assert one_earlier(torch.tensor([[1.0], [2.0], [3.0]])).tolist() == [[2.0], [3.0], [0.0]]


def test_gradient() -> None:
    torch.manual_seed(0)
    x_NB = torch.randn(FAN + 3, 2, dtype=torch.float64, requires_grad=True)
    decay_NB = torch.rand(FAN + 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(backward_recurrence, (x_NB, decay_NB))
