"""The future-KL policy loss and its parts, on tensors of any layout that keeps a row's tokens in order."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from appo_core.algorithm.checks import check_finite, check_shapes
from appo_core.algorithm.masking import zero_outside
from appo_core.algorithm.scan import discounted_future_sum
from appo_core.algorithm.score import LOG_RATIO_BOUND
from appo_core.config.algorithm import LossSettings

KL_BOUND = 10.0
"""Bound of the per-token k3 estimate."""


@dataclass(frozen=True)
class PolicyLoss:
    """Sums over tokens, to be divided by the global token count, and diagnostics."""

    loss_sum: Tensor
    """Scalar with gradient: sum of the policy loss over kept tokens."""
    kept_BL: Tensor
    """Bool: tokens that the sequence filter left in."""
    future_weight_BL: Tensor
    ratio_BL: Tensor
    clipped_BL: Tensor
    """Bool: tokens at which the clip was active."""


def log_ratio(logp_BL: Tensor, logp_old_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Bounded ``log pi - log pi_old``, 0 outside the mask. ValueError unless shapes agree and both are finite in it."""
    check_shapes(logp_BL=logp_BL, logp_old_BL=logp_old_BL, mask_BL=mask_BL)
    return _log_ratio(mask_BL.bool(), logp_BL=logp_BL, logp_old_BL=logp_old_BL)


def _log_ratio(mask_BL: Tensor, **logps: Tensor) -> Tensor:
    """The first log-prob over the second; the names are those of the caller's arguments, for errors."""
    upper_BL, lower_BL = logps.values()
    difference_BL = zero_outside(upper_BL - lower_BL, mask_BL)
    # Before the bound, which would hide an infinite log-prob.
    check_finite(difference_BL.detach().sum(dim=1), mask_BL, **logps)
    return difference_BL.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def future_kl_weight(log_ratio_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor, settings: LossSettings) -> Tensor:
    """The factor f: clipped exponential of the discounted future log-ratio, without gradient.

    ``F_t = sum over k >= t of gamma^(k-t) Delta_k P_k``, gamma = 2^(-1/half-life); P drops tokens whose ratio exceeds
    the dual-clip constant. ``f = clip(exp F, lo, 1 + eps)`` with lo = 1 when only the upper side is open, else 1 - eps.
    A token with a negative advantage and a ratio above the safety threshold gets f in [0.8, 1]. Source: FIPO / APPO.
    """
    check_shapes(log_ratio_BL=log_ratio_BL, advantage_BL=advantage_BL, mask_BL=mask_BL)
    with torch.no_grad():
        delta_BL = log_ratio_BL.detach()
        # Tokens that take no part (P = 0) still count as a step of the discount.
        part_BL = torch.le(delta_BL, math.log(settings.clip_ratio_c), out=torch.empty_like(delta_BL))
        future_BL = discounted_future_sum(part_BL.mul_(delta_BL), mask_BL, 2.0 ** (-1.0 / settings.future_kl_decay))
        eps = settings.future_kl_clip
        lowest = 1.0 if settings.future_kl_clip_high_only else 1.0 - eps
        factor_BL = future_BL.clamp_(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp_().clamp_(lowest, 1.0 + eps)
        unsafe_BL = (advantage_BL < 0) & (delta_BL > math.log(settings.safety_ratio))
        return torch.where(unsafe_BL, factor_BL.clamp(0.8, 1.0), factor_BL)


def policy_loss(
    logp_BL: Tensor, logp_old_BL: Tensor, advantage_BL: Tensor, mask_BL: Tensor, settings: LossSettings
) -> PolicyLoss:
    """Dual-clip PPO loss on advantages ``A (1 + b f)``.

    ``l = max(-A r, -A clip(r, 1 - low, 1 + high))``; for A < 0 it is bounded by ``-A c``. That is -A times r bounded by
    1 + high from above where A >= 0, and by 1 - low and c where A < 0. With the sequence filter, a row in which more
    than one negative-advantage token passes c is left out. Shapes (B, L). What lies outside the mask, even a NaN,
    reaches neither loss nor gradient.

    Raises:
        ValueError: shapes differ, or a log-prob is not finite at a generated token.
    """
    check_shapes(logp_BL=logp_BL, logp_old_BL=logp_old_BL, advantage_BL=advantage_BL, mask_BL=mask_BL)
    kept_BL = mask_BL = mask_BL.bool()
    delta_BL = _log_ratio(mask_BL, logp_BL=logp_BL, logp_old_BL=logp_old_BL)
    ratio_BL = delta_BL.exp()
    low, high, most = 1 - settings.clip_low, 1 + settings.clip_high, settings.clip_ratio_c
    with torch.no_grad():
        advantage_BL = zero_outside(advantage_BL, mask_BL)
        negative_BL = advantage_BL < 0
        clipped_BL = ((ratio_BL < low) & negative_BL) | ((ratio_BL > high) & (advantage_BL > 0))
        weight_BL = torch.ones_like(advantage_BL)
        if settings.future_kl:
            weight_BL = future_kl_weight(delta_BL, advantage_BL, mask_BL, settings)
            advantage_BL.mul_(weight_BL.mul(settings.future_kl_weight).add_(1.0))
        if settings.sequence_filter:
            beyond_B1 = ((ratio_BL > most) & negative_BL).sum(dim=1, keepdim=True)
            kept_BL = mask_BL & (beyond_B1 <= 1)
            advantage_BL.masked_fill_(beyond_B1 > 1, 0.0)
        negative_BL = negative_BL.view(torch.uint8).to(ratio_BL.dtype)
        highest_BL = torch.lerp(ratio_BL.new_tensor(high), ratio_BL.new_tensor(most), negative_BL)
    bounded_BL = ratio_BL.clamp(negative_BL * low, highest_BL)
    return PolicyLoss(
        loss_sum=-(advantage_BL * bounded_BL).sum(),
        kept_BL=kept_BL,
        future_weight_BL=weight_BL,
        ratio_BL=ratio_BL.detach(),
        clipped_BL=clipped_BL,
    )


def kl_k3(logp_BL: Tensor, logp_reference_BL: Tensor, mask_BL: Tensor) -> Tensor:
    """Per-token k3 estimate of KL(pi || reference): ``e^u - u - 1`` with u = log reference - log pi, bounded; 0 outside
    the mask. Shape (B, L). Source: Schulman, Approximating KL divergence."""
    check_shapes(logp_BL=logp_BL, logp_reference_BL=logp_reference_BL, mask_BL=mask_BL)
    u_BL = _log_ratio(mask_BL.bool(), logp_reference_BL=logp_reference_BL, logp_BL=logp_BL)
    return (u_BL.exp() - u_BL - 1.0).clamp(-KL_BOUND, KL_BOUND)
