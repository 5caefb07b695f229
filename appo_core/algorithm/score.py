"""The Branching Score: where a trajectory's decisions are uncertain and matter for what follows."""

from typing import Literal

import torch
from torch import Tensor

from appo_core.algorithm.scan import discounted_future_sum

LOG_RATIO_BOUND = 20.0
"""Log-ratios are bounded here before exponentiation, as in the published code."""


def future_value(
    logp_now_BL: Tensor, logp_behaviour_BL: Tensor, mask_BL: Tensor, *, gamma: float, clip: float
) -> Tensor:
    """Clipped future value Omega of every token; 1 where nothing was generated.

    ``F_t = sum over k >= t of gamma^(k-t) (log pi(a_k) - log mu(a_k))`` over generated tokens, and
    ``Omega_t = clip(exp F_t, 1 - clip, 1 + clip)``; clip <= 0 leaves it unclipped. pi is the policy now, mu the policy
    that sampled. Source: APPO, future value.
    """
    difference_BL = (logp_now_BL - logp_behaviour_BL).where(mask_BL.bool(), torch.zeros_like(logp_now_BL))
    future_BL = discounted_future_sum(difference_BL, mask_BL, gamma)
    omega_BL = future_BL.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
    if clip > 0:
        omega_BL = omega_BL.clamp(1 - clip, 1 + clip)
    return omega_BL.where(mask_BL.bool(), torch.ones_like(omega_BL))


def spread(x_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Population standard deviation of every row over its generated tokens; 0 for an empty row. Shape (B,)."""
    _, deviation_B1 = _moments(x_BL, mask_BL)
    return deviation_B1.squeeze(1)


def z_score(x_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Z-score within every row over its generated tokens, with population deviation.

    A constant row (up to rounding) has Z = 0 everywhere, and so have positions outside the mask.
    """
    mean_B1, deviation_B1 = _moments(x_BL, mask_BL)
    rounding_B1 = 8 * torch.finfo(x_BL.dtype).eps * mean_B1.abs().clamp_min(torch.finfo(x_BL.dtype).tiny)
    usable_BL = mask_BL.bool() & (deviation_B1 > rounding_B1)
    z_BL = (x_BL - mean_B1) / deviation_B1.clamp_min(torch.finfo(x_BL.dtype).tiny)
    return z_BL.where(usable_BL, torch.zeros_like(x_BL))


def _moments(x_BL: Tensor, mask_BL: Tensor) -> tuple[Tensor, Tensor]:
    mask_BL = mask_BL.bool()
    zeros_BL = torch.zeros_like(x_BL)
    count_B1 = mask_BL.sum(dim=1, keepdim=True).clamp_min(1).to(x_BL.dtype)
    mean_B1 = x_BL.where(mask_BL, zeros_BL).sum(dim=1, keepdim=True) / count_B1
    variance_B1 = (x_BL - mean_B1).square().where(mask_BL, zeros_BL).sum(dim=1, keepdim=True) / count_B1
    return mean_B1, variance_B1.sqrt()


ScoreMode = Literal["product", "entropy", "future", "sum"]


def branching_score(
    entropy_BL: Tensor,
    future_value_BL: Tensor,
    mask_BL: Tensor,
    *,
    mode: ScoreMode = "product",
    entropy_weight: float = 0.5,
    noise_floor: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Branching Score of every token and which tokens are candidates.

    ``BS_t = Z(H_t) * Z(Omega_t)`` (mode `product`), z-scores per row over generated tokens. Candidates have a positive
    Z in every factor the mode uses, so that a product of two negatives never qualifies. A row whose Omega spreads by
    `noise_floor` or less (the policy that sampled is the policy now) carries no future-value signal: it is scored by
    entropy alone in every mode but `future`, which then has no candidates.

    Returns:
        (B, L) scores, 0 outside the mask, and (B, L) bool candidates.
    """
    zh_BL, zf_BL = z_score(entropy_BL, mask_BL), z_score(future_value_BL, mask_BL)
    silent_B1 = (spread(future_value_BL, mask_BL) <= noise_floor).unsqueeze(1)
    zf_BL = zf_BL.masked_fill(silent_B1, 0.0)
    if mode == "entropy":
        return zh_BL, zh_BL > 0
    if mode == "future":
        return zf_BL, zf_BL > 0
    if mode == "product":
        score_BL, candidate_BL = zh_BL * zf_BL, (zh_BL > 0) & (zf_BL > 0)
    else:
        score_BL = entropy_weight * zh_BL + (1 - entropy_weight) * zf_BL
        candidate_BL = score_BL > 0
    return torch.where(silent_B1, zh_BL, score_BL), torch.where(silent_B1, zh_BL > 0, candidate_BL)
