"""The quadratic formulations that the algorithm's functions are measured against.

They compute what the published code computes, in its way: a matrix of discounts per row for the future value, column
blocks of such a matrix for the future-KL loss (FIPO, APPO).
"""

import math

import torch
from torch import Tensor

CHUNK = 128
"""Columns per block, as published."""


def branching_scores(arrays: dict[str, Tensor], gamma: float, clip: float) -> list[Tensor]:
    """Branching scores row by row, with an L x L matrix of discounts each."""
    return [
        _row_score(entropy_L, now_L - behaviour_L, mask_L, gamma, clip)
        for entropy_L, now_L, behaviour_L, mask_L in zip(
            arrays["entropy"], arrays["now"], arrays["behaviour"], arrays["mask"], strict=True
        )
    ]


def _row_score(entropy_L: Tensor, difference_L: Tensor, mask_L: Tensor, gamma: float, clip: float) -> Tensor:
    place_L = mask_L.cumsum(0)
    distance_LL = (place_L[None, :] - place_L[:, None]).clamp_min(0)
    weight_LL = torch.pow(gamma, distance_LL.float()).triu() * mask_L[None, :]
    omega_L = (weight_LL * difference_L[None, :]).sum(1).exp().clamp(1 - clip, 1 + clip)
    return _z(entropy_L, mask_L) * _z(omega_L, mask_L)


def _z(x_L: Tensor, mask_L: Tensor) -> Tensor:
    kept = x_L[mask_L]
    return torch.where(mask_L, (x_L - kept.mean()) / (kept.std(correction=0) + 1e-6), 0.0)


def future_kl_loss(logp_BL: Tensor, old_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Sum of the loss with the settings of the published scripts; the future sum in column blocks."""
    delta_BL = (logp_BL - old_BL).clamp(-20, 20)
    ratio_BL = delta_BL.exp()
    with torch.no_grad():
        summand_BL = delta_BL * mask_BL * (delta_BL <= math.log(3.0))
        factor_BL = _future_sum(summand_BL, 2 ** (-1 / 64)).exp().clamp(1.0, 1.2)
        unsafe_BL = (advantage_BL < 0) & (ratio_BL > 6.0)
        scaled_BL = advantage_BL * (1 + torch.where(unsafe_BL, factor_BL.clamp(0.8, 1.0), factor_BL))
    loss_BL = torch.maximum(-scaled_BL * ratio_BL, -scaled_BL * ratio_BL.clamp(0.8, 1.28))
    beyond_BL = mask_BL & (advantage_BL < 0) & (loss_BL > -3 * scaled_BL)
    loss_BL = torch.where(scaled_BL < 0, torch.minimum(loss_BL, -3 * scaled_BL), loss_BL)
    return (loss_BL * (mask_BL & (beyond_BL.sum(1, keepdim=True) <= 1))).sum()


def _future_sum(summand_BL: Tensor, gamma: float) -> Tensor:
    length = summand_BL.shape[1]
    sum_BL, position_L1 = torch.zeros_like(summand_BL), torch.arange(length).unsqueeze(1)
    for start in range(0, length, CHUNK):
        columns = torch.arange(start, min(start + CHUNK, length)).unsqueeze(0)
        distance_LK = columns - position_L1
        decay_LK = torch.pow(gamma, distance_LK.clamp_min(0).to(summand_BL.dtype)) * (distance_LK >= 0)
        sum_BL += summand_BL[:, start : start + CHUNK] @ decay_LK.t()
    return sum_BL
