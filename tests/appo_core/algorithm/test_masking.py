"""Masks as bits, and the pieces of rows that they are used on."""

import math

import pytest
import torch

from appo_core.algorithm import rows
from appo_core.algorithm.masking import Mask, zero_outside
from appo_core.algorithm.rows import fresh, pieces


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_only_what_is_inside_stays(dtype: torch.dtype) -> None:
    x_BL = torch.tensor([[1.5, math.nan, -2.0], [math.inf, 3.0, -0.5]], dtype=dtype)
    mask = Mask(torch.tensor([[True, False, True], [False, True, False]]), torch.empty_like(x_BL))
    assert mask.count().tolist() == [[2], [1]]
    assert mask.keep(x_BL, torch.empty_like(x_BL)).tolist() == [[1.5, 0.0, -2.0], [0.0, 3.0, 0.0]]
    assert mask.sink_(x_BL).tolist() == [[1.5, -math.inf, -2.0], [-math.inf, 3.0, -math.inf]]


def test_zero_outside_lets_a_nan_into_neither_value_nor_gradient() -> None:
    x_BL = torch.tensor([[math.nan, 4.0, math.inf]], requires_grad=True)
    kept_BL = zero_outside(x_BL, torch.tensor([[False, True, False]]))
    assert kept_BL.tolist() == [[0.0, 4.0, 0.0]]
    kept_BL.square().sum().backward()
    assert x_BL.grad is not None
    assert x_BL.grad.tolist() == [[0.0, 8.0, 0.0]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (5, 7), (1, 5000)])
def test_pieces_cover_every_row_once(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CACHED_ELEMENTS", 16)
    x_BL = torch.zeros(shape)
    for part, (buffer,) in pieces(x_BL, 1):
        assert buffer.shape == x_BL[part].shape
        x_BL[part] += 1
    assert x_BL.eq(1).all()


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float64])
def test_fresh_memory_can_be_written(dtype: torch.dtype) -> None:
    for shape in ((0, 4), (3, 4)):
        tensor = fresh(shape, dtype, torch.device("cpu")).fill_(1)
        assert tensor.shape == shape
        assert tensor.dtype == dtype
        assert tensor.bool().all()
