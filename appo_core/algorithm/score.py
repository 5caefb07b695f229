"""The Branching Score: where a trajectory's decisions are uncertain and matter for what follows."""

import math
from typing import Literal

import torch
from torch import Tensor

from appo_core.algorithm.checks import check_finite, check_gamma, check_shapes
from appo_core.algorithm.masking import Mask
from appo_core.algorithm.rows import fresh, pieces
from appo_core.algorithm.scan import future_sums
from appo_core.algorithm.standard import centre_

LOG_RATIO_BOUND = 20.0
"""Log-ratios are bounded here before exponentiation, as in the published code."""

ScoreMode = Literal["product", "entropy", "future", "sum"]


@torch.no_grad()
def future_value(
    logp_now_BL: Tensor, logp_behaviour_BL: Tensor, mask_BL: Tensor, *, gamma: float, clip: float
) -> Tensor:
    """Clipped future value Omega of every token; 1 where nothing was generated. Without gradient.

    ``F_t = sum over k >= t of gamma^(k-t) (log pi(a_k) - log mu(a_k))`` over generated tokens, and
    ``Omega_t = clip(exp F_t, 1 - clip, 1 + clip)``; clip <= 0 leaves it unclipped. pi is the policy now, mu the policy
    that sampled. Source: APPO, future value.

    Raises:
        ValueError: shapes differ, gamma is outside [0, 1], or a log-prob is not finite at a generated token.
    """
    check_shapes(logp_now_BL=logp_now_BL, logp_behaviour_BL=logp_behaviour_BL, mask_BL=mask_BL)
    check_gamma(gamma)
    mask_BL, omega_BL = mask_BL.bool(), fresh(logp_now_BL.shape, logp_now_BL.dtype, logp_now_BL.device)
    first_B1 = logp_now_BL.new_zeros((len(omega_BL), 1))
    for rows, (memory_BL, kept_BL) in pieces(logp_now_BL, 2):
        mask = Mask(mask_BL[rows], memory_BL)
        torch.sub(logp_now_BL[rows], logp_behaviour_BL[rows], out=kept_BL)
        future_BL = future_sums(mask.keep(kept_BL, kept_BL), mask.bits_BL, gamma, out_BL=omega_BL[rows])
        first_B1[rows, : future_BL.shape[1]] = future_BL[:, :1]
        # A power of two is twice as fast as one of e.
        future_BL.clamp_(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).mul_(math.log2(math.e))
        mask.keep(future_BL, future_BL).exp2_()
        if clip > 0:
            future_BL.clamp_(1 - clip, 1 + clip)
    check_finite(first_B1.squeeze(1), mask_BL, logp_now_BL=logp_now_BL, logp_behaviour_BL=logp_behaviour_BL)
    return omega_BL


@torch.no_grad()
def branching_score(
    entropy_BL: Tensor,
    future_value_BL: Tensor,
    mask_BL: Tensor,
    *,
    mode: ScoreMode = "product",
    entropy_weight: float = 0.5,
    noise_floor: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Branching Score of every token and which tokens are candidates. Without gradient.

    ``BS_t = Z(H_t) * Z(Omega_t)`` (mode `product`), z-scores per row over generated tokens. Candidates have a positive
    Z in every factor the mode uses, so that a product of two negatives never qualifies. A row whose Omega spreads by
    `noise_floor` or less (the policy that sampled is the policy now) carries no future-value signal: it is scored by
    entropy alone in every mode but `future`, which then has no candidates.

    Returns:
        (B, L) scores, 0 outside the mask, and (B, L) bool candidates.

    Raises:
        ValueError: shapes differ, or an entropy or future value is not finite at a generated token.
    """
    check_shapes(entropy_BL=entropy_BL, future_value_BL=future_value_BL, mask_BL=mask_BL)
    mask_BL, score_BL = mask_BL.bool(), fresh(entropy_BL.shape, entropy_BL.dtype, entropy_BL.device)
    candidate_BL = fresh(mask_BL.shape, torch.bool, mask_BL.device)
    mean_B2 = entropy_BL.new_empty((len(entropy_BL), 2))
    for rows, (memory_BL, future_BL) in pieces(entropy_BL, 2):
        mask, entropy_z_BL = Mask(mask_BL[rows], memory_BL), score_BL[rows]
        mean_B2[rows, :1], scale_B1, _ = centre_(mask.keep(entropy_BL[rows], entropy_z_BL), mask)
        entropy_z_BL.mul_(scale_B1)
        mean_B2[rows, 1:], scale_B1, deviation_B1 = centre_(
            mask.keep(future_value_BL[rows].to(score_BL), future_BL), mask
        )
        silent_B1 = (deviation_B1 <= noise_floor).to(score_BL.dtype)
        scale_B1 = scale_B1 * (1 - silent_B1)
        # The mask has done its work: its memory is free.
        _combine_(entropy_z_BL, future_BL, memory_BL, scale_B1, silent_B1, mode, entropy_weight)
        candidate_BL[rows] = memory_BL.gt_(0)
    check_finite(mean_B2[:, 0], mask_BL, entropy_BL=entropy_BL)
    check_finite(mean_B2[:, 1], mask_BL, future_value_BL=future_value_BL)
    return score_BL, candidate_BL


def _combine_(
    zh_BL: Tensor,
    future_BL: Tensor,
    least_BL: Tensor,
    scale_B1: Tensor,
    silent_B1: Tensor,
    mode: ScoreMode,
    entropy_weight: float,
) -> None:
    """Turn Z(H) into the score, and set `least_BL` to what is positive at candidates; all in place. `future_BL` is
    centred Omega, to be scaled, by 0 in a silent row."""
    if mode == "product":
        # In a silent row Z(Omega) is taken as 1, which leaves Z(H).
        zf_BL = future_BL.mul_(scale_B1).add_(silent_B1)
        torch.minimum(zh_BL, zf_BL, out=least_BL)
        zh_BL.mul_(zf_BL)
        return
    if mode == "future":
        torch.mul(future_BL, scale_B1, out=zh_BL)
    if mode == "sum":
        zh_BL.mul_(silent_B1 + (1 - silent_B1) * entropy_weight).addcmul_(future_BL, scale_B1 * (1 - entropy_weight))
    least_BL.copy_(zh_BL)
